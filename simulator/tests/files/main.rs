// SPDX-License-Identifier: Apache-2.0

//! Files of nights as programs and people really write them, through the real program. All data is made up.

mod data_points;
#[path = "../desk/mod.rs"]
mod desk;
mod tables;

use desk::{last_line, stderr, Desk};
use serde_json::Value;

/// Takes a file into a new state file, and gives the payloads.
fn taken(data: &str, options: &[&str], expected: &str) -> Vec<Vec<(String, Value)>> {
    let desk = Desk::empty();
    let output = desk.take(data, options);
    assert!(output.status.success(), "{data}: {}", stderr(&output));
    let line = format!("{expected} finalised=0 refused=0");
    assert_eq!(last_line(&output), line, "{data}");
    desk.payloads()
}

/// Refuses a file, seals nothing, and says this on its lines.
fn refused(data: &str, options: &[&str], mistakes: &[(&str, &str)]) -> String {
    let desk = Desk::empty();
    let output = desk.take(data, options);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{data}: {said}");
    assert!(!desk.state().exists(), "{data}: something was sealed");
    let found: Vec<&str> = said.lines().collect();
    assert_eq!(found.len(), mistakes.len(), "{data}: {said}");
    for (line, (code, place)) in found.iter().zip(mistakes) {
        let expected = format!("error[{code}]: {place}");
        assert!(
            line.starts_with(&expected),
            "{data}: {line}, not {expected}"
        );
    }
    said
}
