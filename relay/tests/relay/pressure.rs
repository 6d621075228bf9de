// SPDX-License-Identifier: Apache-2.0

//! More than the relay can keep.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::StreamExt;
use hashchain::StudyId;
use mhealth_api::RunState;
use mhealth_testing::node;

use crate::world::{on_both_databases, with_envelopes, Kind, World, NIGHT, PATIENCE};

const PAUSE: Duration = Duration::from_millis(200);

on_both_databases! {
    a_full_queue_is_told_with_a_time_to_wait
    a_device_that_sends_too_often_is_told_to_wait
    uploads_that_wait_for_the_chain_have_a_bound_in_memory
    what_a_device_may_not_send_for_now_is_told_with_a_time_to_come_again
    uploads_of_one_device_under_way_have_a_bound_that_is_seen_before_a_body
}

async fn a_full_queue_is_told_with_a_time_to_wait(kind: Kind) {
    let mut world = World::start_with(kind, node::Launch::consensus(), StudyId(0), |launch| {
        launch.arg("--max-queued-entries=20")
    })
    .await;
    let mut phone = world.phone(1).await;
    let mut stranger = world.phone(2).await;
    let known = with_envelopes(&phone.run_of(5, NIGHT));
    let status = world.upload(&phone, &known).await;
    // By then the node has the enrolments on its disk.
    world.settled(status.run).await;
    world.node.kill().unwrap();
    let run = with_envelopes(&stranger.run_of(1, NIGHT));
    let answer = world.post("/v1/runs", &world.pass(&stranger), &run).await;
    assert_eq!(answer.code(), "chain_unavailable");
    let refused = loop {
        let run = with_envelopes(&phone.run_of(5, NIGHT));
        let answer = world.post("/v1/runs", &world.pass(&phone), &run).await;
        match answer.status {
            503 => break (run, answer),
            status => assert_eq!(status, 202, "{answer:?}"),
        }
        assert!(phone.length() < 100, "the queue is never full");
    };
    assert_eq!(refused.1.code(), "overloaded");
    assert!(refused.1.retry_after.is_some_and(|seconds| seconds > 0));
    // What is known is answered all the same.
    let again = world.post("/v1/runs", &world.pass(&phone), &known).await;
    assert_eq!(again.status, 200);
    world.node.start_again().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let answer = world
            .post("/v1/runs", &world.pass(&phone), &refused.0)
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

async fn a_device_that_sends_too_often_is_told_to_wait(kind: Kind) {
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.arg("--device-rate=1").arg("--device-burst=3")
    })
    .await;
    let mut phone = world.phone(1).await;
    let mut other = world.phone(2).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let token = world.pass(&phone);
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

/// Uploads of devices whose heads are not known here wait for the chain with their bodies in memory.
async fn uploads_that_wait_for_the_chain_have_a_bound_in_memory(kind: Kind) {
    const PHONES: u8 = 8;
    const MEMORY: usize = 60_000;
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.arg(format!("--max-bodies={MEMORY}"))
    })
    .await;
    let mut uploads = Vec::new();
    for seed in 1..=PHONES {
        let mut phone = world.phone(seed).await;
        let run = with_envelopes(&phone.run_of(100, NIGHT));
        let pass = world.pass(&phone);
        // So that the relay knows the device, and nothing of its head.
        let mut nothing = run.clone();
        nothing.entries.clear();
        let refused = world.post("/v1/runs", &pass, &nothing).await;
        assert_eq!(refused.code(), "empty_run");
        uploads.push((pass, run));
    }
    let size = serde_json::to_string(&uploads[0].1).unwrap().len();
    let held = MEMORY / size;
    assert!((1..usize::from(PHONES)).contains(&held), "{size}");

    world.node.signal("STOP").unwrap();
    let mut answers: FuturesUnordered<_> = uploads
        .iter()
        .map(|(token, run)| world.post("/v1/runs", token, run))
        .collect();
    for _ in held..PHONES.into() {
        let refused = answers.next().await.unwrap();
        assert_eq!(refused.code(), "overloaded");
        assert!(refused.retry_after.is_some_and(|seconds| seconds > 0));
    }
    world.node.signal("CONT").unwrap();
    while let Some(answer) = answers.next().await {
        assert!(matches!(answer.status, 202 | 503), "{answer:?}");
    }
    for (token, run) in &uploads {
        let answer = world.post("/v1/runs", token, run).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    }
}

async fn what_a_device_may_not_send_for_now_is_told_with_a_time_to_come_again(kind: Kind) {
    for (option, code, status) in [
        ("--device-bytes-per-day=2000", "device_bytes_used", 429),
        ("--device-bytes=2000", "device_storage_full", 403),
        ("--device-queued-entries=20", "device_queue_full", 429),
    ] {
        let mut world = World::start_with(kind, node::Launch::consensus(), StudyId(0), |launch| {
            launch.arg(option)
        })
        .await;
        let mut phone = world.phone(1).await;
        let mut other = world.phone(2).await;
        let first = with_envelopes(&phone.run_of(1, NIGHT));
        let status_of_first = world.upload(&phone, &first).await;
        world.upload_new(&mut other, 1).await;
        if code == "device_queue_full" {
            // Nothing more gets through.
            world.settled(status_of_first.run).await;
            world.node.kill().unwrap();
        }
        let refused = loop {
            let run = with_envelopes(&phone.run_of(5, NIGHT));
            let answer = world.post("/v1/runs", &world.pass(&phone), &run).await;
            if answer.status != 202 {
                break answer;
            }
            assert!(phone.length() < 500, "{option}");
        };
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
        let wait = refused.retry_after;
        assert_eq!(wait.is_some_and(|seconds| seconds > 0), status == 429);
        if code == "device_bytes_used" {
            assert!(wait.is_some_and(|seconds| (60..=86_400).contains(&seconds)));
        }
        // What is known is answered all the same, and others are not concerned.
        let again = world.post("/v1/runs", &world.pass(&phone), &first).await;
        assert_eq!(again.status, 200, "{again:?}");
        world.upload_new(&mut other, 1).await;
    }
}

async fn uploads_of_one_device_under_way_have_a_bound_that_is_seen_before_a_body(kind: Kind) {
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.arg("--device-at-once=2")
    })
    .await;
    let mut phone = world.phone(1).await;
    let mut other = world.phone(2).await;
    world.upload_new(&mut phone, 1).await;
    let url = world.url("/v1/runs");
    // Whole heads, and no byte of a body.
    let open = |_| {
        let headers = world.pass(&phone).headers(&url);
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut stream = TcpStream::connect(("127.0.0.1", world.relay.port())).unwrap();
        write!(
            stream,
            "POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: 9\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let streams: Vec<_> = (0..5).map(open).collect();
    let answers = streams.into_iter().map(|mut stream| {
        tokio::task::spawn_blocking(move || {
            stream
                .set_read_timeout(Some(Duration::from_secs(3)))
                .unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        })
    });
    let answers: Vec<_> = futures::future::join_all(answers).await;
    let refused = answers.iter().filter(|answer| {
        let answer = answer.as_ref().unwrap();
        answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: ")
    });
    assert_eq!(refused.count(), 3, "{answers:?}");
    world.upload_new(&mut other, 1).await;
}
