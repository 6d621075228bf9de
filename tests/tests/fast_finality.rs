// SPDX-License-Identifier: Apache-2.0

//! How soon a block is final: before the next one is made, unless votes are expected to take long.

use std::collections::BTreeSet;
use std::time::Duration;

use mhealth_testing::finality::{height, wait_until_final, PATIENCE};
use mhealth_testing::node::{Launch, Node};

/// Blocks that are watched.
const BLOCKS: u64 = 10;
/// Between two looks. A block is the best for two seconds.
const PAUSE: Duration = Duration::from_millis(100);

/// How many of some blocks were final while they were the best.
async fn final_before_the_next(launch: Launch) -> u64 {
    let node = launch.start().expect("it starts");
    // Until then its votes may be about the first block.
    wait_until_final(&node, 2).await.expect("it goes on");
    let watched = tokio::time::timeout(PATIENCE, watch(&node)).await;
    watched.unwrap_or_else(|_| panic!("it makes no blocks:\n{}", node.last_words()))
}

async fn watch(node: &Node) -> u64 {
    let before = height(node).await.expect("it answers").best;
    let mut found = BTreeSet::new();
    loop {
        let now = height(node).await.expect("it answers");
        if now.best > before + BLOCKS {
            return found.len() as u64;
        }
        // What is final was asked first.
        if now.best == now.last_final && now.best > before {
            found.insert(now.best);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// With votes for the block that is two older than the best none is.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_final_before_the_next_one_is_made() {
    let found = final_before_the_next(Launch::consensus()).await;
    assert!(2 * found > BLOCKS, "{found} of {BLOCKS} blocks were");
}

/// A vote is cast after two seconds then, and the next after two more.
#[tokio::test(flavor = "multi_thread")]
async fn votes_are_waited_for_as_long_as_the_operator_says() {
    let slow = Launch::consensus().arg("--grandpa-gossip=1000");
    let found = final_before_the_next(slow).await;
    assert!(2 * found < BLOCKS, "{found} of {BLOCKS} blocks were final");
}
