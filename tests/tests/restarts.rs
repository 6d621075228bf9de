// SPDX-License-Identifier: Apache-2.0

//! The chain client while its node stops, is killed, and comes back.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// The compiled runtime in a cache: where it is, and what it is.
fn compiled(cache: &Path) -> (PathBuf, Vec<u8>) {
    let (path, length) = largest(cache).expect("something is kept");
    assert!(length > 1_000_000, "{path:?} has {length} bytes");
    let code = fs::read(&path).expect("it is there");
    (path, code)
}

#[test]
fn a_runtime_that_is_kept_compiled_is_used_and_made_anew_when_it_is_spoilt() {
    const REFUSED: &str = "runtime_cache_damaged";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("cache");
    let start = || {
        let launch = Launch::instant().runtime_cache(&folder);
        let node = launch.start().expect("it starts");
        (compiled(&folder), node.log())
    };
    let ((path, code), log) = start();
    assert!(log.contains("the compiled runtime is kept"), "{log}");
    let mode = fs::metadata(&folder).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    let written = || fs::metadata(&path).and_then(|about| about.modified());
    let before = written().expect("it is there");
    let (kept, log) = start();
    assert_eq!(kept, (path.clone(), code.clone()));
    assert_eq!(written().expect("it is there"), before);
    assert!(!log.contains("the compiled runtime is kept"), "{log}");

    // Half of it is lost; a bit of it is another, which nothing but a digest finds for certain; it is another runtime's.
    let half = code[..code.len() / 2].to_vec();
    let mut flipped = code.clone();
    flipped[code.len() / 2] ^= 1;
    for spoilt in [half, flipped, b"another runtime".to_vec()] {
        fs::write(&path, spoilt).expect("the folder is ours");
        let (kept, log) = start();
        assert_eq!(kept, (path.clone(), code.clone()));
        assert!(log.contains(REFUSED), "{log}");
    }

    // What somebody puts there under a name that the node looks for.
    let digests = folder.join("digests");
    fs::remove_dir_all(&digests).expect("the folder is ours");
    let (kept, log) = start();
    assert_eq!(kept, (path.clone(), code.clone()));
    assert!(log.contains(REFUSED), "{log}");
}

#[test]
fn a_node_keeps_its_runtime_compiled_below_its_own_directory_unless_it_is_told_not_to() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let launch = || Launch::instant().base_path(base.path()).own_runtime_cache();
    let cache = base.path().join("chains/mhealth_dev/runtime-cache");
    let without = launch().arg("--no-runtime-cache").start();
    drop(without.expect("it starts"));
    assert!(!cache.exists());
    drop(launch().start().expect("it starts"));
    let kept = compiled(&cache);
    let node = launch().start().expect("it starts");
    assert_eq!(compiled(&cache), kept);
    let log = node.log();
    assert!(!log.contains("the compiled runtime is kept"), "{log}");
}

#[test]
fn what_others_may_write_to_is_not_executed() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let cache = base.path().join("chains/mhealth_dev/runtime-cache");
    fs::create_dir_all(&cache).expect("it is ours");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    // Named by the operator, it is refused; the usual one is done without.
    let named = Launch::instant().runtime_cache(&cache).start();
    let refusal = named.err().expect("anybody may write there").to_string();
    assert!(refusal.contains("runtime_cache_open"), "{refusal}");
    let launch = Launch::instant().base_path(base.path()).own_runtime_cache();
    let node = launch.start().expect("it starts");
    let log = node.log();
    assert!(log.contains("runtime_cache_open"), "{log}");
    assert_eq!(largest(&cache), None);
}
