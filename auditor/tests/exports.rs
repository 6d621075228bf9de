// SPDX-License-Identifier: Apache-2.0

//! Hostile exports of a real chain, given to the real program: each relay answers for what it signed, and no export keeps the
//! auditor or its memory.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hashchain::StudyId;
use mhealth_api::{BlockRef, Hash, RunState};
use mhealth_chain_client::{calls, Account};
use mhealth_testing::audit::watch;
use mhealth_testing::export::lines;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;
use serde_json::{json, Value};

use support::audits::{account, audit, command, export, found, relay, trial, STUDY};
use support::Trial;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_shows_anothers_receipts_answers_for_them_itself() {
    let (trial, of_dave, of_eve) = trial().await;
    let dave = trial.signer("//Dave", STUDY).await;
    let eve = trial.signer("//Eve", STUDY).await;
    let dave = trial.file("dave", dave.export(&of_dave));
    let honest = trial.file("eve", eve.export(&of_eve));
    let both = [export("dave", &dave), export("eve", &honest)];
    let (status, line, _) = audit(&trial, &both);
    assert_eq!(status, Some(0), "{line}");

    // Eve shows Dave's lines, receipts and all, with one byte of each envelope changed, before her own.
    let mut copied = of_dave.clone();
    for run in &mut copied {
        for entry in &mut run.entries {
            entry.envelope.0[40] ^= 1;
        }
    }
    copied.extend(of_eve.iter().cloned());
    for (run, cursor) in copied.iter_mut().zip(1..) {
        run.cursor = cursor;
    }
    let hostile = trial.file("hostile", eve.export(&copied));
    let unsigned = trial.file("unsigned", lines(&copied));
    for last in [true, false] {
        let mut exports = vec![export("dave", &dave), export("bob", &hostile)];
        exports.rotate_left(usize::from(last));
        let (status, line, report) = audit(&trial, &exports);
        assert_eq!(status, Some(1), "{line}");
        let envelopes = "envelope_differs".to_string();
        assert_eq!(found(&report), [(envelopes.clone(), relay("//Eve"))]);
        assert_eq!(report["audit"]["no_export"], json!([]));

        // Unsigned, it is charged to nobody, and Eve's own is not covered.
        exports.retain(|export| export.contains("dave"));
        exports.insert(usize::from(last), export("bob", &unsigned));
        let (status, line, report) = audit(&trial, &exports);
        assert_eq!(status, Some(1), "{line}");
        let nobody = json!([{ "party": "relay_store", "name": "bob" }]);
        assert_eq!(found(&report), [(envelopes, nobody)]);
        assert_eq!(report["audit"]["no_export"], json!([account("//Eve")]));
    }

    // Without Eve's export what she brought is not covered, and not missing.
    let (status, line, report) = audit(&trial, &both[..1]);
    assert_eq!(status, Some(2), "{line}");
    assert!(line.contains(" missing=0 ") && line.contains(" valid=4 "));
    let entry = &report["devices"][0]["entries"][4];
    let uncovered = json!([{ "reason": "no_export", "account": account("//Eve") }]);
    assert_eq!(entry["uncovered"], uncovered);
    assert_eq!(found(&report), []);

    // What Eve answers for is of this chain and study only.
    let mut foreign = eve.clone();
    foreign.block.hash = Hash([1; 32]);
    let mut other = eve.clone();
    other.study = StudyId(1);
    let mut elsewhere = eve.clone();
    elsewhere.chain = Hash([1; 32]);
    // Nor is it of a block that nobody has seen; an honest relay may be somewhat ahead of the audit's node.
    let mut beyond = eve.clone();
    beyond.block.number += 1_900;
    let mut ahead = eve.clone();
    ahead.block.number += 1_700;
    let file = trial.file("ahead", ahead.export(&of_eve));
    let (status, line, _) = audit(&trial, &[both[0].clone(), export("eve", &file)]);
    assert_eq!(status, Some(0), "{line}");
    for (signer, fault) in [
        (foreign, "foreign_block"),
        (beyond, "beyond_the_node"),
        (other, "another_study"),
        (elsewhere, "another_chain"),
    ] {
        let file = trial.file("foreign", signer.export(&of_eve));
        let (status, line, report) = audit(&trial, &[both[0].clone(), export("eve", &file)]);
        assert_eq!(status, Some(2), "{line}");
        let store = &report["relays"][1];
        assert_eq!(store["first_faults"][0]["fault"], fault);
        assert_eq!(store["account"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_says_of_a_run_is_compared_with_the_blocks() {
    let (mut trial, of_dave, of_eve) = trial().await;
    let mut phone = trial.enrol(STUDY, 32, None).await;
    let eve = trial.signer("//Eve", STUDY).await;
    let eve_file = trial.file("eve", eve.export(&of_eve));
    let withheld = record(&mut phone, 1, "a night that is kept back");
    let line = |state: RunState| {
        let mut line = mhealth_testing::phone::exported(&withheld, 9, STUDY, state);
        line.received_at = u64::from(u32::MAX);
        line
    };
    let dave = trial.signer("//Dave", STUDY).await;
    let shown = |state: RunState| [of_dave.clone(), vec![line(state)]].concat();
    let early = trial.file("early", dave.export(&shown(RunState::Pending)));
    let audited = |file: &Path| {
        let patience = "--on-its-way=3".to_string();
        let exports = [export("dave", file), export("eve", &eve_file), patience];
        let (status, line, report) = audit(&trial, &exports);
        let entries = report["devices"][1]["entries"].clone();
        (status, line, entries[0].clone())
    };
    let (status, text, entry) = audited(&early);
    assert_eq!(status, Some(2), "{text}");
    assert_eq!(entry["uncovered"], json!([{ "reason": "on_its_way" }]));

    // The chain has refused nothing.
    let mut refused = line(RunState::Refused);
    refused.status.block = Some(BlockRef {
        number: 1,
        hash: Hash([0; 32]),
    });
    let lies = [of_dave.clone(), vec![refused]].concat();
    let (status, text, entry) = audited(&trial.file("lies", dave.export(&lies)));
    assert_eq!(status, Some(1), "{text}");
    assert_eq!(entry["grounds"], json!(["state_contradicts_blocks"]));
    assert_eq!(entry["parties"], relay("//Dave"));

    // Some blocks after Dave signed that he holds it, it is in none.
    let mut other = trial.enrol(STUDY, 33, None).await;
    for _ in 0..4 {
        let parcel = record(&mut other, 1, "another's");
        trial.bring(STUDY, &parcel).await;
    }
    let audited = |file: &Path| {
        let patience = "--on-its-way=3".to_string();
        let exports = [export("dave", file), export("eve", &eve_file), patience];
        audit(&trial, &exports).2["devices"][1]["entries"][0].clone()
    };
    let entry = audited(&early);
    assert_eq!(entry["grounds"], json!(["withheld"]));
    assert_eq!(entry["parties"], relay("//Dave"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_says_whose_exports_an_audit_needs() {
    let (trial, of_dave, _) = trial().await;
    let dave = trial.signer("//Dave", STUDY).await;
    let file = trial.file("dave", dave.export(&of_dave));
    let lacking = || {
        let (status, line, report) = audit(&trial, &[export("dave", &file)]);
        assert_eq!(status, Some(2), "{line}");
        let mut accounts: Vec<Value> =
            serde_json::from_value(report["audit"]["no_export"].clone()).unwrap();
        accounts.sort_by_key(Value::to_string);
        accounts
    };
    let expected = |names: &[&str]| {
        let mut accounts: Vec<Value> = names.iter().map(|name| json!(account(name))).collect();
        accounts.sort_by_key(Value::to_string);
        accounts
    };
    assert_eq!(lacking(), expected(&["//Eve"]));
    // One that was appointed and has brought nothing.
    let change = async |call| {
        let done = trial.sponsor.submit_and_wait(call).await.unwrap();
        done.succeeded().unwrap();
    };
    let id = |name: &str| Account::from_secret_uri(name).unwrap().id();
    change(calls::add_relay(STUDY, id("//Newcomer"))).await;
    assert_eq!(lacking(), expected(&["//Eve", "//Newcomer"]));
    // Once both are removed, the one that brought runs still has to show them.
    change(calls::remove_relay(STUDY, id("//Newcomer"))).await;
    change(calls::remove_relay(STUDY, id("//Eve"))).await;
    assert_eq!(lacking(), expected(&["//Eve"]));
}

/// Most MiB of memory that an auditor has, whatever a relay shows.
const MOST_MEMORY: u64 = 200;
/// An auditor that has not ended by then does not end.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_relay_shows_the_auditors_memory_and_report_stay_small() {
    let (trial, of_dave, _) = trial().await;
    let genuine = lines(&of_dave);
    let first = genuine.lines().next().unwrap().to_string();
    let reason = |length: usize| {
        let bomb = format!(
            "\"state\":\"refused\",\"reason\":\"{}\"",
            "a".repeat(length)
        );
        first.replacen("\"state\":\"finalised\"", &bomb, 1) + "\n"
    };
    let entry = serde_json::to_string(&of_dave[0].entries[0]).unwrap();
    let entries = format!("\"entries\":[{}", format!("{entry},").repeat(15_000));
    let entries = first.replacen("\"entries\":[", &entries, 1) + "\n";
    let nested = "[".repeat(1_000_000) + "\n";
    let shapes: [(&str, String, usize); 6] = [
        ("a long reason", reason(15_000_000), 8),
        ("a longer line", reason(40_000_000), 3),
        ("a word too many", reason(200), 20_000),
        ("too many entries", entries, 20),
        ("deep", nested, 50),
        ("blank", "\n".into(), 2_000_000),
    ];
    for (shape, line, times) in shapes {
        let file = trial.file("bomb", "");
        let mut bomb = std::fs::File::create(&file).unwrap();
        bomb.write_all(genuine.as_bytes()).unwrap();
        for _ in 0..times {
            bomb.write_all(line.as_bytes()).unwrap();
        }
        drop(bomb);
        let (command, json) = command(&trial, &[export("dave", &file)]);
        let ended = watch(command, PATIENCE).unwrap();
        let peak = ended.memory;
        assert_eq!(ended.status, Some(2), "{shape}: {}", ended.said);
        assert!(peak > 0 && peak < MOST_MEMORY, "{shape}: {peak} MiB");
        let report = std::fs::metadata(json).unwrap().len();
        assert!(report < 100_000, "{shape}: a report of {report} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_without_an_end_ends_with_a_code() {
    let (trial, _, _) = trial().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--relay=dave=http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(b" ");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let (mut command, json) = command(&trial, &[url, "--export-seconds=2".into()]);
    command.env("MHEALTH_RELAY_CREDENTIAL", "anything");
    let ended = watch(command, PATIENCE).unwrap();
    let peak = ended.memory;
    assert_eq!(ended.status, Some(2), "{}", ended.said);
    assert!(peak < MOST_MEMORY, "{peak} MiB");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["relays"][0]["first_faults"][0]["fault"], "too_slow");
}

/// A named pipe as an export: it is opened once the chain was read.
async fn write_once_it_is_read<F: std::future::Future<Output = String>>(
    pipe: &Path,
    text: impl FnOnce() -> F,
) {
    let path = pipe.to_owned();
    let open = move || std::fs::OpenOptions::new().write(true).open(path);
    let mut open = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    open.write_all(text().await.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_that_enrol_and_upload_while_the_audit_reads_cost_nothing() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut early = trial.enrol(STUDY, 61, None).await;
    let parcel = record(&mut early, 2, "before");
    trial.bring(STUDY, &parcel).await;
    let pipes = ["dave", "eve"].map(|name| {
        let pipe = trial.directory.path().join(name);
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        pipe
    });
    let (mut command, json) = command(
        &trial,
        &[export("dave", &pipes[0]), export("eve", &pipes[1])],
    );
    let child = command.spawn().unwrap();

    write_once_it_is_read(&pipes[0], async || {
        // The block of the audit would be this one, and now there are others.
        let parcel = record(&mut early, 3, "meanwhile");
        trial.bring(STUDY, &parcel).await;
        let mut late = trial.enrol(STUDY, 62, None).await;
        let parcel = record(&mut late, 1, "meanwhile");
        trial.bring(STUDY, &parcel).await;
        let dave = trial.signer("//Dave", STUDY).await;
        dave.export(&trial.lines)
    })
    .await;
    write_once_it_is_read(&pipes[1], async || {
        trial.signer("//Eve", STUDY).await.export(&[])
    })
    .await;
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("audit=right devices=2 entries=6 valid=6 "),
        "{last}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let dave = &report["relays"][0];
    assert_eq!((&dave["faults"], &dave["later"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_a_relay_makes_up_are_faults_and_not_of_later() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(STUDY, 63, None).await;
    let parcel = record(&mut phone, 1, "a night");
    trial.bring(STUDY, &parcel).await;
    trial.export().await;
    let mut lines = trial.lines.clone();
    let mut invented = lines[0].clone();
    invented.status.device = hashchain::DeviceId(7);
    invented.cursor += 1;
    lines.push(invented);
    let dave = trial.signer("//Dave", STUDY).await.export(&lines);
    let file = trial.file("dave.ndjson", dave);
    let (status, _, report) = audit(&trial, &[export("dave", &file), trial.other_export()]);
    assert_eq!(status, Some(2));
    let faults = &report["relays"][0]["first_faults"];
    assert_eq!(
        faults,
        &json!([{ "fault": "foreign_device", "line": 2, "device": 7 }])
    );
}
