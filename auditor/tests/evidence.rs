// SPDX-License-Identifier: Apache-2.0

//! Evidence from a real chain with real finality, checked by the program with nothing but the file and a hash.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hashchain::{DeviceId, StudyId};
use mhealth_api::DeviceStatus;
use mhealth_auditor::evidence::{
    verify, Blobs, DeviceClaims, Evidence, Fault, FormatError, Handover, Refusal, Start,
};
use mhealth_testing::export::lines;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;

use support::Trial;

const AUDITOR: &str = env!("CARGO_BIN_EXE_mhealth-auditor");

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().to_string()
}

/// Proves once the block in which finality is proved holds so many entries.
fn prove(trial: &Trial, device: DeviceId, entries: usize, more: &[&str]) -> Evidence {
    let device = device.to_string();
    prove_with(trial, entries, &[&["--device", &device], more].concat())
}

fn prove_with(trial: &Trial, entries: usize, more: &[&str]) -> Evidence {
    let file = trial.directory.path().join("evidence");
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let output = Command::new(AUDITOR)
            .args(["prove", "--node", &trial.node.url()])
            .args(["--genesis", &trial.genesis(), "--out"])
            .arg(&file)
            .args(more)
            .output()
            .unwrap();
        if last_line(&output).contains(&format!("entries={entries} ")) {
            assert!(output.status.success());
            return Evidence::from_bytes(&std::fs::read(&file).unwrap()).unwrap();
        }
        assert!(Instant::now() < patience, "{output:?}");
        // Finality is what is waited for; the node has no call that waits for a proof of it.
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Runs the verifier without environment and without a network, where the system lets us take it away.
fn check(file: &Path, genesis: &str) -> Output {
    check_with(file, genesis, &[])
}

fn check_with(file: &Path, genesis: &str, more: &[&str]) -> Output {
    let arguments = ["verify", file.to_str().unwrap(), "--genesis", genesis];
    let arguments = [&arguments[..], more].concat();
    let isolated = Command::new("unshare")
        .args(["--net", "--map-root-user", AUDITOR])
        .args(&arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output();
    match isolated {
        Ok(output) if !last_line(&output).is_empty() => output,
        _ => Command::new(AUDITOR)
            .args(arguments)
            .env_clear()
            .output()
            .unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_a_real_chain_is_checked_offline_and_no_flipped_bit_changes_what_it_claims() {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 21, None).await;
    for night in ["one", "two"] {
        let parcel = record(&mut phone, 1, night);
        trial.bring(StudyId(0), &parcel).await;
    }
    let key = trial.auditor_key_file();
    let export = format!("dave={}", trial.export().await.display());
    let full = [
        "--with-secret",
        "--auditor-key",
        key.to_str().unwrap(),
        "--export",
        &export,
    ];
    let evidence = prove(&trial, phone.device(), 2, &full);
    let genesis = trial.chain.genesis_hash().0;
    assert_eq!(verify(&evidence, genesis, &[]).unwrap().authorities, 1);
    let claims = device_claims(&evidence, genesis);
    assert!(claims.signed && claims.tags && claims.envelopes);
    assert_eq!((claims.entries, claims.conflicts.len()), (2, 0));
    assert_eq!(claims.head, phone.head());

    let file = trial.file("evidence", evidence.to_bytes());
    let output = check(&file, &trial.genesis());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = "verified=true device=0 entries=2";
    assert!(last_line(&output).starts_with(expected), "{output:?}");
    let other = format!("0x{}", "77".repeat(32));
    assert_eq!(check(&file, &other).status.code(), Some(1));
    let torn = trial.file("torn", &evidence.to_bytes()[..300]);
    assert_eq!(check(&torn, &trial.genesis()).status.code(), Some(3));

    exports_that_give_nothing_are_errors(&trial, phone.device());
    wrong_parts_are_named(&evidence, genesis);
    // The bare proof is the smallest file: all of its bits are tried.
    let bare = prove(&trial, phone.device(), 2, &[]);
    no_flipped_bit_changes_a_claim(&bare, genesis);

    let block = trial.chain.block_hash(1).await.unwrap().unwrap();
    let checkpoint = format!("{block:?}@1");
    let from = ["--checkpoint", &checkpoint];
    let evidence = prove(&trial, phone.device(), 2, &from);
    let file = trial.file("from-a-checkpoint", evidence.to_bytes());
    let trusting = check_with(&file, &trial.genesis(), &from);
    assert_eq!(trusting.status.code(), Some(0), "{trusting:?}");
    assert!(last_line(&trusting).ends_with(" checkpoint=1"));
    let told = String::from_utf8(trusting.stdout).unwrap();
    assert!(told.contains(&format!("from the checkpoint {checkpoint}")));
    let doubting = check(&file, &trial.genesis());
    assert_eq!(doubting.status.code(), Some(1));
    let why = String::from_utf8(doubting.stderr).unwrap();
    assert!(
        why.contains(&checkpoint) && why.contains("--checkpoint"),
        "{why}"
    );
    // The other way round: who has a checkpoint takes no file that leaves it out.
    let file = trial.file("from-the-first-block", bare.to_bytes());
    let newer = check_with(&file, &trial.genesis(), &from);
    assert_eq!(newer.status.code(), Some(1));
    let plain = check(&file, &trial.genesis());
    assert!(last_line(&plain).ends_with(" checkpoint=none"));
    let told = String::from_utf8(plain.stdout).unwrap();
    assert!(told.contains("without a checkpoint"));
}

/// Each with the line, where there is one; and no evidence is written.
fn exports_that_give_nothing_are_errors(trial: &Trial, device: DeviceId) {
    let good = std::fs::read_to_string(trial.directory.path().join("export.ndjson")).unwrap();
    let first = good.lines().next().unwrap();
    let utf16: Vec<u8> = format!("\u{feff}{first}\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let others = first.replacen("\"device\":0", "\"device\":7", 1);
    assert_ne!(others, first);
    let cases: [(&str, Option<&[u8]>, &str); 6] = [
        ("missing", None, "could not be read"),
        ("empty", Some(b""), "there is no run in it"),
        ("utf-16", Some(&utf16), "line 1 is no exported run"),
        (
            "torn",
            Some(&first.as_bytes()[..first.len() / 2]),
            "ends within line 1",
        ),
        ("blank", Some(b"\n\n"), "line 1 is blank"),
        (
            "of another device",
            Some(others.as_bytes()),
            "no envelope of these devices",
        ),
    ];
    for (name, text, why) in cases {
        let file = trial.directory.path().join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let out = trial.directory.path().join("nothing");
        let output = Command::new(AUDITOR)
            .args([
                "prove",
                "--node",
                &trial.node.url(),
                "--device",
                &device.to_string(),
            ])
            .args(["--genesis", &trial.genesis(), "--export"])
            .arg(format!("dave={}", file.display()))
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{name}: {output:?}");
        assert_eq!(
            last_line(&output),
            "evidence=could_not_run error=bad_input",
            "{name}"
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(why) && said.contains("dave"),
            "{name}: {said}"
        );
        assert!(!out.exists(), "{name}");
    }
}

/// What a file about one device claims of it.
fn device_claims(evidence: &Evidence, genesis: [u8; 32]) -> DeviceClaims {
    let mut claims = verify(evidence, genesis, &[]).unwrap();
    assert_eq!(claims.devices.len(), 1);
    claims.devices.remove(0)
}

fn wrong_parts_are_named(evidence: &Evidence, genesis: [u8; 32]) {
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        verify(&changed, genesis, &[]).unwrap_err()
    };
    assert_eq!(verify(evidence, [1; 32], &[]), Err(Refusal::AnotherChain));
    assert_eq!(refused(&|it| it.genesis.number = 1), Refusal::AnotherChain);
    assert_eq!(
        refused(&|it| it.start = Start::Genesis(Blobs::default())),
        Refusal::FirstAuthorities
    );
    assert_eq!(
        refused(&|it| it.finality.block.number += 1),
        refused(&|it| it.finality.justification.clear())
    );
    assert_eq!(
        refused(&|it| it.finality.justification.clear()),
        Refusal::Finality
    );
    let fault = |change: &dyn Fn(&mut Evidence)| match refused(change) {
        Refusal::Device { fault, .. } => fault,
        other => panic!("{other}"),
    };
    let device = &evidence.devices[0];
    assert_eq!(
        refused(&|it| it.finality.nodes = it.finality.nodes.iter().take(1).collect()),
        Refusal::ChainNotNamed
    );
    assert_eq!(fault(&|it| it.devices[0].device.0 += 1), Fault::State);
    assert_eq!(
        fault(&|it| it.devices[0].entries.truncate(1)),
        Fault::Entries
    );
    assert_eq!(
        fault(&|it| it.devices[0].entries.swap(0, 1)),
        Fault::Entries
    );
    assert_eq!(
        fault(&|it| it.devices[0].signature = Some([0; 64])),
        Fault::Signature
    );
    assert_eq!(
        fault(&|it| it.devices[0].secret = Some([0; 32])),
        Fault::Secret
    );
    let altered = fault(&|it| {
        let envelopes = it.devices[0].envelopes.take().unwrap();
        let mut envelopes: Vec<Vec<u8>> = envelopes.iter().map(<[u8]>::to_vec).collect();
        envelopes[1][40] ^= 1;
        it.devices[0].envelopes = Some(envelopes.iter().collect());
    });
    assert_eq!(altered, Fault::Envelope(2));
    assert_eq!(
        refused(&|it| it.devices.push(device.clone())),
        Refusal::Order
    );
    assert_eq!(
        refused(&|it| it.study = Some(StudyId(0))),
        Refusal::Study(StudyId(0))
    );
    let handover = Handover {
        header: evidence.finality.block.clone(),
        justification: evidence.finality.justification.clone(),
    };
    assert_eq!(
        refused(&|it| it.finality.handovers.push(handover.clone())),
        Refusal::Handover(0)
    );
}

fn no_flipped_bit_changes_a_claim(evidence: &Evidence, genesis: [u8; 32]) {
    let bytes = evidence.to_bytes();
    let claims = verify(evidence, genesis, &[]).unwrap();
    let contents = 18..bytes.len() - 32;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = Evidence::from_bytes(&flipped).unwrap_err();
        match bit / 8 {
            0..16 => assert_eq!(refused, FormatError::NotEvidence),
            16..18 => assert!(matches!(refused, FormatError::UnknownVersion(_))),
            _ => assert_eq!(refused, FormatError::Checksum),
        }
    }
    // Who means it computes the checksum anew.
    let threads = 2;
    std::thread::scope(|scope| {
        for part in 0..threads {
            let (bytes, claims, contents) = (&bytes, &claims, contents.clone());
            scope.spawn(move || {
                for bit in contents.start * 8..contents.end * 8 {
                    if bit % threads != part {
                        continue;
                    }
                    let mut flipped = bytes[..contents.end].to_vec();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let checksum = <hashchain::Native as hashchain::Sha256>::sha256(&flipped);
                    flipped.extend(checksum);
                    let read = Evidence::from_bytes(&flipped);
                    if let Ok(Ok(claimed)) = read.map(|read| verify(&read, genesis, &[])) {
                        assert_eq!(&claimed, claims, "bit {bit}");
                    }
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_shows_conflicts_suspension_and_re_enrolment() {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 22, None).await;
    let parcel = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &parcel).await;
    let mut thief = phone.copy();
    let stolen = record(&mut thief, 1, "the thief's");
    trial.bring(StudyId(0), &stolen).await;
    let genuine = record(&mut phone, 1, "the phone's");
    trial.bring(StudyId(0), &genuine).await;
    let entries = trial.chain.entries(phone.device(), 2, 1).await.unwrap();
    let last = mhealth_chain_client::LastTrusted::Entry(entries[0].index);
    let retire = mhealth_chain_client::calls::retire(phone.device(), last);
    trial.sponsor.submit_and_wait(retire).await.unwrap();
    let mut replacement = trial.enrol(StudyId(0), 23, Some(phone.device())).await;
    let parcel = record(&mut replacement, 4, "a night");
    trial.bring(StudyId(0), &parcel).await;

    let genesis = trial.chain.genesis_hash().0;
    let claims = device_claims(&prove(&trial, replacement.device(), 4, &[]), genesis);
    assert_eq!(
        (claims.predecessor, &claims.status),
        (Some(phone.device()), &DeviceStatus::Active)
    );
    let claims = device_claims(&prove(&trial, phone.device(), 3, &[]), genesis);
    assert_eq!(
        (claims.successor, &claims.status),
        (Some(replacement.device()), &DeviceStatus::Retired)
    );
    assert_eq!(claims.trusted_length, Some(2));
    assert_eq!(claims.conflicts.len(), 1);
    assert!(claims.conflicts[0].signed);
    assert_eq!(claims.conflicts[0].sequence, 3);

    // The same of the whole study, in one file that shows that it lacks no device.
    let study = prove_with(&trial, 7, &["--study", "0"]);
    let whole = verify(&study, genesis, &[]).unwrap();
    assert_eq!(whole.study, Some(StudyId(0)));
    let numbers: Vec<DeviceId> = whole.devices.iter().map(|device| device.device).collect();
    assert_eq!(numbers, [phone.device(), replacement.device()]);
    assert_eq!(whole.devices[0], claims);
    let mut without = study.clone();
    without.devices.pop();
    assert_eq!(
        verify(&without, genesis, &[]),
        Err(Refusal::Study(StudyId(0)))
    );
    let file = trial.file("study", study.to_bytes());
    let output = check(&file, &trial.genesis());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = "verified=true study=0 devices=2 entries=7";
    assert!(last_line(&output).starts_with(expected), "{output:?}");

    // Which device an export lacks is said before anything is made of it.
    let (_, others) = trial.lines.split_last().unwrap();
    let export = trial.file("without-the-last", lines(others));
    let output = Command::new(AUDITOR)
        .args(["prove", "--node", &trial.node.url(), "--study", "0"])
        .arg(format!("--export=dave={}", export.display()))
        .arg("--out")
        .arg(trial.directory.path().join("nothing"))
        .output()
        .unwrap();
    let expected = "evidence=could_not_run error=not_provable";
    assert_eq!(last_line(&output), expected, "{output:?}");
    let lacking = format!("an envelope of device {} is in none", replacement.device());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&lacking), "{said}");

    // Where that is more than a file may have, in parts that are checked one by one, and do not say that they are all.
    let most = (study.to_bytes().len() - 1).to_string();
    let out = trial.directory.path().join("large");
    let prove_parts = |most: &str| {
        Command::new(AUDITOR)
            .args(["prove", "--node", &trial.node.url(), "--study", "0"])
            .args(["--genesis", &trial.genesis(), "--largest", most, "--out"])
            .arg(&out)
            .output()
            .unwrap()
    };
    let output = prove_parts(&most);
    assert!(output.status.success(), "{output:?}");
    assert!(
        last_line(&output).ends_with(" parts=2") && !out.exists(),
        "{output:?}"
    );
    let mut devices = Vec::new();
    for part in ["large.1", "large.2"] {
        let file = trial.directory.path().join(part);
        let bytes = std::fs::read(&file).unwrap();
        assert!(bytes.len() < study.to_bytes().len());
        let claims = verify(&Evidence::from_bytes(&bytes).unwrap(), genesis, &[]).unwrap();
        assert_eq!(claims.study, None);
        devices.extend(claims.devices);
        assert_eq!(check(&file, &trial.genesis()).status.code(), Some(0));
    }
    assert_eq!(devices, whole.devices);
    // What is there from an earlier run stays when a later one does not get to its end.
    let place = |name: &str| trial.directory.path().join(name);
    std::fs::write(place("large.1"), "an earlier run's").unwrap();
    for in_the_way in ["large.2.part", "large.part"] {
        std::fs::create_dir(place(in_the_way)).unwrap();
    }
    let output = prove_parts(&most);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let kept = std::fs::read(place("large.1")).unwrap();
    assert_eq!(kept, b"an earlier run's");
    assert!(!place("large.1.part").exists());
    let output = prove_parts("2000");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        last_line(&output).ends_with("error=evidence_too_large"),
        "{output:?}"
    );
}
