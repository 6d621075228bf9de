// SPDX-License-Identifier: Apache-2.0

//! Where figures come from, which stands beside them.

use std::fmt;
use std::fs;

use serde::Serialize;
use time::OffsetDateTime;

/// With which command, when and where something was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Origin {
    /// The command line that measures it again.
    command: String,
    /// Day on which it began, as year, month and day in UTC.
    date: String,
    /// Name of the processor, and how many of its cores there are.
    processor: String,
}

impl Origin {
    /// This program's, now and on this machine.
    pub(crate) fn here() -> Self {
        let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let names = || about.lines().filter(|line| line.starts_with("model name"));
        let name = names().next().and_then(|line| line.split(": ").nth(1));
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Origin {
            command: format!("scripts/bench {}", arguments.join(" "))
                .trim()
                .to_owned(),
            date: OffsetDateTime::now_utc().date().to_string(),
            processor: format!("{} cores of {}", names().count(), name.unwrap_or("?")),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin {
            command,
            date,
            processor,
        } = self;
        write!(f, "`{command}`, {date}, on {processor}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_has_its_day_beside_it() {
        let origin = Origin::here();
        let parts: Vec<usize> = origin.date.split('-').map(str::len).collect();
        assert_eq!(parts, [4, 2, 2], "{origin}");
        let before = format!("{}, on ", origin.date);
        assert!(origin.to_string().contains(&before), "{origin}");
    }
}
