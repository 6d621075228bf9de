// SPDX-License-Identifier: Apache-2.0

//! What strangers and broken clients send: each gets a coded answer, and the server goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{problem, Note, Running, HELD, LONG, RELEASED};
use mhealth_api::Code;
use mhealth_server::Limits;

async fn post(server: &Running, body: impl Into<reqwest::Body>) -> Code {
    let request = reqwest::Client::new().post(server.url("/v1/notes"));
    let answer = request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    problem(answer).await
}

#[tokio::test]
async fn what_is_not_json_and_what_is_not_the_message_are_told_apart() {
    let server = Running::start().await;
    for malformed in [
        "",
        "{",
        "hello",
        r#"{"id":1,"text":"x"} trailing"#,
        "\u{feff}",
        "\u{feff}\u{feff}{}",
    ] {
        assert_eq!(
            post(&server, malformed).await,
            Code::MalformedJson,
            "{malformed:?}"
        );
    }
    for invalid in [
        "{}",
        "\u{feff}{}",
        "[]",
        "null",
        r#"{"id":1}"#,
        r#"{"id":-1,"text":"x"}"#,
        r#"{"id":4294967296,"text":"x"}"#,
        r#"{"id":1,"text":"x","more":1}"#,
        r#"{"id":1,"id":1,"text":"x"}"#,
    ] {
        assert_eq!(
            post(&server, invalid).await,
            Code::InvalidMessage,
            "{invalid}"
        );
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post(&server, deep).await, Code::InvalidMessage);
    let not_utf8 = b"{\"id\":1,\"text\":\"\xff\"}".to_vec();
    assert_eq!(post(&server, not_utf8).await, Code::MalformedJson);
}

