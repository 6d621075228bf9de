// SPDX-License-Identifier: Apache-2.0

//! A server behind proxies and load balancers: whose a request is, and whose share it takes.

use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::support::{options, problem, Running};
use mhealth_api::Code;
use mhealth_server::{read_options_from, Limits, ServerOptions};
use reqwest::header::HeaderValue;
use reqwest::Response;

/// A client that connects from this address of the loopback interface.
fn from(address: &str) -> reqwest::Client {
    let address: IpAddr = address.parse().unwrap();
    reqwest::Client::builder()
        .local_address(address)
        .build()
        .unwrap()
}

async fn ask(client: &reqwest::Client, server: &Running, header: (&str, &str)) -> Response {
    let request = client.get(server.url("/v1/peer"));
    request.header(header.0, header.1).send().await.unwrap()
}

/// Whom the server takes for the client.
async fn peer(server: &Running, from_address: &str, header: (&str, &str)) -> String {
    let answer = ask(&from(from_address), server, header).await;
    answer.text().await.unwrap()
}

const XFF: &str = "x-forwarded-for";

#[tokio::test]
async fn what_is_forwarded_is_read_from_trusted_proxies_alone() {
    let trusted = ["--trusted-proxy=127.0.0.1", "--trusted-proxy=10.0.0.0/8"];
    let server = Running::with(Limits::default(), &trusted, true).await;
    let spoofed = (XFF, "203.0.113.9, 198.51.100.7, 10.1.2.3");
    assert_eq!(peer(&server, "127.0.0.1", spoofed).await, "198.51.100.7");
    // A neighbour of the proxy says the same and is not believed.
    assert_eq!(peer(&server, "127.0.0.2", spoofed).await, "127.0.0.2");
    // And the header that was not named is not read of anybody.
    let other = ("forwarded", "for=203.0.113.9");
    assert_eq!(peer(&server, "127.0.0.1", other).await, "127.0.0.1");
    let forwarded = [trusted[0], "--forwarded-by=forwarded"];
    let server = Running::with(Limits::default(), &forwarded, true).await;
    assert_eq!(peer(&server, "127.0.0.1", other).await, "203.0.113.9");
    assert_eq!(peer(&server, "127.0.0.1", spoofed).await, "127.0.0.1");
}

#[tokio::test]
async fn without_a_proxy_nobody_is_believed() {
    let server = Running::start().await;
    let found = peer(&server, "127.0.0.3", (XFF, "198.51.100.7")).await;
    assert_eq!(found, "127.0.0.3");
}

#[tokio::test]
async fn a_proxy_that_names_nobody_is_told_so() {
    let trusted = ["--trusted-proxy=127.0.0.1"];
    let server = Running::with(Limits::default(), &trusted, true).await;
    let proxy = from("127.0.0.1");
    for wrong in ["unknown", "_hidden", "198.51.100.7, x"] {
        let answer = ask(&proxy, &server, (XFF, wrong)).await;
        assert_eq!(problem(answer).await, Code::InvalidForwarding, "{wrong}");
    }
    // The same from somebody else is nothing but noise.
    assert_eq!(
        peer(&server, "127.0.0.2", (XFF, "unknown")).await,
        "127.0.0.2"
    );
}

#[tokio::test]
async fn what_a_client_wrote_is_not_read_even_if_nobody_could_read_it() {
    for (option, name, wrote, appended) in [
        ("x-forwarded-for", XFF, &b"\xff, "[..], "198.51.100.7"),
        (
            "forwarded",
            "forwarded",
            b"for=203.0.113.9;x=\", ",
            "for=198.51.100.7",
        ),
        (
            "forwarded",
            "forwarded",
            b"\xff, ",
            "for=\"198.51.100.7:9\"",
        ),
    ] {
        let by = format!("--forwarded-by={option}");
        let options = ["--trusted-proxy=127.0.0.1", by.as_str()];
        let server = Running::with(Limits::default(), &options, true).await;
        let line = HeaderValue::from_bytes(&[wrote, appended.as_bytes()].concat()).unwrap();
        let request = from("127.0.0.1").get(server.url("/v1/peer"));
        let answer = request.header(name, line).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "198.51.100.7", "{wrote:?}");
    }
}

#[tokio::test]
async fn what_a_proxy_asks_for_nobody_is_counted_as_its_own() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    let server = Running::with(limits, &["--trusted-proxy=127.0.0.1"], true).await;
    let proxy = from("127.0.0.1");
    let mut refused = 0;
    for _ in 0..40 {
        let answer = ask(&proxy, &server, (XFF, "unknown")).await;
        match problem(answer).await {
            Code::TooManyRequests => refused += 1,
            other => assert_eq!(other, Code::InvalidForwarding),
        }
    }
    assert!(refused >= 20, "{refused}");
    // Those whom it names do not pay for that.
    let answer = ask(&proxy, &server, (XFF, "198.51.100.7")).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn behind_a_load_balancer_each_client_has_a_share_of_its_own() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    let server = Running::with(limits, &["--trusted-proxy=127.0.0.1"], true).await;
    let balancer = from("127.0.0.1");
    let mut refused = 0;
    for _ in 0..40 {
        let answer = ask(&balancer, &server, (XFF, "198.51.100.7")).await;
        refused += u32::from(answer.status() == 429);
    }
    assert!(refused >= 20, "{refused}");
    // The greedy one may write whatever it likes before its own address.
    let answer = ask(&balancer, &server, (XFF, "203.0.113.9, 198.51.100.7")).await;
    assert_eq!(problem(answer).await, Code::TooManyRequests);
    let answer = ask(&balancer, &server, (XFF, "198.51.100.8")).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_trusted_proxy_may_have_more_connections_than_an_address() {
    let limits = Limits {
        connections: 40,
        ..Limits::default()
    };
    let server = Running::with(limits, &["--trusted-proxy=127.0.0.1"], true).await;
    // Ten are a share. All of these are at work at the same time.
    let all = (0..30).map(|number| {
        let client = from("127.0.0.1");
        let request = client.get(server.url("/v1/slow"));
        let request = request.header(XFF, format!("198.51.100.{number}"));
        async move { request.send().await.unwrap().status().as_u16() }
    });
    let statuses = futures::future::join_all(all).await;
    assert_eq!(statuses, vec![200; 30]);
}

#[tokio::test]
async fn a_server_that_faces_a_network_names_its_proxies() {
    let listen = ["--listen=0.0.0.0:0", "--behind-tls-proxy"];
    let error = options(&listen)
        .bind()
        .await
        .err()
        .expect("nobody is named");
    assert!(error.to_string().contains("(no_trusted_proxy)"), "{error}");
    let named = [listen[0], listen[1], "--trusted-proxy=10.0.0.0/8"];
    assert!(options(&named).bind().await.is_ok());

    #[derive(Debug, clap::Parser)]
    struct Options {
        #[command(flatten)]
        _server: ServerOptions,
    }
    for wrong in ["0.0.0.0/0", "10.0.0.7/24", "proxy.example", "10.0.0.0/40"] {
        let option = format!("--trusted-proxy={wrong}");
        let error = read_options_from::<Options>(["test", &option]).unwrap_err();
        assert!(error.to_string().contains("--trusted-proxy"), "{error}");
    }
}
