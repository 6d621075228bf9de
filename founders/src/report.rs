// SPDX-License-Identifier: Apache-2.0

//! What a command says when it has done its work: lines for people, or one JSON object.

use serde_json::{Map, Value};

/// The result of a command.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<String>,
    values: Map<String, Value>,
}

impl Report {
    /// Adds a line for people.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds a value for programs.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the block in which it was done or seen, and whether it is final. One that is not can still be undone.
    pub(crate) fn block(self, number: u64, is_final: bool) -> Self {
        let report = self.with("block", number).with("final", is_final);
        match is_final {
            true => report,
            false => report.line(format!(
                "Block {number} is not final: it can still be undone, and this with it."
            )),
        }
    }

    /// The text for standard output.
    pub(crate) fn shown(&self, json: bool) -> String {
        match json {
            true => format!("{}\n", Value::Object(self.values.clone())),
            false => self.lines.iter().map(|line| format!("{line}\n")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_block_that_is_not_final_says_so_to_people_and_to_programs() {
        let shown = |is_final| {
            let report = Report::default().line("Done.").block(7, is_final);
            let json = serde_json::from_str::<Value>(&report.shown(true)).expect("JSON");
            (report.shown(false), json["final"].clone())
        };
        assert_eq!(shown(true), ("Done.\n".to_owned(), Value::Bool(true)));
        let (text, is_final) = shown(false);
        assert!(text.contains("can still be undone"), "{text}");
        assert_eq!(is_final, Value::Bool(false));
    }
}
