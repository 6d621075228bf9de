// SPDX-License-Identifier: Apache-2.0

//! What accounts without a role in a study bring to the chain about its devices. An audit of the study is made all the same, and asks for
//! no export of theirs.

mod support;

use hashchain::{LinkHash, Run, StudyId};
use mhealth_chain_client::{calls, Account, Submitter};
use mhealth_testing::phone::record;
use serde_json::json;

use support::audits::{audit, export, found, relay, trial_of_a_phone, STUDY};
use support::Trial;

/// A relay of the other study, which is none of the audited one.
const STRANGER: &str = "//Mallory";

async fn stranger(trial: &Trial) -> Submitter {
    let account = Account::from_secret_uri(STRANGER).unwrap();
    let appointment = calls::add_relay(StudyId(1), account.id());
    let appointed = trial.sponsor.submit_and_wait(appointment).await;
    appointed.unwrap().succeeded().unwrap();
    trial.chain.submitter(account)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_can_take_an_audit_from_nobody() {
    let (trial, mut phone, of_dave, of_eve) = trial_of_a_phone().await;
    let stranger = stranger(&trial).await;
    let bare = |first_sequence: u64| Run {
        device: phone.device(),
        first_sequence,
        previous: LinkHash([1; 32]),
        entries: Vec::new(),
        signature: None,
    };
    // The chain refuses all of them, for other reasons than that the account is none of the study's relays.
    let runs = [1, 0, 1 << 63, u64::MAX].map(bare).to_vec();
    let brought = stranger.submit_and_wait(calls::submit_batch(runs)).await;
    brought.unwrap().succeeded().unwrap();
    let dave = trial.signer("//Dave", STUDY).await;
    let eve = trial.signer("//Eve", STUDY).await;
    let dave = trial.file("dave", dave.export(&of_dave));
    let eve = trial.file("eve", eve.export(&of_eve));
    let both = [export("dave", &dave), export("eve", &eve)];
    let (status, line, report) = audit(&trial, &both);
    assert_eq!(status, Some(0), "{line}");
    assert_eq!(report["audit"]["no_export"], json!([]));
    assert_eq!(found(&report), []);

    // Runs with entries are attempts, wherever they say that they stand, and are the stranger's.
    let made_up = record(&mut phone, 1, "nobody's").run();
    let places = [0, 1 << 40, 1 << 63, u64::MAX];
    let runs = places.map(|first_sequence| Run {
        first_sequence,
        ..made_up.clone()
    });
    let brought = stranger.submit_and_wait(calls::submit_batch(runs.to_vec()));
    brought.await.unwrap().succeeded().unwrap();
    let (status, line, report) = audit(&trial, &both);
    assert_eq!(status, Some(1), "{line}");
    assert!(line.contains(" valid=5 "), "{line}");
    assert_eq!(report["audit"]["no_export"], json!([]));
    assert_eq!(report["devices"][0]["uncovered"], json!([]));
    let attempts = ("attempt_refused".to_string(), relay(STRANGER));
    assert_eq!(found(&report), [attempts]);

    // So is what the owner of an active device brings of its own device.
    let own = mhealth_testing::phone::account(&phone);
    let own = trial.chain.submitter(own);
    let far = Run {
        first_sequence: u64::MAX - 9,
        ..made_up
    };
    let brought = own.submit_and_wait(calls::submit_batch(vec![far])).await;
    brought.unwrap().succeeded().unwrap();
    let (status, line, report) = audit(&trial, &both);
    assert_eq!(status, Some(1), "{line}");
    assert_eq!(report["audit"]["no_export"], json!([]));
    assert_eq!(found(&report).len(), 2, "{report}");
}
