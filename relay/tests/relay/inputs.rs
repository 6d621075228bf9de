// SPDX-License-Identifier: Apache-2.0

//! Bad bodies and parameters: each has its code, and nothing is stored.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use hashchain::Tag;
use mhealth_api::{Base64, Hash, RunUpload};
use mhealth_testing::process::peak_memory;
use serde_json::{json, Value};

use crate::world::{answer, on_both_databases, with_envelopes, Kind, World, NIGHT, PATIENCE};

on_both_databases! {
    every_bad_body_has_its_code
    bad_parameters_have_their_code
    operators_see_readiness_and_metrics
    a_run_of_a_million_entries_is_told_that_it_is_too_large
}

async fn every_bad_body_has_its_code(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let honest = with_envelopes(&phone.run_of(2, NIGHT));
    let token = world.pass(&phone);
    let as_json = serde_json::to_value(&honest).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = as_json.clone();
        change(&mut value);
        value.to_string()
    };
    let changed = |change: &dyn Fn(&mut RunUpload)| {
        let mut upload = honest.clone();
        change(&mut upload);
        serde_json::to_string(&upload).unwrap()
    };
    let cases = vec![
        ("".to_owned(), 400, "malformed_json"),
        ("{".to_owned(), 400, "malformed_json"),
        ("\u{feff}{}".to_owned(), 422, "invalid_message"),
        ("[1, 2]".to_owned(), 422, "invalid_message"),
        ("{}".to_owned(), 422, "invalid_message"),
        (
            with(&|value| value["colour"] = json!("red")),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["device"] = json!(-1)),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["device"] = json!("0")),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["sequence"] = json!(1.5)),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["previous"] = json!("0x00")),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["signature"] = json!("0x")),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["entries"][0]["envelope"] = json!("====")),
            422,
            "invalid_message",
        ),
        (
            with(&|value| value["entries"][0]["more"] = json!(0)),
            422,
            "invalid_message",
        ),
        (changed(&|run| run.entries.clear()), 422, "empty_run"),
        (
            changed(&|run| run.entries = vec![run.entries[0].clone(); 257]),
            422,
            "run_too_long",
        ),
        (changed(&|run| run.sequence = 0), 422, "invalid_sequence"),
        (
            changed(&|run| run.sequence = u64::MAX),
            422,
            "invalid_sequence",
        ),
        (
            changed(&|run| run.entries[1].envelope = Base64(vec![7])),
            422,
            "digest_mismatch",
        ),
        (
            changed(&|run| run.entries[1].tag = Tag([7; 32])),
            422,
            "bad_signature",
        ),
        (
            changed(&|run| run.signature = None),
            422,
            "missing_signature",
        ),
        (changed(&|run| run.device.0 += 1), 403, "wrong_device"),
        ("[".repeat(100_000), 422, "invalid_message"),
        (" ".repeat(5 * 1024 * 1024), 413, "body_too_large"),
    ];
    for (body, status, code) in cases {
        let start: String = body.chars().take(120).collect();
        let answer = world.post_text("/v1/runs", Some(&token), body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{start}"
        );
    }
    let mut untyped = world.http.post(world.url("/v1/runs"));
    for (name, value) in token.headers(&world.url("/v1/runs")) {
        untyped = untyped.header(name, value);
    }
    assert_eq!(untyped.body("{}").send().await.unwrap().status(), 415);
    assert_eq!(world.heads(phone.device()).await.relay.length, 0);
    world.upload(&phone, &honest).await;
}

async fn bad_parameters_have_their_code(kind: Kind) {
    let world = World::start(kind).await;
    for (path, status, code) in [
        ("/v1/runs/0x00", 400, "invalid_parameter"),
        ("/v1/devices/x", 400, "invalid_parameter"),
        ("/v1/devices/4294967296", 400, "invalid_parameter"),
        ("/v1/keys/0xzz", 400, "invalid_parameter"),
        ("/v1/devices/77", 404, "unknown_device"),
        ("/v1/devices/77/head", 404, "unknown_device"),
        ("/v1/studies/77", 404, "unknown_study"),
        ("/v1/devices/0/entries?from=0", 400, "invalid_parameter"),
        ("/v1/devices/0/entries?count=9999", 400, "invalid_parameter"),
        ("/v1/devices/0/entries?colour=red", 400, "invalid_parameter"),
        ("/v1/nothing", 404, "not_found"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{path}"
        );
    }
    let unknown = format!("/v1/runs/{}", Hash([1; 32]));
    assert_eq!(world.get(&unknown).await.code(), "unknown_run");
    for path in [
        "/v1/devices/0/proof?set=x",
        "/v1/devices/0/proof?set=-1",
        "/v1/devices/0/proof?record=2",
        "/v1/devices/0/proof?colour=red",
        "/v1/devices/x/proof",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_parameter"),
            "{path}"
        );
    }
    // This chain makes its blocks without GRANDPA.
    let answer = world.get("/v1/devices/0/proof?record=true").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "proof_unavailable")
    );
}

async fn operators_see_readiness_and_metrics(kind: Kind) {
    let mut world = World::start(kind).await;
    world.relay.wait_until_ready().unwrap();
    let mut phone = world.phone(1).await;
    let status = world.upload_new(&mut phone, 2).await;
    world.settled(status.run).await;
    let metrics = world.get("/metrics").await.body;
    for line in [
        "mhealth_relay_entries_total{outcome=\"accepted\"} 2",
        "mhealth_relay_entries_total{outcome=\"finalised\"} 2",
        "mhealth_relay_runs_total{outcome=\"conflicting\"} 0",
        "mhealth_relay_leading 1",
        "mhealth_relay_finalised_after_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    // Devices are counted once a minute, and when the relay starts.
    world.relay.stop().unwrap();
    world.relay = world.launch.clone().start().unwrap();
    let counted = "mhealth_relay_devices{within=\"2d\"} 1\n";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = world.get("/metrics").await.body;
        if metrics.contains(counted) {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_run_of_a_million_entries_is_told_that_it_is_too_large(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let honest = with_envelopes(&phone.run_of(1, NIGHT));
    let token = world.pass(&phone);
    let text = serde_json::to_string(&honest).unwrap();
    let (head, rest) = text.split_once("\"entries\":[").unwrap();
    let (entry, tail) = rest.split_once(']').unwrap();
    let thousand = Bytes::from(format!("{entry},").repeat(1_000));
    let parts = std::iter::once(Bytes::from(format!("{head}\"entries\":[")))
        .chain(std::iter::repeat_n(thousand, 1_000))
        .chain([Bytes::from(format!("{entry}]{tail}"))]);
    let length: usize = parts.clone().map(|part| part.len()).sum();
    assert!(length > 100_000_000);
    let upload = || {
        let parts = parts.clone().map(Ok::<_, std::io::Error>);
        let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
        let headers = token.headers(&world.url("/v1/runs"));
        world.request("/v1/runs", &headers).body(body)
    };
    let relay = world.relay.process_id().unwrap();
    let before = peak_memory(relay).unwrap();
    let announced = upload().header("content-length", length);
    let chunked = upload();
    for answer in <[_; 2]>::from(futures::join!(answer(announced), answer(chunked))) {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (413, "body_too_large")
        );
    }
    world.upload(&phone, &honest).await;
    let grown = peak_memory(relay).unwrap() - before;
    assert!(grown < 64, "{grown} MiB more");
}
