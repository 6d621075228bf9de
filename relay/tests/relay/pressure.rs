// SPDX-License-Identifier: Apache-2.0

//! More than the relay can keep.

use std::time::{Duration, Instant};

use mhealth_api::RunState;
use mhealth_tests::node;

use crate::world::{with_envelopes, World, NIGHT, PATIENCE};

const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_with_a_time_to_wait() {
    let mut world = World::start_with(node::Launch::consensus(), 0, |launch| {
        launch.arg("--max-queued-entries=20")
    })
    .await;
    let mut phone = world.phone(1).await;
    world.node.kill().unwrap();
    let mut known = None;
    let refused = loop {
        let run = with_envelopes(&phone.run_of(5, NIGHT));
        let answer = world.post("/v1/runs", &world.token(&phone), &run).await;
        match answer.status {
            // Not a single upload before the node was gone: the device is not known yet.
            503 if known.is_none() => assert_eq!(answer.code(), "chain_unavailable"),
            503 => break (run, answer),
            status => assert_eq!(status, 202, "{answer:?}"),
        }
        if known.is_none() {
            world.node.start_again().unwrap();
            world.upload(&phone, &run).await;
            world.node.kill().unwrap();
        }
        known.get_or_insert(run);
        assert!(phone.length() < 100, "the queue is never full");
    };
    assert_eq!(refused.1.code(), "overloaded");
    assert!(refused.1.retry_after.is_some_and(|seconds| seconds > 0));
    // What is known is answered all the same.
    let again = world
        .post("/v1/runs", &world.token(&phone), &known.unwrap())
        .await;
    assert_eq!(again.status, 200);
    world.node.start_again().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let answer = world
            .post("/v1/runs", &world.token(&phone), &refused.0)
            .await;
        match answer.status {
            202 => break answer.json::<mhealth_api::RunStatus>(),
            503 if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            _ => panic!("{answer:?}\n{}", world.relay.log()),
        }
    };
    assert_eq!(world.settled(status.run).await.state, RunState::Finalised);
    assert_eq!(world.length(&phone).await, phone.length());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_sends_too_often_is_told_to_wait() {
    let world = World::start_with(node::Launch::instant(), 0, |launch| {
        launch.arg("--device-rate=1").arg("--device-burst=3")
    })
    .await;
    let mut phone = world.phone(1).await;
    let mut other = world.phone(2).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let token = world.token(&phone);
    let mut codes = Vec::new();
    for _ in 0..5 {
        let answer = world.post("/v1/runs", &token, &run).await;
        codes.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.code(), "too_many_requests");
            assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
        }
    }
    assert_eq!(codes[..3], [202, 200, 200]);
    assert!(codes[3..].contains(&429), "{codes:?}");
    // Others are not affected.
    world.upload_new(&mut other, 1).await;
}
