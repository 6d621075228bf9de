// SPDX-License-Identifier: Apache-2.0

//! How new the proofs of heads are that relays hand out.

mod support;

use mhealth_evidence::HeadProof;
use mhealth_testing::finality::{wait_until_final, PROGRESS};
use mhealth_testing::http;
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use mhealth_testing::servers::{self, RelayOptions};
use support::{Setting, STUDY};

/// For how many final blocks proofs are looked at: more than lie between two justifications that nodes keep for good.
const BLOCKS: usize = 20;
/// How much older than the latest final block the block of a proof may be.
const MOST: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_proves_heads_in_a_block_at_most_two_older_than_the_latest_final_one() {
    let alice = Setting::start(Launch::consensus()).await;
    let enrolled = phone::enrol(&alice.office(), STUDY, 1).await;
    let device = enrolled.expect("enrolled").device();
    // The relay's node is no validator, and hears from others what is final.
    let address = alice.node.address().await.expect("it listens");
    let other = Launch::bare().args(["--chain=dev", "--bootnodes", &address]);
    let other = Setting::start(other).await;
    let folder = tempfile::tempdir().expect("a folder");
    let relay = servers::relay(&RelayOptions {
        study: STUDY,
        chain: other.node.url(),
        account: "//Dave",
        database: servers::sqlite_in(folder.path(), "relay.db"),
        // Who asks for a proof needs no token.
        issuer: "http://127.0.0.1:1".to_owned(),
    });
    let relay = relay.start().expect("the relay starts");
    let url = format!("{}/v1/devices/{device}/proof?set=0", relay.url());
    let last_final = async || alice.chain.finalised().await.expect("it answers").number;

    let goal = last_final().await + PROGRESS;
    let follows = wait_until_final(&other.node, goal).await;
    follows.expect("the relay's node follows");
    let mut blocks = alice.chain.follow_from(goal);
    let mut seen = 0;
    while seen < BLOCKS {
        blocks.next().await.expect("it is finalised");
        let last = last_final().await;
        let (status, proof) = http::get_bytes(&url).await.expect("the relay answers");
        // At first it may not know the chain.
        if status != 200 && seen == 0 {
            continue;
        }
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&proof));
        let proof = HeadProof::from_bytes(&proof).expect("it is a proof");
        let block = u64::from(proof.finality.block.number);
        assert!(block + MOST >= last, "{last} is final, {block} is proved");
        seen += 1;
    }
}
