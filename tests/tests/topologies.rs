// SPDX-License-Identifier: Apache-2.0

//! Commands of phones and auditors in the documents are understood. The servers' own tests try theirs, and the members' theirs.

use mhealth_testing::document::commands;
use mhealth_testing::process::Program;

/// How `mhealth-device` ends when nobody is there to talk to.
const UNREACHABLE: i32 = 3;

#[test]
fn the_phones_commands_are_understood() {
    let commands = commands(
        include_str!("../../docs/operating/topologies.md"),
        "mhealth-device",
    );
    // One more takes out of a file what a stopped phone still holds, and talks to nobody: the simulator's own tests try it.
    let simulated = |command: &&Vec<String>| command.iter().any(|word| word == "simulate");
    assert_eq!(commands.len(), 8);
    assert_eq!(commands.iter().filter(simulated).count(), 7);
    for command in commands.iter().filter(simulated) {
        let folder = tempfile::tempdir().expect("a folder");
        // Nobody listens at port 1.
        let nowhere = command.iter().map(|word| match word.rsplit_once(':') {
            Some((address, _)) => format!("{address}:1"),
            None => word.clone(),
        });
        let mut device = Program::Device.command().expect("it is built");
        let device = device.args(nowhere.skip(1)).arg("--patience=1");
        let ended = device
            .env("MHEALTH_ADMIN", "staff")
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(
            ended.status.code(),
            Some(UNREACHABLE),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn the_commands_of_story_and_runbooks_are_understood() {
    let documents = [
        include_str!("../../docs/operating/story.md"),
        include_str!("../../docs/operating/runbooks.md"),
    ];
    for (program, number) in [(Program::Device, 7), (Program::Auditor, 6)] {
        let of = |document| commands(document, program.name());
        let commands: Vec<_> = documents.into_iter().flat_map(of).collect();
        assert_eq!(commands.len(), number, "{program:?}");
        for command in commands {
            // What the shell puts in: the hash of the first block, and ports.
            let hash = format!("0x{}", "1".repeat(64));
            let filled = command[1..].iter().map(|word| match word.split_once('$') {
                Some((_, "genesis")) => hash.clone(),
                Some((before, _)) => format!("{before}1"),
                None => word.clone(),
            });
            let mut program = program.command().expect("it is built");
            // It reads what stands before this, and does nothing.
            let ended = program.args(filled).arg("--help").output();
            let ended = ended.expect("it runs");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{command:?}: {said}");
        }
    }
}
