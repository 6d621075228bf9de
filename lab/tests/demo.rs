// SPDX-License-Identifier: Apache-2.0

//! The demo, as a person runs it.

use std::path::Path;
use std::process::{Command, Output};

fn demo(arguments: &[&str], output: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mhealth-demo"))
        .args(arguments)
        .arg("--output")
        .arg(output)
        .output()
        .expect("the demo starts")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// 3 people, 12 nights each, 3 nights without data, one row twice.
const NIGHTS: &str = "../tests/data/nights.csv";

/// The demo's last line, of a run in which everything held, and in which a phone met a relay that lies, or none.
fn succeeding(arguments: &[&str], is_lied_to: bool) -> String {
    let folder = folder();
    let output = demo(arguments, &folder.path().join("demo"));
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Where phones chain there is an audit, whose report is signed; a changed digit is refused.
    assert_eq!(
        said.contains("audit.html: verified=true ") && said.contains("audit.json: verified=true "),
        !said.contains("did not chain")
    );
    assert_eq!(
        said.contains("audit.html with another digit: verified=false error=report_changed"),
        !said.contains("did not chain")
    );
    let caught = said.contains("caught: a hacked relay said of ");
    assert_eq!(caught, is_lied_to, "{said}");
    last_line(&output)
}

#[test]
fn the_demo_registers_every_night_of_a_file_through_two_relays_and_refuses_every_attempt_to_cheat()
{
    assert_eq!(
        succeeding(&["--csv", NIGHTS], true),
        "devices=3 entries=33 duplicates=1 finalised=33 refused=6 audit=passed"
    );
}

#[test]
fn phones_that_reach_the_chain_directly_get_the_same_result() {
    assert_eq!(
        succeeding(&["--csv", NIGHTS, "--topology", "1a"], false),
        "devices=3 entries=33 duplicates=1 finalised=33 refused=6 audit=passed"
    );
}

#[test]
fn what_relays_chain_for_phones_is_registered_and_covered_by_no_audit() {
    // Each person wears a phone of either relay.
    assert_eq!(
        succeeding(&["--csv", NIGHTS, "--topology", "2b"], false),
        "devices=6 entries=66 duplicates=2 finalised=66 refused=6 audit=uncovered"
    );
}

#[test]
fn a_demo_that_could_not_run_fails_and_says_why() {
    let folder = folder();
    let output = demo(
        &["--csv", "/does/not/exist.csv"],
        &folder.path().join("demo"),
    );
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("/does/not/exist.csv"), "{error}");
}

#[test]
fn the_demo_replaces_nothing_that_is_not_its_own() {
    let folder = folder();
    let thesis = folder.path().join("thesis.txt");
    std::fs::write(&thesis, "three years").expect("a file in a temporary folder");
    let output = demo(&["--quick"], folder.path());
    assert!(!output.status.success());
    assert!(thesis.exists());
}
