// SPDX-License-Identifier: Apache-2.0

//! What every server does, seen from outside.

use std::collections::BTreeSet;

use crate::support::{options, problem, Note, Running};
use mhealth_api::Code;
use mhealth_server::{Limits, Server};

#[tokio::test]
async fn a_message_comes_back_over_http() {
    let server = Running::start().await;
    let note = Note {
        id: 1,
        text: "slept well".into(),
    };
    let answer = reqwest::Client::new()
        .post(server.url("/v1/notes"))
        .json(&note)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<Note>().await.unwrap(), note);
}

#[tokio::test]
async fn probes_tell_whether_the_server_lives_and_whether_it_can_work() {
    let server = Running::start().await;
    for probe in ["/healthz", "/readyz"] {
        let answer = reqwest::get(server.url(probe)).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), r#"{"status":"ok"}"#);
    }
    let unready = Running::with(Limits::default(), &[], false).await;
    assert_eq!(
        reqwest::get(unready.url("/healthz"))
            .await
            .unwrap()
            .status(),
        200
    );
    let answer = reqwest::get(unready.url("/readyz")).await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(problem(answer).await, Code::StorageUnavailable);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    let answer = client.get(server.url("/v1/nothing")).send().await.unwrap();
    assert_eq!(problem(answer).await, Code::NotFound);
    let answer = client.delete(server.url("/v1/notes")).send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(problem(answer).await, Code::MethodNotAllowed);
}

#[tokio::test]
async fn the_openapi_document_lists_exactly_the_routes_that_are_served() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    let document: serde_json::Value = client
        .get(server.url("/openapi.json"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["info"]["title"], "test");
    let paths = document["paths"].as_object().unwrap();
    let listed: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let expected = [
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/held",
        "/v1/long",
        "/v1/notes",
        "/v1/notes/{id}",
        "/v1/panic",
        "/v1/peer",
        "/v1/secret",
        "/v1/slow",
    ];
    assert_eq!(listed, BTreeSet::from(expected));
    for (path, operations) in paths {
        let url = server.url(&path.replace("{id}", "7"));
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let method: reqwest::Method = method.parse().unwrap();
            let answer = client.request(method.clone(), &url).send().await.unwrap();
            let is_listed = operations.get(method.as_str().to_lowercase()).is_some();
            assert_eq!(answer.status() != 405, is_listed, "{method} {path}");
            assert_ne!(answer.status(), 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_not_by_what_strangers_ask_for() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    for id in 0..3 {
        let answer = client
            .get(server.url(&format!("/v1/notes/{id}?after=2")))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.json::<u32>().await.unwrap(), id + 2);
    }
    client.get(server.url("/v1/made-up")).send().await.unwrap();
    let metrics = client
        .get(server.url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted =
        r#"mhealth_http_requests_total{method="GET",route="/v1/notes/{id}",status="200"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        metrics.contains(r#"{method="GET",route="none",status="404"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains("mhealth_http_request_seconds_bucket"),
        "{metrics}"
    );
    assert!(metrics.contains("mhealth_http_connections"), "{metrics}");
    assert!(!metrics.contains("made-up"), "{metrics}");
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_and_shows_nothing() {
    let server = Running::start().await;
    let answer = reqwest::get(server.url("/v1/panic")).await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(
        text.contains(r#""code":"internal""#) && !text.contains("secret detail"),
        "{text}"
    );
    assert_eq!(
        reqwest::get(server.url("/healthz")).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_server_stops() {
    let mut server = Running::start().await;
    let slow = tokio::spawn(reqwest::get(server.url("/v1/slow")));
    let client = reqwest::Client::new();
    loop {
        // It is under way when it holds a connection beside this one's.
        let metrics = client
            .get(server.url("/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if metrics.contains("mhealth_http_connections 2") {
            break;
        }
    }
    server.stop.cancel();
    assert_eq!(slow.await.unwrap().unwrap().json::<u32>().await.unwrap(), 1);
    (&mut server.task).await.unwrap().unwrap();
    assert!(client.get(server.url("/healthz")).send().await.is_err());
}

#[tokio::test]
async fn plain_http_is_for_the_loopback_interface_or_behind_a_proxy() {
    let error = options(&["--listen", "0.0.0.0:0"])
        .bind()
        .await
        .err()
        .expect("it faces a network");
    assert!(error.to_string().contains("--tls-certificate"), "{error}");
    let behind = [
        "--listen=0.0.0.0:0",
        "--behind-tls-proxy",
        "--trusted-proxy=10.0.0.0/8",
    ];
    let bound = options(&behind).bind().await.unwrap();
    assert_ne!(bound.address().port(), 0);
    drop(Server::new("test", "A server for tests.", bound));
}

#[tokio::test]
async fn the_address_that_a_proxy_forwards_is_believed_only_behind_a_proxy() {
    for (arguments, expected) in [
        (&[][..], "127.0.0.1"),
        (&["--behind-tls-proxy"][..], "198.51.100.7"),
    ] {
        let server = Running::with(Limits::default(), arguments, true).await;
        let answer = reqwest::Client::new()
            .get(server.url("/v1/peer"))
            .header("x-forwarded-for", "203.0.113.9, 198.51.100.7")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.text().await.unwrap(), expected);
    }
}
