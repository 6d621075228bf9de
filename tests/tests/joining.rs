// SPDX-License-Identifier: Apache-2.0

//! A new node joins a chain, and serves devices like those that were there before. `mhealth-faults network` has the way that is
//! not here: warp sync begins when a node knows three others.

mod support;

use mhealth_chain_client::calls;
use mhealth_testing::finality::{wait_until_final, PROGRESS};
use mhealth_testing::joining::serves_like;
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use support::{Setting, STUDY};

/// Blocks of which only a part is near enough to the end of the chain for a state to be fetched there.
const OLD: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_serves_devices_whether_it_executed_all_blocks_or_fetched_a_state() {
    let alice = Launch::bare()
        .args(["--chain=dev", "--alice", "--validator"])
        .args(["--force-authoring", "--grandpa-gossip=50"])
        .arg(format!("--node-key={:064x}", 1));
    let alice = Setting::start(alice).await;
    let enrolled = phone::enrol(&alice.office(), STUDY, 1).await;
    let mut phone = enrolled.expect("enrolled");
    let run = calls::submit(phone.run(1));
    let brought = alice.relay().submit_and_wait(run).await;
    brought.expect("registered");
    let address = alice.node.address().await.expect("it listens");
    wait_until_final(&alice.node, OLD)
        .await
        .expect("it goes on");
    for way in ["--sync=fast", "--sync=full"] {
        let newcomer = Launch::bare().args(["--chain=dev", way, "--bootnodes", &address]);
        let newcomer = Setting::start(newcomer).await;
        // Twice: it goes on, too.
        for _ in 0..2 {
            let last = alice.chain.finalised().await.expect("it answers");
            let follows = wait_until_final(&newcomer.node, last.number + PROGRESS).await;
            follows.expect(way);
            let served = serves_like(&newcomer.chain, &alice.chain).await;
            let log = || newcomer.node.last_words();
            served.unwrap_or_else(|error| panic!("{way}: {error:#}\n{}", log()));
        }
    }
}
