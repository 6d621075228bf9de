// SPDX-License-Identifier: Apache-2.0

//! A second history of a device, from a backup or by a thief, stops it.

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, LinkHash, Run, Secret};
use mhealth_chain_client::{calls, Account};
use mhealth_device_host::{Store, SystemClock};
use mhealth_testing::audit::{self, Options, Party};
use mhealth_testing::node::Launch;
use mhealth_testing::phone::Phone;

use crate::cohort::Cohort;
use crate::support::{Setting, STUDY};

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
        assert_eq!((on_chain.length, on_chain.hash.to_string()), (length, head));
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
    let setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::proving(&setting.node);
    cohort
        .simulate(&["--devices", "1", "--nights", "4"])
        .assert_complete();
    let (number, length, head) = cohort.heads()[0].clone();
    forge(&setting, &cohort, number, length, &head).await;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_phone_had_sealed_is_taken_out_and_an_audit_says_what_displaced_it() {
    let setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::proving(&setting.node);
    cohort
        .simulate(&["--devices", "1", "--nights", "4"])
        .assert_complete();
    let (number, length, head) = cohort.heads()[0].clone();
    let sealed = cohort.simulate(&["--devices", "1", "--nights", "14", "--offline"]);
    assert_eq!(sealed.status, Some(0), "{sealed}");
    let (_, end, _) = cohort.heads()[0];
    assert!(end > length, "{sealed}");
    forge(&setting, &cohort, number, length, &head).await;
    let check = cohort.run("check", &[]);
    assert_eq!((check.status, check.number("stopped")), (Some(1), 1));
    assert!(check.stdout.contains("foreign_head"), "{check}");

    let file = cohort.folder.path().join("phone.ndjson");
    let out = format!("--out={}", file.display());
    let taken = cohort.run("export-queue", &[&out]);
    assert_eq!(taken.status, Some(0), "{taken}");
    assert_eq!(taken.number("entries"), end - length, "{taken}");
    let options = Options {
        node: setting.node.url(),
        study: STUDY,
        genesis: Some(format!("{:?}", setting.chain.genesis_hash())),
        phones: vec![("p-1".to_owned(), file)],
        ..Options::default()
    };
    let json = cohort.folder.path().join("audit.json");
    let report = audit::run(&options, &json).expect("it audits");
    let device = report.device(number).expect("it is audited");
    let forged = device.registered(length + 1).expect("it is registered");
    assert_eq!(forged.verdict, "forged", "{forged:?}");
    // Nobody but the thief is named, and no relay brought any of it.
    let thief = [Party {
        party: "signing_key_holder".to_owned(),
        account: None,
        name: None,
    }];
    let queued = device.entries.iter().filter(|entry| !entry.registered);
    let queued: Vec<_> = queued.collect();
    let mut places: Vec<u64> = queued.iter().map(|entry| entry.sequence).collect();
    places.sort_unstable();
    assert_eq!(places, (length + 1..=end).collect::<Vec<_>>());
    for entry in queued {
        assert_eq!(entry.verdict, "unregistered", "{entry:?}");
        assert_eq!(entry.grounds, ["displaced_by_forgery"], "{entry:?}");
        assert_eq!(entry.parties, thief, "{entry:?}");
    }
}

/// Figure 6: a thief has the key, but makes the tag of the next entry up, and has it registered.
async fn forge(setting: &Setting, cohort: &Cohort, number: DeviceId, length: u64, head: &str) {
    let seed = stolen_seed(&cohort.state());
    let thief = setting.chain.submitter(Account::device(&seed));
    let previous = head.parse().expect("a hash");
    let forged = forged_run(&seed, number, length + 1, previous);
    thief
        .submit_and_wait(calls::submit(forged))
        .await
        .expect("the chain cannot know");
}

/// What malware on the phone would read.
fn stolen_seed(state: &Path) -> [u8; 32] {
    let store = Store::open(state, Arc::new(SystemClock)).expect("opened");
    let device = store.devices().expect("read")[0].id;
    *store.device_key(device).expect("read").expose_seed()
}

fn forged_run(seed: &[u8; 32], device: DeviceId, first_sequence: u64, previous: LinkHash) -> Run {
    let key = SigningKey::from_bytes(seed);
    let thief = Phone::new(key, device, previous, &Secret::from_bytes(&[0xfb; 32]));
    thief.resumed_at(previous, first_sequence - 1).run(1)
}
