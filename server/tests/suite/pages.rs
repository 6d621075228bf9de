// SPDX-License-Identifier: Apache-2.0

//! Web pages that use a server from a browser (CORS).

use std::num::NonZeroU32;

use crate::support::{problem, Note, Running};
use mhealth_api::Code;
use mhealth_server::Limits;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};

const APP: &str = "https://app.example";

async fn for_pages(limits: Limits) -> Running {
    let listed = [
        "--allowed-origin=https://app.example",
        "--allowed-origin=http://localhost:5173",
    ];
    Running::with(limits, &listed, true).await
}

/// What a browser asks before a page may send its own request.
async fn beforehand(server: &Running, origin: &str, path: &str) -> Response {
    reqwest::Client::new()
        .request(Method::OPTIONS, server.url(path))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type,dpop",
        )
        .send()
        .await
        .unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_listed_page_may_send_what_phones_send_and_read_what_phones_read() {
    let server = for_pages(Limits::default()).await;
    let answer = beforehand(&server, APP, "/v1/notes").await;
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(text(headers, "access-control-allow-origin"), APP);
    assert!(text(headers, "access-control-allow-methods").contains("POST"));
    for header in ["authorization", "content-type", "content-encoding", "dpop"] {
        let allowed = text(headers, "access-control-allow-headers");
        assert!(allowed.split(", ").any(|name| name == header), "{allowed}");
    }
    assert!(text(headers, "vary").contains("origin"));
    // Cookies are nobody's business here.
    assert!(!headers.contains_key("access-control-allow-credentials"));

    let note = Note {
        id: 1,
        text: "slept well".into(),
    };
    let client = reqwest::Client::new();
    let sent = client.post(server.url("/v1/notes")).json(&note);
    let answer = sent.header("origin", APP).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer.headers(), "access-control-allow-origin"), APP);
    for header in ["dpop-nonce", "retry-after", "www-authenticate", "date"] {
        let exposed = text(answer.headers(), "access-control-expose-headers");
        assert!(exposed.split(", ").any(|name| name == header), "{exposed}");
    }
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let server = for_pages(Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    })
    .await;
    let client = reqwest::Client::new();
    let ask = async |path: &str| {
        let request = client.get(server.url(path)).header("origin", APP);
        request.send().await.unwrap()
    };
    let missing = ask("/v1/nothing").await;
    assert_eq!(text(missing.headers(), "access-control-allow-origin"), APP);
    assert_eq!(problem(missing).await, Code::NotFound);
    loop {
        let answer = ask("/v1/peer").await;
        assert_eq!(text(answer.headers(), "access-control-allow-origin"), APP);
        if answer.status() == 429 {
            assert_eq!(problem(answer).await, Code::TooManyRequests);
            break;
        }
    }
    // To ask beforehand is to ask.
    let answer = beforehand(&server, APP, "/v1/notes").await;
    assert_eq!(problem(answer).await, Code::TooManyRequests);
}

#[tokio::test]
async fn another_page_is_told_so_and_reads_nothing() {
    let server = for_pages(Limits::default()).await;
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "http://app.example",
        "null",
    ] {
        let answer = beforehand(&server, origin, "/v1/notes").await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert_eq!(problem(answer).await, Code::OriginNotAllowed, "{origin}");
        let client = reqwest::Client::new();
        let sent = client.get(server.url("/v1/peer")).header("origin", origin);
        let answer = sent.send().await.unwrap();
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert_eq!(
            text(answer.headers(), "vary"),
            "origin",
            "caches keep them apart"
        );
    }
}

#[tokio::test]
async fn what_machines_ask_for_is_closed_to_pages() {
    let server = for_pages(Limits::default()).await;
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = beforehand(&server, APP, path).await;
        assert_eq!(problem(answer).await, Code::OriginNotAllowed, "{path}");
    }
}

#[tokio::test]
async fn a_server_without_listed_origins_says_nothing_of_them() {
    let server = Running::start().await;
    let answer = beforehand(&server, APP, "/v1/notes").await;
    assert_eq!(problem(answer).await, Code::MethodNotAllowed);
    let client = reqwest::Client::new();
    let sent = client.get(server.url("/v1/peer")).header("origin", APP);
    let headers = sent.send().await.unwrap().headers().clone();
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(!headers.contains_key("vary"));
}
