// SPDX-License-Identifier: Apache-2.0

//! A second history of a device, from a backup or by a thief, stops it.

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, LinkHash, Run, Secret};
use mhealth_chain_client::{calls, Account};
use mhealth_device_host::{Store, SystemClock};
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

fn forged_run(seed: &[u8; 32], device: DeviceId, first_sequence: u64, previous: LinkHash) -> Run {
    let key = SigningKey::from_bytes(seed);
    let thief = Phone::new(key, device, previous, &Secret::from_bytes(&[0xfb; 32]));
    thief.resumed_at(previous, first_sequence - 1).run(1)
}
