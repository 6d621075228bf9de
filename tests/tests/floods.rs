// SPDX-License-Identifier: Apache-2.0

//! One account floods a real node, with real slots and a real pool; the others get in.

mod support;

use std::collections::BTreeMap;

use hashchain::{DataDigest, DeviceId, LinkHash, Run, RunEntry, Tag};
use mhealth_chain_client::{calls, Call, PoolAnswer, PoolRefusal, Submitter};
use mhealth_runtime::limits::MaxProposalWeight;
use mhealth_runtime::RuntimeCall;
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use sp_keyring::Sr25519Keyring::{Alice, Dave};
use support::{signed, Setting, STUDY};

/// Blocks within which a transaction of another role is included, and one more that was being made when it came.
const SOON: u64 = 3 + 1;

/// A motion that does not exist is closed: this fails at once, and declares the weight that its sender likes.
fn close(weight: u64) -> RuntimeCall {
    pallet_collective::Call::close {
        proposal_hash: Default::default(),
        index: 0,
        proposal_weight_bound: MaxProposalWeight::get().set_ref_time(weight),
        length_bound: 0,
    }
    .into()
}

/// A run that begins too late: so many entries of junk.
fn junk(device: DeviceId, entries: usize) -> Run {
    let entry = RunEntry {
        digest: DataDigest([1; 32]),
        tag: Tag([2; 32]),
    };
    Run {
        device,
        first_sequence: 1_000,
        previous: LinkHash([0; 32]),
        entries: vec![entry; entries],
        signature: None,
    }
}

/// Blocks from the best one, when this was sent, to the one that included it.
async fn blocks_until(setting: &Setting, submitter: &Submitter, call: Call) -> u64 {
    let sent = setting.chain.best_block().await.expect("it has one").number;
    let outcome = submitter.submit_and_wait(call).await.expect("included");
    outcome.block_number - sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_spend_what_it_declares_for_motions() {
    let setting = Setting::instant().await;
    let transaction = signed(&setting, Dave, 0, &close(1_000));
    let answer = setting.chain.send(&transaction).await.expect("an answer");
    assert_eq!(answer, PoolAnswer::Refused(PoolRefusal::NotItsCall));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_declares_whole_blocks_keeps_nobody_out() {
    let setting = Setting::start(Launch::consensus()).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let weight = MaxProposalWeight::get().ref_time();
    for nonce in 0..100 {
        let close = close(weight - u64::from(nonce));
        let transaction = signed(&setting, Alice, nonce, &close);
        let answer = setting.chain.send(&transaction).await.expect("an answer");
        assert_eq!(answer, PoolAnswer::Taken);
    }

    let relay = setting.relay();
    let sponsor = setting.submitter("//Bob");
    let office = setting.office();
    let waited = tokio::join!(
        blocks_until(&setting, &relay, calls::submit(phone.run(3))),
        blocks_until(
            &setting,
            &sponsor,
            calls::remove_relay(STUDY, setting.submitter("//Eve").account())
        ),
        blocks_until(&setting, &office, phone::enrolment(&office, STUDY, 2)),
    );
    assert!(
        waited.0 <= SOON && waited.1 <= SOON && waited.2 <= SOON,
        "{waited:?}"
    );
    let node = setting.plain_json_rpc().await;
    let pending: Vec<String> = node
        .request("author_pendingExtrinsics", &[])
        .await
        .expect("the node answers");
    assert!(
        pending.len() > 50,
        "the flood was over before: {}",
        pending.len()
    );
}

/// So many small transactions took all places of a pool before, and everybody else's were dropped for half an hour.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_small_transactions_of_a_member_take_nobodys_place_in_the_pool() {
    const SENT: u32 = 9_000;
    let setting = Setting::start(Launch::consensus()).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let mut taken = 0;
    for nonce in 0..SENT {
        let transaction = signed(&setting, Alice, nonce, &close(1_000));
        match setting.chain.send(&transaction).await.expect("an answer") {
            PoolAnswer::Taken => taken += 1,
            answer => assert_eq!(answer, PoolAnswer::Refused(PoolRefusal::TooManyWaiting)),
        }
    }
    assert!(
        taken > 64,
        "{taken}: no more than an honest member may send"
    );
    assert!(taken < 1_000, "{taken}");

    let relay = setting.relay();
    let sponsor = setting.submitter("//Bob");
    let eve = setting.submitter("//Eve").account();
    let waited = tokio::join!(
        blocks_until(&setting, &relay, calls::submit(phone.run(3))),
        blocks_until(&setting, &sponsor, calls::remove_relay(STUDY, eve)),
    );
    assert!(waited.0 <= SOON && waited.1 <= SOON, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phones_that_flood_slow_no_relay_by_more_than_a_slot() {
    let setting = Setting::start(Launch::consensus()).await;
    let mut phones = Vec::new();
    for seed in 1..=3 {
        let phone = phone::enrol(&setting.office(), STUDY, seed).await;
        phones.push(phone.expect("enrolled"));
    }
    let mut honest = phones.remove(0);
    // As many as they may, until they are told to wait.
    let mut taken = BTreeMap::new();
    for phone in &phones {
        let flood = setting.chain.submitter(phone::account(phone));
        let runs = || vec![junk(phone.device(), 256); 3];
        while let Ok(sent) = flood.submit(calls::submit_batch(runs())).await {
            taken
                .entry(phone.device())
                .or_insert_with(Vec::new)
                .push(sent);
            if taken[&phone.device()].len() == 40 {
                break;
            }
        }
    }
    let relay = setting.relay();
    for _ in 0..3 {
        let waited = blocks_until(&setting, &relay, calls::submit(honest.run(3))).await;
        // One that is being made when it comes, its own, and a slot more.
        assert!(waited <= 3, "{waited} blocks");
    }
    assert!(taken.values().all(|sent| sent.len() > 4), "they did flood");
}
