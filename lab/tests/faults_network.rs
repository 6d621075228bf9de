// SPDX-License-Identifier: Apache-2.0

//! The fault run of the network in its short form: one fault of each kind. `docs/explained/reliability.md` has the figures of
//! the long one.

use std::process::Command;

use mhealth_testing::output::value;

/// What the last line says after these options.
fn last_line(options: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_mhealth-faults"))
        .args(["network", "--faults=1", "--lanes=2", "--devices=4"])
        .args(options)
        .arg("--output")
        .arg(folder.path().join("run"))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    let last = said.lines().next_back().unwrap_or_default();
    assert_eq!(value(last, "broken"), Some("0"), "{said}");
    assert_eq!(value(last, "lost"), Some("0"), "{said}");
    assert_eq!(value(last, "doubled"), Some("0"), "{said}");
    last.to_owned()
}

#[test]
#[ignore = "takes more than five minutes: scripts/test network-faults"]
fn four_validators_stand_every_fault_of_the_network() {
    let last = last_line(&["--seed=1"]);
    let number = |key| value(&last, key).and_then(|text| text.parse::<u32>().ok());
    let all = number("faults").zip(number("impossible"));
    // Those that this system cannot let happen are counted apart.
    assert_eq!(all.map(|(held, not)| held + not), Some(16), "{last}");
}

#[test]
#[ignore = "takes minutes: scripts/test network-faults"]
fn without_namespaces_validators_are_parted_all_the_same() {
    let kinds = ["--one-address", "--kind=part-halves", "--kind=part-one"];
    let last = last_line(&kinds);
    assert_eq!(value(&last, "faults"), Some("2"), "{last}");
}
