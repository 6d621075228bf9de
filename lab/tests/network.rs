// SPDX-License-Identifier: Apache-2.0

//! Four validators, as `scripts/network --check` runs them.

use std::process::Command;

#[test]
fn one_of_four_validators_may_stop_and_two_may_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_mhealth-network"))
        .arg("--check")
        .output()
        .expect("the network starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    let last = said.lines().next_back().unwrap_or_default();
    assert!(
        last.starts_with("validators=4 stopped_1=finalises stopped_2=halts restarted=resumes "),
        "{said}"
    );
}
