// SPDX-License-Identifier: Apache-2.0

//! Killed at bad moments: nothing that was acknowledged is lost or doubled.

use hashchain::StudyId;
use mhealth_api::RunState;
use mhealth_testing::node;
use mhealth_testing::servers::{relay, RelayOptions};

use crate::world::{on_both_databases, with_envelopes, Kind, World, NIGHT};

on_both_databases! {
    what_was_acknowledged_outlives_the_relay
    what_was_acknowledged_outlives_the_node
}

async fn what_was_acknowledged_outlives_the_relay(kind: Kind) {
    let mut world =
        World::start_with(kind, node::Launch::consensus(), StudyId(0), |launch| launch).await;
    let mut phone = world.phone(1).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        for _ in 0..3 {
            let run = with_envelopes(&phone.run_of(1, NIGHT));
            runs.push(world.upload(&phone, &run).await.run);
        }
        world.relay.kill().unwrap();
        world.relay.start_again().unwrap();
        world.relay.wait_until_ready().unwrap();
    }
    for run in runs {
        assert_eq!(world.settled(run).await.state, RunState::Finalised);
    }
    assert_eq!(world.length(&phone).await, 15);
}

async fn what_was_acknowledged_outlives_the_node(kind: Kind) {
    let mut world =
        World::start_with(kind, node::Launch::consensus(), StudyId(0), |launch| launch).await;
    let mut phone = world.phone(1).await;
    let first = world.upload_new(&mut phone, 1).await;
    world.settled(first.run).await;
    world.node.kill().unwrap();
    // The device is known and its head is the relay's own, so the relay goes on taking runs.
    let second = world.upload_new(&mut phone, 2).await;
    assert_eq!(second.state, RunState::Pending);
    world.relay.kill().unwrap();
    // It serves again before the node does.
    world.relay.start_again().unwrap();
    assert_eq!(world.status(second.run).await.state, RunState::Pending);
    assert_eq!(world.get("/readyz").await.code(), "chain_unavailable");
    world.node.start_again().unwrap();
    let settled = world.settled(second.run).await;
    assert_eq!(settled.state, RunState::Finalised, "{settled:?}");
    assert_eq!(world.length(&phone).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_share_one_postgresql_and_one_account() {
    let consensus = node::Launch::consensus();
    let mut world = World::start_with(Kind::Postgres, consensus, StudyId(0), |launch| launch).await;
    let second = relay(&RelayOptions {
        study: StudyId(0),
        chain: world.node.url(),
        account: "//Dave",
        database: world.database.clone(),
        issuer: world.issuer.url(),
    });
    let mut second = second.start().unwrap();
    world.issuer.relays.push(second.url());
    let mut phones = Vec::new();
    for seed in 1..=4 {
        phones.push(world.phone(seed).await);
    }
    let mut runs = Vec::new();
    for round in 0..8 {
        for phone in &mut phones {
            let run = with_envelopes(&phone.run_of(1, NIGHT));
            runs.push(world.upload(phone, &run).await.run);
            // From one to the other, run by run.
            std::mem::swap(&mut world.relay, &mut second);
        }
        if round % 3 == 2 {
            world.relay.kill().unwrap();
            world.relay.start_again().unwrap();
            world.relay.wait_until_ready().unwrap();
        }
        std::mem::swap(&mut world.relay, &mut second);
    }
    for run in &runs {
        assert_eq!(world.settled(*run).await.state, RunState::Finalised);
    }
    for phone in &phones {
        assert_eq!(world.length(phone).await, 8);
    }
}
