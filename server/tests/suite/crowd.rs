// SPDX-License-Identifier: Apache-2.0

//! What one address can take of a server, and what that costs the others.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::support::{problem, Note, Running, HELD, RELEASED};
use futures::future::join_all;
use mhealth_api::Code;
use mhealth_server::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream as Stream};

const HEAD: &str =
    "POST /v1/notes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length:";

/// A little less than whoever has to wait waits.
const A_WHILE: Duration = Duration::from_millis(900);

/// A client at one of this machine's addresses.
fn client(last: u8) -> reqwest::Client {
    reqwest::Client::builder()
        .local_address(IpAddr::from([127, 0, 0, last]))
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

async fn connect(server: &Running, last: u8) -> Stream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    socket
        .connect(server.authority().parse().unwrap())
        .await
        .unwrap()
}

/// The status of an answer, and how long it took.
async fn timed(client: &reqwest::Client, url: String) -> (u16, Duration) {
    let began = Instant::now();
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), began.elapsed())
}

/// How long the fastest of several other clients waits for its answer: a machine that is at other work for a moment makes one of
/// them wait, and a server that makes them wait does so with all.
async fn fastest_other(server: &Running, path: &str) -> Duration {
    let mut fastest = Duration::MAX;
    for last in 3..8 {
        let (status, took) = timed(&client(last), server.url(path)).await;
        assert_eq!(status, 200);
        fastest = fastest.min(took);
    }
    fastest
}

async fn open_connections(server: &Running) -> usize {
    let metrics = client(200)
        .get(server.url("/metrics"))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mhealth_http_connections "));
    line.unwrap().parse().unwrap()
}

/// A share of two of eight connections.
fn few() -> Limits {
    Limits {
        connections: 8,
        ..Limits::default()
    }
}

