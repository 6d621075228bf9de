// SPDX-License-Identifier: Apache-2.0

//! Killed at bad moments: nothing that was acknowledged is lost or doubled.

use mhealth_api::RunState;
use mhealth_tests::node;
use mhealth_tests::postgres::Postgres;
use mhealth_tests::servers::{relay, RelayOptions};

use crate::world::{with_envelopes, World, NIGHT};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_relay() {
    let mut world = World::start_with(node::Launch::consensus(), 0, |launch| launch).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_node() {
    let mut world = World::start_with(node::Launch::consensus(), 0, |launch| launch).await;
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
    let postgres = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let database = postgres.new_database().unwrap();
    let mut world = World::start_with(node::Launch::consensus(), 0, |launch| {
        launch.env("MHEALTH_DATABASE", &database)
    })
    .await;
    let second = relay(&RelayOptions {
        study: 0,
        chain: world.node.url(),
        account: "//Dave",
        database: database.clone(),
        issuer: world.issuer.url(),
    });
    let mut second = second.start().unwrap();
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
