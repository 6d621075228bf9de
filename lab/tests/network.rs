// SPDX-License-Identifier: Apache-2.0

//! Four validators, as `scripts/network` runs them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mhealth_testing::process;

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

/// The processes whose command names this folder.
fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().expect("it is text");
    let all = std::fs::read_dir("/proc").expect("Linux shows its processes");
    let numbers = all.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&command)
            .contains(folder)
            .then_some(number)
    });
    numbers.collect()
}

#[test]
fn a_network_that_is_told_to_end_leaves_no_node_behind() {
    const PATIENCE: Duration = Duration::from_secs(120);
    for signal in ["TERM", "HUP", "INT"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut network = Command::new(env!("CARGO_BIN_EXE_mhealth-network"))
            .arg("--base-path")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the network starts");
        let said = network.stdout.take().expect("it has an output");
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        // The first of them runs by then.
        let second = lines.any(|line| line.starts_with("starting bob"));
        let running = processes_of(folder.path()).len();
        let ended = process::end(&mut network, signal, PATIENCE);
        let left = processes_of(folder.path());
        for node in &left {
            let kill = format!("kill -KILL {node}");
            let _ = Command::new("sh").args(["-c", &kill]).status();
        }
        assert!(second && running >= 2, "{signal}: {running}");
        assert!(ended.is_ok(), "{signal}: {ended:?}");
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
}
