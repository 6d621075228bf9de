// SPDX-License-Identifier: Apache-2.0

//! The real program, through servers.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
};

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{Code, ExportedRun, Head, Key, Predecessor, RunState};

use crate::support::{
    fakes::{Fake, Trouble},
    world::{self, Issued, World},
};

/// A folder for state files, and servers.
struct Site {
    folder: tempfile::TempDir,
    world: World,
    office: Fake,
    relays: [Fake; 2],
}

/// The run of a line, as it would have gone to the chain.
fn sent(line: &ExportedRun) -> hashchain::Run {
    hashchain::Run {
        device: line.status.device,
        first_sequence: line.status.sequence,
        previous: line.previous,
        entries: line.entries.iter().map(hashchain::RunEntry::from).collect(),
        signature: line.signature.map(|signature| signature.0),
    }
}

/// What the program printed, and how it ended.
#[derive(Debug)]
struct Report {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Site {
    async fn open() -> Self {
        let world = World::with_codes(&["CODE-1", "CODE-2"]);
        let relays = [Fake::relay(&world).await, Fake::relay(&world).await];
        let office = Fake::office(&world).await;
        office.set().relays = relays.iter().map(|r| r.address.clone()).collect();
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            world,
            office,
            relays,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    async fn run(&self, arguments: &[&str]) -> Report {
        self.run_with(arguments, &[], "").await
    }

    /// Runs the program with secrets in its environment and something on its standard input.
    async fn run_with(&self, arguments: &[&str], secrets: &[(&str, &str)], input: &str) -> Report {
        let stdin = self.folder.path().join("input");
        std::fs::write(&stdin, input).expect("written");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mhealth-device"));
        command
            .args(arguments)
            .arg("--state")
            .arg(self.state())
            .env_remove("MHEALTH_ADMIN")
            .env_remove("MHEALTH_CODE")
            .env_remove("RUST_LOG")
            .envs(secrets.iter().copied())
            .stdin(Stdio::from(std::fs::File::open(&stdin).expect("opened")))
            .kill_on_drop(true);
        Report::of(command.output().await.expect("it starts"))
    }

    /// What a stopped phone still holds goes to the auditor, whole, and stays on the phone.
    async fn take_out_what_is_left(&self, entries: usize) {
        let file = self.folder.path().join("phone.ndjson");
        let out = format!("--out={}", file.display());
        let export = ["export-queue", &out];
        let taken = self.run(&export).await.succeeded();
        let told = format!("{entries} entries were taken out");
        assert!(taken.stdout.contains(&told), "{taken:?}");
        let status = self.run(&["status"]).await.succeeded();
        let told = format!("{entries} entries of stopped devices are not registered");
        assert!(status.stdout.contains(&told), "{status:?}");
        let left = entries.to_string();
        assert_eq!(taken.values()["entries"], left);
        assert_eq!(taken.values()["left_out"], "0");
        let text = std::fs::read_to_string(&file).expect("written");
        let runs: Vec<ExportedRun> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of an export"))
            .collect();
        let mut verifier = None;
        let mut taken = 0;
        for run in &runs {
            let links: Vec<_> = sent(run).links().collect();
            assert!(verifier.is_none_or(|head| head == run.previous));
            assert_eq!(run.status.head, sent(run).last_link());
            assert_eq!(run.status.state, RunState::Pending);
            verifier = Some(run.status.head);
            taken += links.len();
            let key = self.world.state().devices[0].key;
            let message = hashchain::head_message(&run.status.head);
            let signature = run.signature.expect("the device signs");
            assert!(hashchain::is_strictly_signed(
                &key.0,
                &message,
                &signature.0
            ));
            for entry in &run.entries {
                let digest = hashchain::data_digest::<hashchain::Native>(&entry.envelope.0);
                assert_eq!(digest, entry.digest);
            }
        }
        assert_eq!(taken, entries);
        // A file that is there is not written over.
        self.run(&export).await.failed(2, "unwritable_output");
    }

    fn auth(&self) -> String {
        format!("--auth={}", self.office.address)
    }

    fn relay(&self, number: usize) -> String {
        format!("--relay={}", self.relays[number].address)
    }
}

impl Report {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The pairs of the last line.
    fn values(&self) -> BTreeMap<&str, &str> {
        let last = self
            .stdout
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default();
        last.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect()
    }

    fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    fn failed(self, status: i32, code: &str) -> Self {
        let named = self.stderr.contains(&format!("error[{code}]"));
        assert!(
            self.status == Some(status) && named,
            "expected {status} and {code}: {self:?}"
        );
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }
}

#[tokio::test]
async fn a_phone_enrols_seals_uploads_and_compares_by_the_words_of_the_help() {
    let site = Site::open().await;
    let participant = hashchain::OpeningKey::from_bytes(&[0x50; 32]);
    let key = Key(participant.sealing_key().0);
    let code = world::code_for("CODE-1", Some(&key));
    // A server that is not honest, or was broken into, names a key of its own.
    let thiefs = Key(hashchain::OpeningKey::from_bytes(&[0x51; 32])
        .sealing_key()
        .0);
    let text = code.reveal();
    let text = [("MHEALTH_CODE", &text[..])];
    for named in [Some(thiefs), None] {
        site.world.issue(&code, named);
        site.run_with(&["enrol", &site.auth()], &text, "")
            .await
            .failed(1, "another_participant_key");
        assert!(!site.state().exists());
    }
    site.world.issue(&code, Some(key));
    // As somebody types it who reads it from paper.
    let typed = code.reveal().replace('-', " \u{2013}\u{a0}").to_lowercase();
    let code = [("MHEALTH_CODE", &typed[..])];
    let enrolled = site
        .run_with(&["enrol", &site.auth()], &code, "")
        .await
        .succeeded();
    assert_eq!(enrolled.values()["device"], "0");

    let sealed = ["seal", "--source=2026-01-06"];
    let first = site
        .run_with(&sealed, &[], "{\"slept\": 7}")
        .await
        .succeeded();
    let again = site
        .run_with(&sealed, &[], "{\"slept\": 7}")
        .await
        .succeeded();
    assert_eq!(
        (first.values()["sequence"], first.values()),
        ("1", again.values())
    );
    site.run(&["sync"]).await.failed_quietly(1);

    // It remembers its servers.
    let uploaded = site.run(&["upload", "--copies=2"]).await.succeeded();
    assert_eq!(
        (uploaded.values()["entries"], uploaded.values()["finalised"]),
        ("1", "1")
    );
    let synced = site.run(&["sync"]).await.succeeded();
    assert_eq!(synced.values()["level"], "1");
    let status = site.run(&["status"]).await.succeeded();
    assert!(status.stdout.contains(&site.office.address), "{status:?}");

    // What the relays hold can be read by the participant and by nobody else.
    let envelope = site.relays[1].set().envelopes[&(DeviceId(0), 1)].clone();
    let device = site.world.state().devices[0].key;
    let opened = hashchain::open_envelope(&participant, &device.0, 1, &envelope);
    let opened = opened.expect("the participant can");
    assert_eq!(opened.content().payload(), b"{\"slept\": 7}");
}

impl Report {
    fn failed_quietly(self, status: i32) {
        assert_eq!(self.status, Some(status), "{self:?}");
    }
}

#[tokio::test]
async fn a_code_for_something_else_than_configured_is_not_used_and_nothing_is_written() {
    let site = Site::open().await;
    let code = world::code("CODE-1").reveal();
    let code = [("MHEALTH_CODE", &code[..])];
    let other = "11".repeat(32);
    for (option, value) in [
        ("--genesis", &other[..]),
        ("--auditor-key", &other),
        ("--study", "9"),
    ] {
        let arguments = ["enrol", &site.auth(), option, value];
        site.run_with(&arguments, &code, "")
            .await
            .failed(4, "other_terms");
        assert!(!site.state().exists());
    }
    let unknown = [("MHEALTH_CODE", "hunter2")];
    let refused = site
        .run_with(&["enrol", &site.auth()], &unknown, "")
        .await
        .failed(2, "malformed_code");
    assert!(!refused.stderr.contains("hunter2"));
    assert!(site
        .office
        .received("/v1/code")
        .iter()
        .all(|body| !body.ends_with(b"hunter2\"}")));
    let unknown = world::code("ANOTHER").reveal();
    let unknown = [("MHEALTH_CODE", &unknown[..])];
    site.run_with(&["enrol", &site.auth()], &unknown, "")
        .await
        .failed(1, "unknown_code");
    site.run_with(&["enrol"], &code, "")
        .await
        .failed(2, "no_authentication_server");
    let plain = site
        .run_with(&["enrol", "--auth=http://auth.example.org"], &code, "")
        .await;
    assert!(
        plain.status == Some(2) && plain.stderr.contains("plain HTTP"),
        "{plain:?}"
    );
    site.run_with(&["enrol", &site.auth()], &code, "")
        .await
        .succeeded();
    site.run_with(&["enrol", &site.auth()], &code, "")
        .await
        .failed(2, "already_enrolled");
}

#[tokio::test]
async fn a_code_is_not_used_at_a_server_that_goes_by_another_address_and_nothing_is_written() {
    let site = Site::open().await;
    let code = world::code("CODE-1").reveal();
    let code = [("MHEALTH_CODE", &code[..])];
    let other = site.office.address.replace("127.0.0.1", "localhost");
    let arguments = ["enrol", &format!("--auth={other}")];
    let refused = site
        .run_with(&arguments, &code, "")
        .await
        .failed(1, "other_address");
    assert!(refused.stderr.contains(&other) && refused.stderr.contains(&site.office.address));
    assert!(!site.state().exists() && site.world.state().devices.is_empty());
    let slash = format!("{}/", site.auth());
    site.run_with(&["enrol", &slash], &code, "")
        .await
        .succeeded();
}

#[tokio::test]
async fn what_was_sealed_is_not_sealed_otherwise_without_a_word_and_large_records_go_in_parts() {
    let site = Site::open().await;
    let code = world::code("CODE-1").reveal();
    let code = [("MHEALTH_CODE", &code[..])];
    site.run_with(&["enrol", &site.auth()], &code, "")
        .await
        .succeeded();
    let seal = ["seal", "--source=monday"];
    site.run_with(&seal, &[], "431").await.succeeded();
    let differs = site
        .run_with(&seal, &[], "188")
        .await
        .failed(2, "differs_from_sealed");
    assert!(differs.stderr.contains("entry 1"));
    let correct = ["seal", "--source=monday", "--corrections"];
    let corrected = site.run_with(&correct, &[], "188").await.succeeded();
    assert_eq!(corrected.values()["sequence"], "2");

    let raw = "x".repeat(300_000);
    let large = ["seal", "--source=actigraphy"];
    let sealed = site.run_with(&large, &[], &raw).await.succeeded();
    assert!(sealed.stdout.contains("in 2 parts"), "{}", sealed.stdout);
    assert_eq!(sealed.values()["sequence"], "4");
    let again = site.run_with(&large, &[], &raw).await.succeeded();
    assert_eq!(again.values()["sequence"], "4");
    let sealed = site.run_with(&["seal", "--source=tuesday"], &[], "7").await;
    assert_eq!(sealed.succeeded().values()["sequence"], "5");
    let uploaded = site.run(&["upload"]).await.succeeded();
    assert_eq!(uploaded.values()["finalised"], "5");
}

#[tokio::test]
async fn an_enrolment_that_was_cut_off_goes_on_with_the_same_command() {
    let site = Site::open().await;
    let code = world::code("CODE-1").reveal();
    let code = [("MHEALTH_CODE", &code[..])];
    let arguments = ["enrol", &site.auth(), "--patience=0"];
    site.office.trouble([Trouble::None, Trouble::LostAnswer]);
    site.run_with(&arguments, &code, "")
        .await
        .failed(3, "server_unreachable");
    site.run_with(&arguments, &code, "").await.succeeded();
    assert_eq!(site.world.state().devices.len(), 1);
}

#[tokio::test]
async fn a_cohort_gets_its_codes_by_the_admin_credential_and_sends_to_two_relays() {
    let site = Site::open().await;
    let (auth, one, other) = (site.auth(), site.relay(0), site.relay(1));
    let cohort = [
        "simulate",
        "--devices=6",
        "--nights=5",
        "--run-length=2",
        "--copies=2",
        &auth,
        &one,
        &other,
    ];
    let admin = [("MHEALTH_ADMIN", "let me in")];
    let wrong = [("MHEALTH_ADMIN", "hunter2")];
    let refused = site
        .run_with(&cohort, &wrong, "")
        .await
        .failed(1, "invalid_credentials");
    assert!(!refused.stderr.contains("hunter2"));
    site.run(&cohort).await.failed(1, "no_code");

    let first = site.run_with(&cohort, &admin, "").await.succeeded();
    let entries = first.values()["entries"].to_owned();
    assert_eq!(
        (first.values()["devices"], first.values()["finalised"]),
        ("6", &entries[..])
    );
    assert!(first
        .stdout
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("uploads=")));
    for relay in &site.relays {
        assert_eq!(relay.set().envelopes.len().to_string(), entries);
    }
    let second = site.run_with(&cohort, &admin, "").await.succeeded();
    assert_eq!(second.values(), first.values());
    site.run(&["check", "--copies=2"]).await.succeeded();
}

#[tokio::test]
async fn servers_that_are_away_are_an_exit_status_of_their_own_and_nights_are_sealed_all_the_same()
{
    let site = Site::open().await;
    let (auth, one, other) = (site.auth(), site.relay(0), site.relay(1));
    let admin = [("MHEALTH_ADMIN", "let me in")];
    let run = async |nights: &str, copies: &str| {
        let cohort = [
            "simulate",
            "--devices=3",
            nights,
            copies,
            "--patience=1",
            &auth,
            &one,
            &other,
        ];
        site.run_with(&cohort, &admin, "").await
    };
    site.office.set().down = true;
    run("--nights=3", "--copies=1")
        .await
        .failed(3, "server_unreachable");
    site.office.set().down = false;
    run("--nights=3", "--copies=1").await.succeeded();

    for relay in &site.relays {
        relay.set().down = true;
    }
    let away = run("--nights=9", "--copies=1")
        .await
        .failed(3, "server_unreachable");
    assert!(away.stderr.contains("are sealed and kept in"), "{away:?}");
    site.relays[0].set().down = false;
    let short = run("--nights=9", "--copies=2")
        .await
        .failed(3, "too_few_copies");
    assert!(!short.stderr.contains("hunter"));
    site.relays[1].set().down = false;
    let whole = run("--nights=9", "--copies=2").await.succeeded();
    assert_eq!(whole.values()["entries"], whole.values()["finalised"]);
}

#[tokio::test]
async fn a_foreign_head_lies_and_refusals_are_told_apart_by_their_codes() {
    let site = Site::open().await;
    let auth = site.auth();
    let code = world::code("CODE-2").reveal();
    let code = [("MHEALTH_CODE", &code[..])];
    site.run_with(&["enrol", &auth], &code, "")
        .await
        .succeeded();
    site.run_with(&["seal", "--source=monday"], &[], "{}")
        .await
        .succeeded();
    site.run(&["upload"]).await.succeeded();

    let lie = Head {
        length: 1,
        hash: LinkHash([0xbd; 32]),
    };
    site.relays[1].set().lie = Some(lie);
    site.run(&["sync", "--copies=2"]).await.succeeded();
    site.relays[1].set().lie = None;
    let trusting = site.run(&["sync", "--copies=2", "--trust-relays"]).await;
    assert!(trusting.stderr.contains("words are taken for proofs"));

    site.run_with(&["seal", "--source=tuesday"], &[], "{}")
        .await
        .succeeded();
    for relay in &site.relays {
        relay.trouble([Trouble::Refused(Code::StudyClosed, None)]);
    }
    site.run(&["upload"]).await.failed(1, "study_closed");

    site.run_with(&["seal", "--source=late"], &[], "{}")
        .await
        .succeeded();
    site.world.forge(DeviceId(0));
    let stopped = site.run(&["sync"]).await;
    assert_eq!(
        (stopped.status, stopped.values()["stopped"]),
        (Some(1), "1")
    );
    assert!(
        stopped.stdout.contains("stopped[foreign_head]"),
        "{stopped:?}"
    );
    // A phone that was set back, and sealed again before it looked, looks like this, too.
    let told = site.run(&["upload"]).await.failed(1, "foreign_head");
    assert!(told.stderr.contains("restored from a backup"), "{told:?}");
    site.run_with(&["seal", "--source=wednesday"], &[], "{}")
        .await
        .failed(5, "device_frozen");
    site.run(&["upload"]).await.failed(1, "foreign_head");
    site.take_out_what_is_left(2).await;

    // Staff retires it, and a new device goes on from the last trusted head.
    let head = site.world.state().devices[0].entries[0].hash;
    let renewed = Issued {
        predecessor: Some(Predecessor {
            device: DeviceId(0),
            head,
        }),
        ..Issued::default()
    };
    let code = world::code("CODE-3").reveal();
    let known = code.to_string();
    site.world.state().codes.insert(known, renewed);
    let code = [("MHEALTH_CODE", &code[..])];
    let renewed = ["enrol", &auth, "--participant=participant-2"];
    let enrolled = site.run_with(&renewed, &code, "").await.succeeded();
    assert_eq!(enrolled.values()["device"], "1");
    let seal = ["seal", "--source=thursday", "--participant=participant-2"];
    site.run_with(&seal, &[], "{}").await.succeeded();
    let report = site.run(&["upload"]).await;
    assert_eq!(site.world.state().devices[1].head().length, 1, "{report:?}");
}

#[tokio::test]
async fn a_file_remembers_that_its_records_are_bare() {
    let site = Site::open().await;
    let (auth, one) = (site.auth(), site.relay(0));
    let admin = [("MHEALTH_ADMIN", "let me in")];
    let cohort = [
        "simulate",
        "--devices=2",
        "--nights=4",
        "--bare-records",
        &auth,
        &one,
    ];
    let report = site.run_with(&cohort, &admin, "").await.succeeded();
    assert_eq!(report.values()["entries"], report.values()["finalised"]);
    site.run(&["sync"]).await.succeeded();
}
