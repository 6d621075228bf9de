// SPDX-License-Identifier: Apache-2.0

//! The real `mhealth-device` and a real node: the paper's Figure 1a, and everything that can come between the two.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mhealth_chain_client::{calls, Account, ChainClient, SuspensionReason};
use mhealth_device::{Store, SystemClock};
use mhealth_tests::node::{Launch, Node};
use support::{Setting, STUDY};

/// Until then something that must happen has to have happened.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cohort's files.
struct Cohort {
    folder: tempfile::TempDir,
    url: String,
}

/// What the program printed, and how it ended.
struct Report {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Cohort {
    fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Cohort {
            folder,
            url: url.to_string(),
        }
    }

    fn of(node: &Node) -> Self {
        Cohort::at(&node.url())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let this = std::env::current_exe().expect("this program has a path");
        let beside = this
            .ancestors()
            .nth(2)
            .expect("target/release/deps")
            .join("mhealth-device");
        let program = std::env::var_os("MHEALTH_DEVICE").map_or(beside, PathBuf::from);
        assert!(
            program.is_file(),
            "run cargo build --release -p mhealth-device first"
        );
        let mut command = Command::new(program);
        command
            .arg(subcommand)
            .arg("--state")
            .arg(self.state())
            .args(arguments)
            .env_remove("RUST_LOG")
            .env_remove("MHEALTH_ENROL_WITH")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if subcommand != "status" {
            command.args(["--node", &self.url]);
        }
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command("simulate", arguments)
            .spawn()
            .expect("it starts")
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> Report {
        Report::of(
            self.command(subcommand, arguments)
                .output()
                .expect("it starts"),
        )
    }

    fn simulate(&self, arguments: &[&str]) -> Report {
        self.run("simulate", arguments)
    }

    /// Device number on chain, length and head of each device, as `status` prints them.
    fn heads(&self) -> Vec<(u32, u64, String)> {
        let status = self.run("status", &[]);
        assert_eq!(status.status, Some(0), "{}", status.stderr);
        let lines = status.stdout.lines().filter(|line| line.contains("head="));
        lines
            .map(|line| {
                let values = values(line);
                let number = values["device"].parse().expect("it is enrolled");
                (
                    number,
                    values["sequence"].parse().expect("a number"),
                    values["head"].clone(),
                )
            })
            .collect()
    }
}

impl Report {
    fn of(output: Output) -> Self {
        Report {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn last_line(&self) -> &str {
        self.stdout
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default()
    }

    fn number(&self, key: &str) -> u64 {
        let values = values(self.last_line());
        values
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{self}"))
    }

    /// It ended with this status and named this error.
    fn assert_failed(&self, status: i32, code: &str) {
        let named = self.stderr.contains(&format!("error[{code}]"));
        assert!(
            self.status == Some(status) && named,
            "expected {status} and {code}: {self}"
        );
        assert!(!self.stderr.contains("panicked"), "{self}");
    }

    fn assert_complete(&self) {
        assert_eq!(self.status, Some(0), "{self}");
        assert_eq!(self.number("finalised"), self.number("entries"), "{self}");
        assert_eq!(self.number("refused"), 0, "{self}");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "status {:?}\n{}\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

fn values(line: &str) -> BTreeMap<&str, String> {
    let pairs = line
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key, value.to_string())).collect()
}

/// The chain has exactly the entries that the devices sealed, no more and no fewer.
async fn assert_equal(cohort: &Cohort, chain: &ChainClient) {
    let mut entries = 0;
    for (number, length, head) in cohort.heads() {
        let on_chain = chain
            .head(number)
            .await
            .expect("read")
            .expect("it is enrolled");
        assert_eq!(
            (on_chain.length, format!("{:#x}", on_chain.hash)),
            (length, head)
        );
        entries += length;
    }
    assert_eq!(chain.journal_length().await.expect("read"), entries);
    let check = cohort.run("check", &[]);
    assert_eq!(check.status, Some(0), "{check}");
    assert_eq!(check.number("level"), check.number("devices"));
}

/// Waits until the chain has registered this many entries.
async fn entries_on_chain(chain: &ChainClient, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    while chain.journal_length().await.expect("the node answers") < wanted {
        assert!(
            Instant::now() < deadline,
            "the chain never had {wanted} entries"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_night_is_registered_once_and_a_second_time_changes_nothing() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = [
        "--devices",
        "6",
        "--nights",
        "12",
        "--seed",
        "3",
        "--run-length",
        "5",
    ];
    let first = cohort.simulate(&nights);
    first.assert_complete();
    assert!(
        first.number("devices") == 6 && first.number("entries") > 40,
        "{first}"
    );
    assert_equal(&cohort, &setting.chain).await;
    assert_eq!(cohort.simulate(&nights).stdout, first.stdout);
    // The trial goes on: the first weeks are there already.
    let more = cohort.simulate(&["--devices", "8", "--nights", "20", "--seed", "3"]);
    more.assert_complete();
    assert!(more.number("devices") == 8 && more.number("entries") > first.number("entries"));
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_real_nights_is_registered_with_its_duplicates_recognised() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = "data/nights.csv";
    let report = cohort.simulate(&["--csv", nights, "--envelope", "plain"]);
    report.assert_complete();
    assert_eq!(
        report.last_line(),
        "devices=3 entries=33 duplicates=1 finalised=33 refused=0"
    );
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_registers_goes_on_where_it_was() {
    let setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::of(&setting.node);
    let nights = ["--devices", "5", "--nights", "14", "--run-length", "2"];
    for wanted in [0, 1, 12, 30] {
        let mut program = cohort.start(&nights);
        entries_on_chain(&setting.chain, wanted).await;
        program.kill().expect("killed");
        program.wait().expect("gone");
    }
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_started_again_in_between_costs_nothing() {
    let mut setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::of(&setting.node);
    let program = cohort.start(&["--devices", "5", "--nights", "14", "--run-length", "2"]);
    for wanted in [1, 20] {
        entries_on_chain(&setting.chain, wanted).await;
        setting.node.kill().expect("it is killed");
        setting.node.start_again().expect("it starts");
    }
    Report::of(program.wait_with_output().expect("it ends")).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_are_sealed_while_the_node_is_away_and_registered_later() {
    let mut setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "3", "--nights", "3"])
        .assert_complete();
    setting.node.stop().expect("it stops");
    let nights = ["--devices", "3", "--nights", "9", "--patience", "1"];
    let away = cohort.simulate(&nights);
    away.assert_failed(3, "node_unreachable");
    assert!(away.stderr.contains("are sealed and kept in"), "{away}");
    let sealed: u64 = cohort.heads().iter().map(|(_, length, _)| length).sum();
    setting.node.start_again().expect("it starts");
    let report = cohort.simulate(&nights);
    report.assert_complete();
    assert_eq!(report.number("entries"), sealed);
    assert_equal(&cohort, &setting.chain).await;
}

#[test]
fn without_node_and_state_there_is_nothing_to_do() {
    // Nothing listens on the port of a node that has ended.
    let url = Launch::instant().start().expect("the node starts").url();
    let cohort = Cohort::at(&url);
    cohort
        .simulate(&["--patience", "0"])
        .assert_failed(3, "node_unreachable");
    Cohort::at("http://nowhere")
        .simulate(&[])
        .assert_failed(2, "bad_url");
    cohort.run("check", &[]).assert_failed(5, "state_missing");
    assert!(!cohort.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused_and_nothing_is_written() {
    let other = "0x".to_string() + &"11".repeat(32);
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--genesis", &other])
        .assert_failed(4, "wrong_chain");
    assert!(!cohort.state().exists());
    cohort
        .simulate(&["--devices", "2", "--nights", "3"])
        .assert_complete();
    cohort
        .simulate(&["--genesis", &other])
        .assert_failed(4, "state_of_another_chain");
    cohort
        .simulate(&["--study", "77"])
        .assert_failed(4, "state_of_another_study");
    let before = std::fs::read(cohort.state()).expect("it is there");

    let local = Launch::local(0).start().expect("the node starts");
    let moved = Cohort {
        url: local.url(),
        ..cohort
    };
    moved
        .simulate(&["--devices", "9"])
        .assert_failed(4, "wrong_chain");
    moved.run("check", &[]).assert_failed(4, "wrong_chain");
    assert_eq!(std::fs::read(moved.state()).expect("it is there"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_is_not_there_is_named() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--study", "77"])
        .assert_failed(4, "unknown_study");
    assert!(!cohort.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_enrol_is_refused_and_the_nights_wait() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = ["--devices", "2", "--nights", "5"];
    for (who, code) in [
        ("//Ferdie", "no_role"),
        ("//Dave", "ClientHashchain.NotAnAuthenticationServer"),
    ] {
        let report = cohort.simulate(&[&nights[..], &["--enrol-with", who]].concat());
        report.assert_failed(1, code);
        assert_eq!(
            (report.number("finalised"), report.number("refused")),
            (0, report.number("entries"))
        );
    }
    let bad = cohort.simulate(&[&nights[..], &["--enrol-with", "hunter2"]].concat());
    bad.assert_failed(2, "bad_secret");
    assert!(!bad.stderr.contains("hunter2"), "{bad}");
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_waits_and_the_others_go_on() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "3", "--nights", "4"])
        .assert_complete();
    let suspended = cohort.heads()[1].0;
    let sponsor = setting.submitter("//Bob");
    let suspend = calls::suspend(suspended, SuspensionReason::Lost);
    sponsor.submit_and_wait(suspend).await.expect("suspended");

    let nights = ["--devices", "3", "--nights", "12"];
    let report = cohort.simulate(&nights);
    report.assert_failed(1, "device_shut_out");
    let waiting = report.number("entries") - report.number("finalised");
    assert!(
        waiting > 0 && report.number("refused") == waiting,
        "{report}"
    );
    let check = cohort.run("check", &[]);
    assert_eq!(
        (check.status, check.number("level"), check.number("behind")),
        (Some(1), 2, 1)
    );

    sponsor
        .submit_and_wait(calls::resume(suspended))
        .await
        .expect("resumed");
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_stopped_before_it_seals_a_second_history() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "2", "--nights", "4"])
        .assert_complete();
    let backup = cohort.folder.path().join("backup.db");
    std::fs::copy(cohort.state(), &backup).expect("copied");
    cohort
        .simulate(&["--devices", "2", "--nights", "9"])
        .assert_complete();
    let heads = cohort.heads();

    restore(&backup, &cohort.state());
    let report = cohort.simulate(&["--devices", "2", "--nights", "12"]);
    report.assert_failed(1, "restored_backup");
    for (number, length, head) in heads {
        let on_chain = setting
            .chain
            .head(number)
            .await
            .expect("read")
            .expect("it is enrolled");
        assert_eq!(
            (on_chain.length, format!("{:#x}", on_chain.hash)),
            (length, head)
        );
    }
    let check = cohort.run("check", &[]);
    assert_eq!((check.status, check.number("stopped")), (Some(1), 2));
    assert!(check.stdout.contains("restored_backup"), "{check}");
}

fn restore(backup: &Path, state: &Path) {
    for end in ["-wal", "-shm"] {
        let mut name = state.as_os_str().to_owned();
        name.push(end);
        // Left behind only by a program that was killed.
        let _ = std::fs::remove_file(name);
    }
    std::fs::copy(backup, state).expect("restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_somebody_else_wrote_with_the_stolen_key_stop_the_device() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "1", "--nights", "4"])
        .assert_complete();
    let (number, length, head) = cohort.heads()[0].clone();

    // Figure 6: the thief has the key, but makes the tags up.
    let seed = stolen_seed(&cohort.state());
    let thief = setting.chain.submitter(Account::device(&seed));
    let previous = head.parse().expect("a hash");
    let forged = forged_run(&seed, number, length + 1, previous);
    thief
        .submit_and_wait(calls::submit(forged))
        .await
        .expect("the chain cannot know");

    let report = cohort.simulate(&["--devices", "1", "--nights", "9"]);
    report.assert_failed(1, "foreign_head");
    let on_chain = setting
        .chain
        .head(number)
        .await
        .expect("read")
        .expect("it is enrolled");
    assert_eq!(on_chain.length, length + 1);
    assert_eq!(
        setting
            .chain
            .study(STUDY)
            .await
            .expect("read")
            .map(|study| study.open),
        Some(true)
    );
}

/// What malware on the phone would read.
fn stolen_seed(state: &Path) -> [u8; 32] {
    let store = Store::open(state, Arc::new(SystemClock)).expect("opened");
    let device = store.devices().expect("read")[0].id;
    *store.device_key(device).expect("read").expose_seed()
}

fn forged_run(
    seed: &[u8; 32],
    device: u32,
    sequence: u64,
    previous: mhealth_chain_client::H256,
) -> mhealth_chain_client::Run {
    use hashchain::{link, sign_head, DataDigest, LinkHash, Native, Tag};
    use mhealth_chain_client::{Run, RunEntry, H256};
    let (digest, tag) = ([0xfa; 32], [0xfb; 32]);
    let hash = link::<Native>(
        sequence,
        &LinkHash(previous.0),
        &DataDigest(digest),
        &Tag(tag),
    );
    let key = ed25519_dalek::SigningKey::from_bytes(seed);
    Run {
        device,
        sequence,
        previous,
        entries: vec![RunEntry {
            digest: H256(digest),
            tag: H256(tag),
        }],
        signature: Some(sign_head(&key, &hash)),
    }
}