#[tokio::test]
async fn an_answer_names_the_missing_member_and_never_repeats_a_value() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    for body in [
        r#"{"id":"hunter2"}"#,
        r#"{"hunter2":1}"#,
        r#"{"id":1,"text":{"hunter2":3}}"#,
        "hunter2",
    ] {
        let request = client
            .post(server.url("/v1/notes"))
            .header("content-type", "application/json");
        let text = request
            .body(body)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("line 1, column"), "{text}");
    }
    let request = client
        .post(server.url("/v1/notes"))
        .header("content-type", "application/json");
    let text = request
        .body(r#"{"id":1}"#)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("The member text is missing"), "{text}");
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some(""),
    ] {
        let mut request = client
            .post(server.url("/v1/notes"))
            .body(r#"{"id":1,"text":"x"}"#);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        assert_eq!(
            problem(request.send().await.unwrap()).await,
            Code::UnsupportedMediaType
        );
    }
    let request = client
        .post(server.url("/v1/notes"))
        .header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(
        request
            .body(r#"{"id":1,"text":"x"}"#)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn parameters_and_credentials_have_their_form() {
    let server = Running::start().await;
    let client = reqwest::Client::new();
    for address in [
        "/v1/notes/x?after=1",
        "/v1/notes/-1?after=1",
        "/v1/notes/1",
        "/v1/notes/1?after=",
        "/v1/notes/1?after=1&more=1",
        "/v1/notes/%ff?after=1",
    ] {
        let answer = client.get(server.url(address)).send().await.unwrap();
        assert_eq!(problem(answer).await, Code::InvalidParameter, "{address}");
    }
    for credentials in [
        None,
        Some("hunter2"),
        Some("Basic hunter2"),
        Some("Bearer"),
        Some("Bearer   "),
    ] {
        let mut request = client.get(server.url("/v1/secret"));
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(answer).await, Code::MissingCredentials);
    }
    let answer = client
        .get(server.url("/v1/secret"))
        .bearer_auth("hunter2")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<u32>().await.unwrap(), 7);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_is_announced() {
    let limits = Limits {
        body_bytes: 1_000,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let fits = Note {
        id: 1,
        text: "x".repeat(900),
    };
    let client = reqwest::Client::new();
    assert_eq!(
        client
            .post(server.url("/v1/notes"))
            .json(&fits)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(post(&server, vec![b' '; 1_001]).await, Code::BodyTooLarge);
    assert_eq!(
        post(&server, vec![b' '; 4_000_000]).await,
        Code::BodyTooLarge
    );
    // Chunked, it has no announced length.
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    assert_eq!(post(&server, body).await, Code::BodyTooLarge);
}

#[tokio::test]
async fn bodies_over_all_connections_have_a_bound() {
    let limits = Limits {
        all_bodies_bytes: 10_000,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    assert_eq!(post(&server, vec![b' '; 20_000]).await, Code::Overloaded);
    // What was taken is given back.
    for _ in 0..5 {
        assert_eq!(post(&server, vec![b' '; 8_000]).await, Code::MalformedJson);
    }
}

#[tokio::test]
async fn a_body_counts_until_its_request_is_answered() {
    let limits = Limits {
        all_bodies_bytes: 10_000,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let note = Note {
        id: 1,
        text: "x".repeat(4_000),
    };
    let client = reqwest::Client::new();
    let post = |path| client.post(server.url(path)).json(&note).send();
    let held: Vec<_> = (0..2).map(|_| tokio::spawn(post("/v1/held"))).collect();
    HELD.acquire_many(2).await.unwrap().forget();
    for _ in 0..3 {
        let answer = post("/v1/notes").await.unwrap();
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(problem(answer).await, Code::Overloaded);
    }
    RELEASED.add_permits(2);
    for answer in held {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(post("/v1/notes").await.unwrap().status(), 200);
}

/// Sends these bytes and reads until the server closes the connection.
async fn exchange(server: &Running, bytes: Vec<u8>) -> String {
    let address = server.authority().to_owned();
    let exchange = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    exchange.await.unwrap()
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let limits = Limits {
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let head = "POST /v1/notes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let answer = exchange(
        &server,
        format!("{head}content-length: 100\r\n\r\n{{").into_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = Limits {
        header_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    // Half-open and idle connections end in the same way.
    for bytes in ["GET /healthz HTTP/1.1\r\nhost: x\r\n", ""] {
        let answer = exchange(&server, bytes.as_bytes().to_vec()).await;
        assert_eq!(answer, "");
    }
    assert_eq!(
        reqwest::get(server.url("/healthz")).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let server = Running::start().await;
    let many = (0..1_000)
        .map(|index| format!("x-{index}: y\r\n"))
        .collect::<String>();
    let long = format!("x: {}\r\n", "y".repeat(1_000_000));
    for headers in [many, long] {
        let bytes = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
        let answer = exchange(&server, bytes).await;
        // Without a body. The connection may break before the client has seen it.
        let is_refusal = answer.starts_with("HTTP/1.1 431") && answer.ends_with("\r\n\r\n");
        assert!(answer.is_empty() || is_refusal, "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(100_000));
    let answer = exchange(&server, long.into_bytes()).await;
    assert!(
        answer.is_empty()
            || answer.starts_with("HTTP/1.1 414")
            || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let answer = exchange(&server, b"\x16\x03\x01 this is not HTTP\r\n\r\n".to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(
        reqwest::get(server.url("/healthz")).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let limits = Limits {
        connections: 1,
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let mut lazy = TcpStream::connect(server.authority()).unwrap();
    lazy.write_all(b"GET /v1/long HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut first = [0];
        lazy.read_exact(&mut first).map(|()| lazy)
    });
    let lazy = reading.await.unwrap().unwrap();
    // There is room for one connection, so until the lazy one is closed all others are told that there is none.
    let client = reqwest::Client::new();
    while client
        .get(server.url("/healthz"))
        .send()
        .await
        .unwrap()
        .status()
        != 200
    {}
    let taken = tokio::task::spawn_blocking(move || rest_of(lazy));
    assert!(taken.await.unwrap() < LONG);
    // Who reads gets all of it.
    let answer = client.get(server.url("/v1/long")).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), LONG);
}

fn rest_of(mut stream: TcpStream) -> usize {
    let mut taken = Vec::new();
    // A connection that was reset is closed, too.
    let _ = stream.read_to_end(&mut taken);
    taken.len()
}

#[tokio::test]
async fn connections_that_send_nothing_give_way_to_others() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let idle: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(server.authority()).unwrap())
        .collect();
    assert_eq!(
        reqwest::get(server.url("/healthz")).await.unwrap().status(),
        200
    );
    drop(idle);
}