#[tokio::test]
async fn idle_connections_of_one_address_keep_nobody_out() {
    let server = Running::with(few(), &[], true).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(connect(&server, 2).await);
    }
    let began = Instant::now();
    // Half as long as the server waits for a head.
    for last in [2, 3] {
        let answer = client(last)
            .get(server.url("/v1/peer"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert!(open_connections(&server).await <= 8);
}

#[tokio::test]
async fn an_address_whose_share_is_at_work_is_told_to_wait_and_the_others_are_answered() {
    let server = Running::with(few(), &[], true).await;
    let note = Note {
        id: 1,
        text: "x".into(),
    };
    let hold = || client(2).post(server.url("/v1/held")).json(&note).send();
    let held = [tokio::spawn(hold()), tokio::spawn(hold())];
    HELD.acquire_many(2).await.unwrap().forget();
    let refused = client(2).get(server.url("/v1/peer")).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, Code::TooManyRequests);
    let answer = client(3).get(server.url("/v1/peer")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    RELEASED.add_permits(2);
    for answer in held {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn requests_under_way_are_counted_for_the_address_that_a_proxy_names() {
    let server = Running::with(few(), &["--behind-tls-proxy"], true).await;
    let http = reqwest::Client::new();
    let ask = |address: &str| {
        let request = http.get(server.url("/v1/slow"));
        request.header("x-forwarded-for", address).send()
    };
    let (first, second, third, other) = tokio::join!(
        ask("2001:db8::1"),
        ask("2001:db8::2"),
        ask("2001:db8::3"),
        ask("2001:db8:0:1::1"),
    );
    let mut refused = 0;
    for answer in [first.unwrap(), second.unwrap(), third.unwrap()] {
        if answer.status() != 200 {
            assert_eq!(problem(answer).await, Code::TooManyRequests);
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(other.unwrap().status(), 200);
}

#[tokio::test]
async fn the_rate_of_an_address_is_seen_before_its_body_is_read() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let asking: Vec<_> = (0..30)
        .map(|_| {
            // No byte of the body is sent, and nobody waits for it.
            let authority = server.authority().to_owned();
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(authority).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(3)))
                    .unwrap();
                write!(stream, "{HEAD} 1000\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                String::from_utf8(answer).unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for asking in asking {
        answers.push(asking.await.unwrap());
    }
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.is_empty()).collect();
    // Ten are let in, and one more in each second that it takes.
    assert!((10..=20).contains(&refused.len()), "{answers:?}");
    for answer in refused {
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(answer.contains("retry-after: ") && answer.contains("too_many_requests"));
    }
    // Machines that watch the server are counted apart, and so is every other address.
    let answer = reqwest::get(server.url("/healthz")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = client(3).get(server.url("/v1/peer")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn whoever_goes_on_after_many_refusals_is_refused_slowly_and_nobody_else_is() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    // Ten are let in, and fifty are refused at once.
    let greedy = client(2);
    let asking = (0..180).map(|_| timed(&greedy, server.url("/v1/peer")));
    let answers = join_all(asking).await;
    let slow = answers.iter().filter(|(_, took)| *took >= A_WHILE);
    assert!(slow.count() > 0, "{answers:?}");
    let refused = answers.iter().filter(|(status, _)| *status == 429);
    assert!(refused.count() > 50, "{answers:?}");
    let took = fastest_other(&server, "/v1/peer").await;
    assert!(took < A_WHILE, "{took:?}");
}

#[tokio::test]
async fn whoever_opens_too_many_connections_is_listened_to_late_and_nobody_else_is() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        address_share: 100,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let greedy = client(2);
    let mut opened = Vec::new();
    for _ in 0..330 {
        opened.push(connect(&server, 2).await);
    }
    // One in a twentieth of a second is listened to at once, and may be due; no other.
    let asking = (0..3).map(|_| timed(&greedy, server.url("/healthz")));
    let answers = join_all(asking).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let late = answers.iter().filter(|(_, took)| *took >= A_WHILE);
    assert!(late.count() >= 2, "{answers:?}");
    let took = fastest_other(&server, "/healthz").await;
    assert!(took < A_WHILE, "{took:?}");
}

#[tokio::test]
async fn every_route_is_limited_the_documents_too() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    for path in [
        "/openapi.json",
        "/metrics",
        "/v1/nothing",
        "/v1/notes/1?after=2",
    ] {
        let server = Running::with(limits, &[], true).await;
        let http = client(2);
        let mut refused = None;
        for _ in 0..30 {
            let answer = http.get(server.url(path)).send().await.unwrap();
            if answer.status() == 429 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.unwrap_or_else(|| panic!("{path} is not limited"));
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(problem(refused).await, Code::TooManyRequests);
    }
}

#[tokio::test]
async fn bodies_of_one_address_leave_room_for_those_of_others() {
    let limits = Limits {
        body_bytes: 10_000,
        all_bodies_bytes: 40_000,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server, 2).await;
        let piece = "x".repeat(6_000);
        stream
            .write_all(format!("{HEAD} 9000\r\n\r\n{piece}").as_bytes())
            .await
            .unwrap();
        held.push(stream);
    }
    let body = format!(r#"{{"id":1,"text":"{}"}}"#, "x".repeat(9_000));
    let post = |last| {
        let request = client(last).post(server.url("/v1/notes"));
        request
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
    };
    let began = Instant::now();
    for last in 3..20 {
        assert_eq!(post(last).await.unwrap().status(), 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    let refused = post(2).await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, Code::TooManyRequests);
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_given_up_long_before_its_time_is_over() {
    let limits = Limits {
        body_window: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let authority = server.authority().to_owned();
    let began = Instant::now();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(authority).unwrap();
        write!(stream, "{HEAD} 100000\r\n\r\n").unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut answer = Vec::new();
        loop {
            // A byte each time that there is no answer yet.
            let _ = stream.write_all(b" ");
            let mut piece = [0; 1_024];
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => answer.extend(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_sends_everything_first_sees_why_it_was_refused() {
    let limits = Limits {
        requests_per_second: NonZeroU32::MIN,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let mut seen = 0;
    for _ in 0..40 {
        let authority = server.authority().to_owned();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(authority).unwrap();
            let body = " ".repeat(900_000);
            write!(
                stream,
                "{HEAD} {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        match answer.split(' ').nth(1) {
            Some("400") => {}
            Some("429") => seen += 1,
            _ => panic!("{answer:?}"),
        }
    }
    assert!(seen > 10, "{seen}");
}
