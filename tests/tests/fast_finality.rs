// SPDX-License-Identifier: Apache-2.0

//! How soon a block is final: before the next one is made, unless votes are expected to take long.

use mhealth_testing::finality::{wait_until_final, PATIENCE};
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::rpc::JsonRpc;
use serde_json::Value;
use tokio::sync::Mutex;

/// Blocks that are watched.
const BLOCKS: u64 = 12;

/// One node at a time: two would take each other's time to vote in.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How many of some blocks were final before the next one was made.
async fn final_before_the_next(launch: Launch) -> u64 {
    let _alone = ALONE.lock().await;
    let node = launch.start().expect("it starts");
    // Until then its votes may be about the first block.
    wait_until_final(&node, 2).await.expect("it goes on");
    let watched = tokio::time::timeout(PATIENCE, watch(&node)).await;
    watched.unwrap_or_else(|_| panic!("it makes no blocks:\n{}", node.last_words()))
}

/// The node tells what happened in the order in which it did, so it does not matter how late that is read.
async fn watch(node: &Node) -> u64 {
    let rpc = JsonRpc::connect(&node.url()).await.expect("it answers");
    let mut events = rpc.follow().await.expect("it answers");
    let (mut latest, mut made, mut found) = (Value::Null, 0, 0);
    let mut is_new = false;
    loop {
        let event = events.next().await.expect("it goes on");
        let event = event.expect("an event");
        match event["event"].as_str() {
            Some("newBlock") if is_new && made == BLOCKS => return found,
            Some("newBlock") if is_new => {
                made += 1;
                latest = event["blockHash"].clone();
            }
            Some("finalized") => {
                // What it told before may have happened before it was asked.
                is_new = true;
                let blocks = event["finalizedBlockHashes"].as_array();
                found += u64::from(blocks.expect("a list").contains(&latest));
            }
            Some("stop") => panic!("it tells no more:\n{}", node.last_words()),
            _ => {}
        }
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
