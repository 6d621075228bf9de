// SPDX-License-Identifier: Apache-2.0

//! The demo, as a person runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mhealth_testing::output::value;
use mhealth_testing::process::Program;

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

/// The page with what the demo prints of its dataset, and the same commands for whoever types them.
const PAGE: &str = "../docs/operating/data-manager.md";
/// The line before what it prints of its dataset, and how many lines that are.
const DATASET: &str = "Making a dataset of the valid nights, and checking it:";
const LINES: usize = 3;
/// Where the page has the demo's output.
const SHOWN: &str = "output/demo";

/// The demo's last line, of a run in which everything held, and in which a phone met a relay that lies, or none.
fn succeeding(arguments: &[&str], is_lied_to: bool) -> String {
    let folder = folder();
    let output = holding(arguments, is_lied_to, &folder.path().join("demo"));
    last_line(&output)
}

/// A run in which everything held, and in which a phone met a relay that lies, or none.
fn holding(arguments: &[&str], is_lied_to: bool, output: &Path) -> Output {
    let output = demo(arguments, output);
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
    output
}

/// What is printed of the dataset, whichever block the audit was of.
fn of_dataset(text: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| *line != DATASET);
    assert!(lines.next().is_some(), "{text}");
    let without_block = |line: &str| {
        let words = line.split(' ').map(|word| match word.split_once('=') {
            Some(("block", _)) => "block=",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    lines.take(LINES).map(without_block).collect()
}

/// The page's commands on the output of the demo, each in its words.
fn by_hand(page: &str) -> Vec<Vec<String>> {
    let first = format!("```sh\nmhealth-data keys list --keys {SHOWN}/keys\n");
    let (_, after) = page.split_once(&first).expect("the page has them");
    let (more, _) = after.split_once("```").expect("the block ends");
    let more = more.replace("\\\n", " ");
    let first = first.lines().skip(1);
    let commands = first.chain(more.lines());
    let words = |command: &str| -> Vec<String> {
        let words = command.split_whitespace();
        words.map(str::to_owned).collect()
    };
    commands.map(words).collect()
}

/// Types the page's commands. Gives the last line of each.
fn typed(page: &str, output: &Path) -> Vec<String> {
    let mut last_lines = Vec::new();
    let mut known = Vec::<(&str, String)>::new();
    for command in by_hand(page) {
        assert_eq!(command[0], "mhealth-data");
        let arguments = command[1..].iter().map(|word| {
            let mut word = word.replace(SHOWN, &output.display().to_string());
            for (name, value) in &known {
                word = word.replace(name, value);
            }
            word
        });
        let mut program = Program::Data.command().expect("it is built");
        let done = program.args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command:?}: {said}{wrong}");
        let line = last_line(&done);
        if known.is_empty() {
            let named = |name: &str| value(&line, name).expect("it is said").to_owned();
            let participant = said.split(' ').next().expect("a name").to_owned();
            known.push(("GENESIS", named("chain")));
            known.push(("HOLDER", named("holder")));
            known.push(("PARTICIPANT", participant));
        }
        last_lines.push(line);
    }
    last_lines
}

#[test]
fn the_demo_registers_every_night_of_a_file_through_two_relays_and_refuses_every_attempt_to_cheat()
{
    let folder = folder();
    let output = folder.path().join("demo");
    let ended = holding(&["--csv", NIGHTS], true, &output);
    assert_eq!(
        last_line(&ended),
        "devices=3 entries=33 duplicates=1 finalised=33 refused=6 audit=passed"
    );
    // The dataset, its verification and its picture, as the page shows them.
    let said = String::from_utf8_lossy(&ended.stdout);
    let said = said.replace(&output.display().to_string(), SHOWN);
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let told = of_dataset(&said);
    assert_eq!(told, of_dataset(&page));
    let figures = |line: &str| line.split_once(" rows=").map(|(_, rest)| rest.to_owned());
    assert!(told[0].trim_start().starts_with("done=true dataset="));
    assert!(told[1].trim_start().starts_with("verified=true rows="));
    assert!(figures(&told[0]).is_some());
    assert_eq!(figures(&told[0]), figures(&told[1]));
    let picture = fs::read_to_string(output.join("dataset/nights.svg")).expect("it is drawn");
    let nights = value(&told[0], "current").expect("it is said");
    assert_eq!(picture.matches("<title>").count().to_string(), nights);
    // And by hand.
    let typed = typed(&page, &output);
    let verified = said
        .lines()
        .find(|line| line.contains("verified=true rows="));
    assert_eq!(Some(typed[1].as_str()), verified.map(str::trim));
    assert!(typed[2].starts_with("done=true package="), "{}", typed[2]);
    assert!(output.join("mine/my-data.html").exists());
    assert!(typed[3].starts_with("done=true keys="), "{}", typed[3]);
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
