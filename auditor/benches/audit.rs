// SPDX-License-Identifier: Apache-2.0

//! How long the audit of a large study takes, and how much memory: a real node, a saved export, and the program. Then the same with
//! exports of a hostile relay; none may take more than [`MOST_MIB`].
//!
//! `cargo bench --workspace --bench audit -- [--entries N]`, after `cargo build --release --workspace`. The line after the exports
//! reads `entries= exports= most_peak_mib=`. Then evidence: of a device, and of the whole study with its envelopes, which takes no
//! more memory either. `MHEALTH_AUDITOR` names another build of the program, which then reads the same chain.
//! With `--pruned` the node keeps the states of 16 blocks alone, which is enough for evidence.

// What it measures is what it prints.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

mod hostile;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::{stream, StreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{RunState, RunUpload};
use mhealth_auditor::evidence::Evidence;
use mhealth_chain_client::{calls, Account, Submission};
use mhealth_testing::audit::watch;
use mhealth_testing::export::{closing_line, Signer};
use mhealth_testing::node::Launch;
use mhealth_testing::phone::{enrol_after, exported, record, Phone};

use support::Trial;

const STUDY: StudyId = StudyId(0);
/// An audit that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// What an auditor of a study of a million entries may take of memory, whatever a relay sends.
const MOST_MIB: u64 = 512;
/// The same of an honest relay's export.
const MOST_MIB_HONEST: u64 = 200;
const DEVICES: u32 = 1_000;
/// Devices of another study, of which evidence is made as a whole. They are there before all of the others' entries, so that every block
/// is looked at for it.
const STUDIED: StudyId = StudyId(1);
const STUDIED_DEVICES: u32 = 2_000;
const ENTRIES_A_RUN: usize = 16;
const RUNS_A_BATCH: usize = 64;
/// Batches on their way to the chain.
const IN_FLIGHT: usize = 48;
/// What a night's record takes, sealed.
const DATA: usize = 535;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted = arguments
        .iter()
        .skip_while(|argument| *argument != "--entries")
        .nth(1);
    let entries: u64 = wanted.map_or(1_000_000, |count| count.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pruned = arguments.iter().any(|argument| argument == "--pruned");
    runtime.block_on(measure(entries, pruned));
}

async fn measure(wanted: u64, pruned: bool) {
    let states = if pruned { "16" } else { "archive" };
    let states = format!("--state-pruning={states}");
    let trial = Trial::begin(Launch::consensus().arg(states)).await;
    let mut studied = enrolled(&trial, STUDIED, STUDIED_DEVICES).await;
    bring_once(&trial, &mut studied).await;
    let mut phones = enrolled(&trial, STUDY, DEVICES).await;
    let began = Instant::now();
    let (path, bytes) = (
        trial.directory.path().join("export.ndjson"),
        "x".repeat(DATA),
    );
    let mut export = BufWriter::new(File::create(&path).unwrap());
    let mut under_way = VecDeque::new();
    let (mut entries, mut cursor) = (0, 0);
    let mut genuine = String::new();
    while entries < wanted {
        for chunk in phones.chunks_mut(RUNS_A_BATCH) {
            let runs: Vec<_> = chunk
                .iter_mut()
                .map(|phone| record(phone, ENTRIES_A_RUN, &bytes))
                .collect();
            for run in &runs {
                cursor += 1;
                let mut line = exported(run, cursor, STUDY, RunState::Finalised);
                if cursor == 1 {
                    genuine = serde_json::to_string(&line).unwrap() + "\n";
                    // The one that the audit must find.
                    line.entries[0].envelope.0[40] ^= 1;
                }
                serde_json::to_writer(&mut export, &line).unwrap();
                export.write_all(b"\n").unwrap();
            }
            entries += (runs.len() * ENTRIES_A_RUN) as u64;
            let runs = runs.iter().map(RunUpload::run).collect();
            let batch = trial.relay.submit(calls::submit_batch(runs)).await.unwrap();
            under_way.push_back(batch);
            if under_way.len() == IN_FLIGHT {
                settle(under_way.pop_front()).await;
            }
        }
    }
    while !under_way.is_empty() {
        settle(under_way.pop_front()).await;
    }
    export.flush().unwrap();
    let account = Account::from_secret_uri("//Dave").unwrap();
    let signer = Signer::now(&trial.chain, STUDY, account).await.unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    let closing = closing_line(signer.closing(&lines, 0, cursor, false));
    drop(lines);
    export.get_mut().write_all(closing.as_bytes()).unwrap();
    println!(
        "devices={DEVICES} entries={entries} registered_in_s={:.0} export_mib={}",
        began.elapsed().as_secs_f64(),
        std::fs::metadata(&path).unwrap().len() >> 20
    );

    let other = std::env::var("MHEALTH_AUDITOR").ok();
    let auditors = [env!("CARGO_BIN_EXE_mhealth-auditor")].into_iter();
    for auditor in auditors.chain(other.as_deref()) {
        println!("auditor={auditor}");
        if !pruned {
            audits(&trial, auditor, &path, entries);
        }
        evidence_of_study(&trial, auditor);
        // Not the phone whose envelope was altered.
        evidence(&trial, auditor, phones[1].device(), &path);
        evidence_of_all(&trial, auditor, &path, &genuine);
    }
}

/// So many phones of a study.
async fn enrolled(trial: &Trial, study: StudyId, count: u32) -> Vec<Phone> {
    let office = &trial.office;
    stream::iter(1..=count)
        .map(|number| async move {
            let mut seed = [0x3c; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            seed[4..8].copy_from_slice(&study.0.to_le_bytes());
            enrol_after(office, study, &seed, None).await.unwrap()
        })
        .buffer_unordered(200)
        .collect()
        .await
}

/// Each of these phones registers one run.
async fn bring_once(trial: &Trial, phones: &mut [Phone]) {
    let mut under_way = Vec::new();
    for chunk in phones.chunks_mut(RUNS_A_BATCH) {
        let runs = chunk
            .iter_mut()
            .map(|phone| record(phone, ENTRIES_A_RUN, "").run());
        let batch = calls::submit_batch(runs.collect());
        under_way.push(trial.relay.submit(batch).await.unwrap());
    }
    for batch in under_way {
        settle(Some(batch)).await;
    }
}

/// How long an audit takes, without and with reports, and what it makes of a hostile relay's exports.
fn audits(trial: &Trial, auditor: &str, export: &Path, entries: u64) {
    let mut most = 0;
    for (name, reports) in [("judge", false), ("judge and write both reports", true)] {
        let mut audit = audit_of(trial, auditor, export);
        if reports {
            audit
                .arg("--json")
                .arg(trial.directory.path().join("a.json"));
            audit
                .arg("--html")
                .arg(trial.directory.path().join("a.html"));
        }
        let ended = watch(audit, PATIENCE).unwrap();
        let (took, peak) = (ended.took.as_secs_f64(), ended.memory);
        most = most.max(peak);
        assert_eq!(ended.status, Some(1), "the altered envelope is found");
        println!(
            "what={name:?} seconds={took:.0} entries_per_s={:.0} peak_mib={peak}",
            entries as f64 / took
        );
        assert!(peak <= MOST_MIB_HONEST, "an audit took {peak} MiB");
    }
    for (name, write) in hostile::KINDS {
        let made = trial.directory.path().join("hostile.ndjson");
        write(export, &made).unwrap();
        let ended = watch(audit_of(trial, auditor, &made), PATIENCE).unwrap();
        let (took, peak) = (ended.took.as_secs_f64(), ended.memory);
        most = most.max(peak);
        println!(
            "what={name:?} export_mib={} seconds={took:.0} peak_mib={peak} status={:?}",
            std::fs::metadata(&made).unwrap().len() >> 20,
            ended.status
        );
        // It ends by itself, with a status that the documents name, and does not take such an export for a good one.
        assert!(matches!(ended.status, Some(1..=4)), "{}", ended.said);
    }
    let exports = hostile::KINDS.len() + 1;
    println!("entries={entries} exports={exports} most_peak_mib={most}");
    assert!(most <= MOST_MIB, "an audit took {most} MiB");
}

/// An audit of the study with this export.
fn audit_of(trial: &Trial, auditor: &str, export: &Path) -> Command {
    let mut audit = Command::new(auditor);
    audit
        .args(["audit", "--node", &trial.node.url(), "--study", "0"])
        .arg("--trust-node")
        .args(["--genesis", &trial.genesis(), "--export"])
        .arg(format!("dave={}", export.display()))
        .arg("--auditor-key")
        .arg(trial.auditor_key_file());
    audit
}

/// How long the program takes to write evidence of all devices of a study, and how much memory.
fn evidence_of_study(trial: &Trial, auditor: &str) {
    let mut prove = Command::new(auditor);
    prove
        .args(["prove", "--node", &trial.node.url()])
        .arg(format!("--study={}", STUDIED.0))
        .args(["--genesis", &trial.genesis()])
        .arg("--out")
        .arg(trial.directory.path().join("studied.evidence"));
    let ended = watch(prove, PATIENCE).unwrap();
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    println!(
        "what=\"evidence of a study\" devices={STUDIED_DEVICES} seconds={:.1} peak_mib={}",
        ended.took.as_secs_f64(),
        ended.memory
    );
}

/// How large the evidence of one device is, and how long the program takes to write and to verify it.
fn evidence(trial: &Trial, auditor: &str, device: DeviceId, export: &Path) {
    for envelopes in [false, true] {
        let file = trial.directory.path().join("device.evidence");
        let mut prove = Command::new(auditor);
        prove
            .args(["prove", "--node", &trial.node.url()])
            .args(["--genesis", &trial.genesis()])
            .arg(format!("--device={device}"))
            .arg("--out")
            .arg(&file);
        if envelopes {
            prove.arg(format!("--export=dave={}", export.display()));
        }
        let proving = timed(&mut prove);
        let mut verify = Command::new(auditor);
        verify
            .arg("verify")
            .arg(&file)
            .args(["--genesis", &trial.genesis()]);
        let verifying = (0..20).map(|_| timed(&mut verify)).min().unwrap();
        println!(
            "what=\"evidence of a device\" entries={} envelopes={envelopes} bytes={} prove_ms={} verify_ms={:.1}",
            entries_in(&file),
            std::fs::metadata(&file).unwrap().len(),
            proving.as_millis(),
            verifying.as_secs_f64() * 1_000.0
        );
    }
}

/// How long the program takes to write evidence of the study with all of its envelopes, and how much memory. `genuine` is the
/// first line of the export as it was before it was altered.
fn evidence_of_all(trial: &Trial, auditor: &str, export: &Path, genuine: &str) {
    let honest = trial.directory.path().join("honest.ndjson");
    let mut altered = BufReader::new(File::open(export).unwrap());
    altered.read_line(&mut String::new()).unwrap();
    let mut whole = File::create(&honest).unwrap();
    whole.write_all(genuine.as_bytes()).unwrap();
    std::io::copy(&mut altered, &mut whole).unwrap();
    let mut prove = Command::new(auditor);
    prove
        .args(["prove", "--node", &trial.node.url(), "--study", "0"])
        .args(["--genesis", &trial.genesis()])
        .arg(format!("--export=dave={}", honest.display()))
        .arg("--out")
        .arg(trial.directory.path().join("study.evidence"));
    let ended = watch(prove, PATIENCE).unwrap();
    let peak = ended.memory;
    println!(
        "what=\"evidence of the study with envelopes\" seconds={:.0} peak_mib={peak} said={:?}",
        ended.took.as_secs_f64(),
        ended.said.lines().last().unwrap_or_default()
    );
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert!(peak <= MOST_MIB, "evidence took {peak} MiB");
}

fn entries_in(file: &Path) -> usize {
    let evidence = Evidence::from_bytes(&std::fs::read(file).unwrap()).unwrap();
    evidence.devices[0].entries.len()
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    began.elapsed()
}

async fn settle(batch: Option<Submission>) {
    if let Some(batch) = batch {
        batch.finalised().await.unwrap().succeeded().unwrap();
    }
}
