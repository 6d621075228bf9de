// SPDX-License-Identifier: Apache-2.0

//! Bodies that are packed, and bodies in other characters.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{problem, Note, Running};
use mhealth_api::Code;
use mhealth_server::Limits;

const NOTE: &str = r#"{"id":7,"text":"slept well"}"#;

/// As the program of this name packs it.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut program = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let mut packed = Vec::new();
    let output = program.stdout.as_mut().unwrap();
    output.read_to_end(&mut packed).unwrap();
    writing.join().unwrap();
    assert!(program.wait().unwrap().success());
    packed
}

async fn send(
    server: &Running,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Response {
    let mut request = reqwest::Client::new().post(server.url("/v1/notes"));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.unwrap()
}

async fn taken(answer: reqwest::Response) {
    assert_eq!(answer.status(), 200);
    let note: Note = answer.json().await.unwrap();
    assert_eq!((note.id, note.text.as_str()), (7, "slept well"));
}

#[tokio::test]
async fn a_body_may_be_packed_with_gzip() {
    let server = Running::start().await;
    for name in ["gzip", "GZIP", "x-gzip", " gzip"] {
        taken(
            send(
                &server,
                &[("content-encoding", name)],
                gzip(NOTE.as_bytes()),
            )
            .await,
        )
        .await;
    }
    for name in ["identity", ""] {
        taken(send(&server, &[("content-encoding", name)], NOTE).await).await;
    }
}

#[tokio::test]
async fn any_other_packing_has_a_code_of_its_own_and_the_answer_names_what_is_taken() {
    let server = Running::start().await;
    for name in [
        "br",
        "zstd",
        "deflate",
        "compress",
        "gzip, br",
        "gzip, gzip",
        "?",
    ] {
        let answer = send(&server, &[("content-encoding", name)], NOTE).await;
        assert_eq!(answer.headers()["accept-encoding"], "gzip", "{name}");
        assert_eq!(problem(answer).await, Code::UnsupportedEncoding, "{name}");
    }
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    let answer = send(&server, &twice, gzip(NOTE.as_bytes())).await;
    assert_eq!(problem(answer).await, Code::UnsupportedEncoding);
}

#[tokio::test]
async fn what_is_no_gzip_or_ends_in_the_middle_is_malformed() {
    let server = Running::start().await;
    let packed = gzip(NOTE.as_bytes());
    let mut spoilt = packed.clone();
    let last = spoilt.len() - 1;
    spoilt[last - 5] ^= 1;
    // Only one part is unpacked.
    let (first, second) = NOTE.split_at(10);
    let pieces = [
        [gzip(first.as_bytes()), gzip(second.as_bytes())].concat(),
        NOTE.as_bytes().to_vec(),
        packed[..last].to_vec(),
        packed[..12].to_vec(),
        spoilt,
    ];
    for piece in pieces {
        let answer = send(&server, &[("content-encoding", "gzip")], piece).await;
        assert_eq!(problem(answer).await, Code::MalformedJson);
    }
}

#[tokio::test]
async fn a_packed_body_is_measured_unpacked_and_not_unpacked_further_than_that() {
    const LIMIT: usize = 100_000;
    let limits = Limits {
        body_bytes: LIMIT,
        all_bodies_bytes: 2 * LIMIT,
        ..Limits::default()
    };
    let server = Running::with(limits, &[], true).await;
    let fits = format!("{}{NOTE}", " ".repeat(LIMIT - NOTE.len()));
    taken(
        send(
            &server,
            &[("content-encoding", "gzip")],
            gzip(fits.as_bytes()),
        )
        .await,
    )
    .await;
    let packed = gzip(format!(" {fits}").as_bytes());
    assert!(packed.len() < LIMIT / 10);
    let answer = send(&server, &[("content-encoding", "gzip")], packed).await;
    assert_eq!(problem(answer).await, Code::BodyTooLarge);
    // Far more than the server would hold.
    let bomb = gzip(&vec![b' '; 256 << 20]);
    let began = Instant::now();
    let answer = send(&server, &[("content-encoding", "gzip")], bomb).await;
    assert_eq!(problem(answer).await, Code::BodyTooLarge);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // Nothing of it is kept.
    taken(
        send(
            &server,
            &[("content-encoding", "gzip")],
            gzip(fits.as_bytes()),
        )
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_mark_of_utf_8_is_passed_over_and_other_characters_have_a_code_of_their_own() {
    let server = Running::start().await;
    taken(send(&server, &[], format!("\u{feff}{NOTE}")).await).await;
    for taken_as in [
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; charset=us-ascii",
        "application/json; version=1",
    ] {
        taken(send(&server, &[("content-type", taken_as)], NOTE).await).await;
    }
    let utf_16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let units = "\u{feff}".encode_utf16().chain(NOTE.encode_utf16());
        units.flat_map(order).collect()
    };
    for charset in ["utf-16", "UTF-16LE", "iso-8859-1", ""] {
        let said = format!("application/json; charset={charset}");
        let answer = send(
            &server,
            &[("content-type", &said)],
            utf_16(u16::to_le_bytes),
        )
        .await;
        assert_eq!(problem(answer).await, Code::UnsupportedCharset, "{charset}");
    }
    for body in [utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)] {
        let answer = send(&server, &[], body).await;
        assert_eq!(problem(answer).await, Code::UnsupportedCharset);
    }
}
