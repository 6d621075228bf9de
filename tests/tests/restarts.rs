// SPDX-License-Identifier: Apache-2.0

//! The chain client while its node stops, is killed, and comes back.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mhealth_chain_client::{
    calls, ChainClient, ConnectOptions, FinalisedBlock, Follower, Patience,
};
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use support::{Setting, STUDY};

/// Follows until this block has come, checking that every block is the child of the one before.
async fn follow_to(follower: &mut Follower, number: u64) -> Vec<FinalisedBlock> {
    let mut blocks: Vec<FinalisedBlock> = Vec::new();
    while follower.position() <= number {
        let block = follower.next().await.expect("the node answers");
        if let Some(before) = blocks.last() {
            assert_eq!(
                (block.number, block.parent_hash),
                (before.number + 1, before.hash)
            );
        }
        blocks.push(block);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_misses_no_block_over_a_restart_of_the_node() {
    let mut setting = Setting::instant().await;
    let mut follower = setting.chain.follow_from(1);
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let relay = setting.relay();
    let mut last = 0;
    for _ in 0..3 {
        let run = calls::submit(phone.run(1));
        last = relay
            .submit_and_wait(run)
            .await
            .expect("registered")
            .block_number;
    }
    let before = follow_to(&mut follower, last).await;
    assert_eq!(before[0].number, 1);

    setting.node.stop().expect("it stops");
    setting.node.start_again().expect("it starts");
    // Another client makes blocks while this follower has not noticed anything yet.
    let other = ChainClient::connect(&setting.node.url())
        .await
        .expect("the node answers");
    let relay = other.submitter(setting.relay_account());
    for _ in 0..20 {
        let run = calls::submit(phone.run(1));
        last = relay
            .submit_and_wait(run)
            .await
            .expect("registered")
            .block_number;
    }
    let after = follow_to(&mut follower, last).await;
    assert_eq!(after[0].number, before[before.len() - 1].number + 1);
    assert_eq!(after[0].parent_hash, before[before.len() - 1].hash);
    let recorded = after.iter().flat_map(FinalisedBlock::all_events).count();
    assert_eq!(recorded, 20);
    let head = setting
        .chain
        .head(phone.device())
        .await
        .expect("read")
        .map(|head| head.length);
    assert_eq!(head, Some(23));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_the_node_was_killed_is_registered_once() {
    let mut setting = Setting::start(Launch::consensus()).await;
    let office = setting.office();
    let mut phones = Vec::new();
    for seed in 1..=3 {
        phones.push(phone::enrol(&office, STUDY, seed).await.expect("enrolled"));
    }
    let relay = setting.relay();
    let mut submissions = Vec::new();
    for phone in &mut phones {
        let run = calls::submit(phone.run(2));
        submissions.push(relay.submit(run).await.expect("taken"));
    }
    setting.node.kill().expect("it is killed");
    setting.node.start_again().expect("it starts");
    for submission in submissions {
        let outcome = submission.finalised().await.expect("finalised");
        outcome.succeeded().expect("registered");
    }
    for phone in &phones {
        let head = setting
            .chain
            .head(phone.device())
            .await
            .expect("read")
            .expect("it is there");
        assert_eq!((head.hash, head.length), (phone.head(), 2));
    }
    let next = setting
        .chain
        .next_nonce(&relay.account())
        .await
        .expect("read");
    assert_eq!(next, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_come_back_is_unreachable_after_the_patience_asked_for() {
    let mut setting = Setting::instant().await;
    let options = ConnectOptions {
        patience: Patience {
            reconnect: Duration::from_millis(500),
            ..Patience::default()
        },
        ..ConnectOptions::default()
    };
    let url = setting.node.url();
    let chain = ChainClient::connect_with(&url, options)
        .await
        .expect("the node answers");
    setting.node.kill().expect("it is killed");
    let error = chain.finalised().await.expect_err("it is down");
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().contains(&url), "{error}");
    let error = ChainClient::connect(&url).await.expect_err("it is down");
    assert!(error.is_unreachable(), "{error}");
    setting.node.start_again().expect("it starts");
    chain.finalised().await.expect("the same client goes on");
}

/// The largest file below a folder, and its length.
fn largest(folder: &Path) -> Option<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).expect("a folder");
    let files = entries.filter_map(|entry| {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("it is there");
        match about.is_dir() {
            true => largest(&entry.path()),
            false => Some((entry.path(), about.len())),
        }
    });
    files.max_by_key(|(_, length)| *length)
}

#[test]
fn a_runtime_that_is_kept_compiled_is_used_and_made_anew_when_it_is_spoilt() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || {
        let launch = Launch::instant().runtime_cache(folder.path());
        launch.start().expect("it starts");
        largest(folder.path()).expect("something is kept")
    };
    let (path, length) = start();
    assert!(length > 1_000_000, "{path:?} has {length} bytes");
    let written = || fs::metadata(&path).and_then(|about| about.modified());
    let before = written().expect("it is there");
    assert_eq!(start(), (path.clone(), length));
    assert_eq!(written().expect("it is there"), before);

    let file = fs::File::options().write(true).open(&path);
    file.and_then(|file| file.set_len(length / 2))
        .expect("half of it is lost");
    assert_eq!(start(), (path.clone(), length));
}
