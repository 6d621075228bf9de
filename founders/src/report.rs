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

    /// The text for standard output.
    pub(crate) fn shown(&self, json: bool) -> String {
        match json {
            true => format!("{}\n", Value::Object(self.values.clone())),
            false => self.lines.iter().map(|line| format!("{line}\n")).collect(),
        }
    }
}
