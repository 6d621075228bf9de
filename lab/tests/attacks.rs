// SPDX-License-Identifier: Apache-2.0

//! The attack laboratory, as `scripts/attacks` runs it.

use std::process::Command;

/// Attacks of the first two acts where phones chain, those among them that have nothing to do with a study's policy and are played
/// once, and attacks where phones do not chain.
const CHAINED: usize = 48;
const APART: usize = 8;
const UNCHAINED: usize = 11;

#[test]
fn no_attack_on_the_hashchain_passes_unseen_and_those_on_phones_that_do_not_chain_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_mhealth-attacks"))
        .args(["--attempts=2", "--output"])
        .arg(folder.path().join("attacks"))
        .output()
        .expect("the laboratory starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    let last = said.lines().next_back().unwrap_or_default();
    assert!(
        last.starts_with("attempts=")
            && last.ends_with(" unseen=0 misattributed=0 false_alarms=0 silenced_unseen=4 unmet=0"),
        "{said}"
    );
    let text = std::fs::read(folder.path().join("attacks/attacks.json"));
    let report: serde_json::Value =
        serde_json::from_slice(&text.expect("there is a report")).expect("it is JSON");
    for (column, played) in [UNCHAINED, UNCHAINED, CHAINED + APART, CHAINED]
        .into_iter()
        .enumerate()
    {
        let attacks = report["columns"][column]["attacks"].as_array();
        assert_eq!(attacks.map(Vec::len), Some(played), "{said}");
    }
    for unchained in 0..2 {
        let altered = &report["columns"][unchained]["attacks"][0];
        assert_eq!(
            (&altered["attack"], &altered["unseen"]),
            (&"alter".into(), &2.into())
        );
    }
}

#[test]
fn the_laboratory_replaces_nothing_that_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let thesis = folder.path().join("thesis.txt");
    std::fs::write(&thesis, "three years").expect("a file in a temporary folder");
    let status = Command::new(env!("CARGO_BIN_EXE_mhealth-attacks"))
        .arg("--output")
        .arg(folder.path())
        .status()
        .expect("the laboratory starts");
    assert!(!status.success());
    assert!(thesis.exists());
}
