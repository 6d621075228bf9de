// SPDX-License-Identifier: Apache-2.0

//! A phone as bindings hold it, at a study that `sdk/tests/study.py` plays.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{options, Memory, Open};
use crate::bindings::PhoneCore;
use crate::host::{HttpAnswer, HttpFault, HttpHeader, HttpRequest, TransportHost};
use crate::phone::{PhoneOptions, SealedEntry};
use crate::{Language, SdkError};

/// Long enough for everything that ends by itself, in milliseconds.
const LONG: u64 = 60_000;

/// As inconsiderate as an app's code may be: it waits as long as the server likes.
struct Endless;

impl TransportHost for Endless {
    fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpFault> {
        asked(&request).map_err(|error| HttpFault::Unreachable {
            reason: error.to_string(),
        })
    }
}

/// One request over plain HTTP, on a connection of its own.
fn asked(request: &HttpRequest) -> Result<HttpAnswer, Error> {
    let broken = || Error::from(ErrorKind::UnexpectedEof);
    let rest = request.url.strip_prefix("http://").ok_or_else(broken)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let body = request.body.as_deref().unwrap_or_default();
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "{} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        request.method,
        body.len()
    )?;
    for header in &request.headers {
        write!(stream, "{}: {}\r\n", header.name, header.value)?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;

    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(": "));
    Ok(HttpAnswer {
        status: status
            .and_then(|status| status.parse().ok())
            .ok_or_else(broken)?,
        headers: headers
            .map(|(name, value)| HttpHeader {
                name: name.into(),
                value: value.into(),
            })
            .collect(),
        body: answer[end + 4..].to_vec(),
    })
}

/// An authentication server and a relay that do as they are told.
struct Study {
    program: Child,
    url: String,
    code: String,
}

impl Study {
    fn begin(number: u32) -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/study.py");
        let mut command = Command::new("python3");
        command.arg(file).args(["--number", &number.to_string()]);
        let program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut program = program.expect("python3 starts");
        let mut line = String::new();
        let said = program.stdout.take().expect("it is piped");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let text = |name: &str| said[name].as_str().expect("a text").to_owned();
        let (url, code) = (text("url"), text("code"));
        Self { program, url, code }
    }

    fn play(&self, conduct: &str) {
        let told = asked(&HttpRequest {
            method: "POST".into(),
            url: format!("{}/played/{conduct}", self.url),
            headers: Vec::new(),
            body: None,
            patience: LONG,
            longest_answer: 1_000,
        });
        assert_eq!(told.expect("it answers").status, 200);
    }
}

impl Drop for Study {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

fn phone_in(store: &Arc<Memory>) -> Arc<PhoneCore> {
    let options = PhoneOptions {
        trust_relays: true,
        ..options()
    };
    PhoneCore::open(store.clone(), Arc::new(Open), Arc::new(Endless), options).expect("opened")
}

fn new_phone() -> Arc<PhoneCore> {
    phone_in(&Arc::default())
}

fn enrol(phone: &PhoneCore, address: &str, code: &str) -> Result<u32, SdkError> {
    phone.enrol(address.into(), code.into(), LONG, None)
}

fn seal(phone: &PhoneCore, night: &str) -> Result<SealedEntry, SdkError> {
    let payload = b"{}".to_vec();
    phone.seal(
        night.into(),
        "application/json".into(),
        payload,
        None,
        false,
    )
}

/// The code of an error that tells the person to ask for another code, and says why in each language.
fn of_no_use(refused: Result<u32, SdkError>) -> String {
    let error = refused.expect_err("refused");
    let SdkError::Failed { code, advice, .. } = &error;
    assert_eq!(advice, "ask_for_code", "{code}");
    let sentences = Language::ALL.map(|language| error.sentence(language));
    for (place, sentence) in sentences.iter().enumerate() {
        assert!(!sentence.contains(code.as_str()), "{code}: {sentence}");
        assert!(!sentences[..place].contains(sentence), "{code}: {sentence}");
    }
    code.clone()
}

/// Expects that a call with 5 seconds is back within 5.5. A machine with much else to do may be late for it, but not three times.
fn back_in_time(conduct: &str, call: impl Fn()) {
    let mut took = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        call();
        took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{conduct}: {took:?}");
        if took < Duration::from_millis(5_500) {
            return;
        }
    }
    panic!("{conduct}: {took:?}");
}

#[test]
fn a_sync_is_back_by_its_deadline_whoever_is_away_and_a_later_one_finishes() {
    let study = Study::begin(0);
    let phone = new_phone();
    enrol(&phone, &study.url, &study.code).expect("enrolled");
    for conduct in ["silent", "slow", "gone", "away"] {
        assert_eq!(seal(&phone, conduct).expect("sealed").outcome, "new");
        study.play(conduct);
        back_in_time(conduct, || {
            let error = phone.sync(5_000, None).expect_err("nobody proves anything");
            assert_eq!(error.code(), "deadline", "{conduct}");
        });
        let status = phone.status().expect("read");
        assert_eq!((status.queued, status.advice.as_str()), (1, "wait"));
        assert!(status.next_try.is_some(), "{conduct}");
        study.play("well");
        let standing = phone.sync(LONG, None).expect("sent");
        assert_eq!(standing.state, "level", "{conduct}");
    }
}

#[test]
fn what_is_wrong_with_a_code_or_an_address_is_named_and_explained() {
    let (study, other) = (Study::begin(0), Study::begin(7));
    let (own, code) = (study.url.as_str(), study.code.as_str());
    let elsewhere = own.replace("127.0.0.1", "localhost");
    for (address, code, expected) in [
        (own, "no code", "malformed_code"),
        ("auth.example.org", code, "not_an_address"),
        ("http://auth.example.org", code, "plain_http"),
        (own, other.code.as_str(), "unknown_code"),
        (elsewhere.as_str(), code, "other_address"),
    ] {
        let refused = enrol(&new_phone(), address, code);
        assert_eq!(of_no_use(refused), expected);
    }
    // None of them has used it up; the next one does.
    assert_eq!(enrol(&new_phone(), &format!("{own}/"), code), Ok(0));
    assert_eq!(of_no_use(enrol(&new_phone(), own, code)), "code_used");
}

#[test]
fn a_code_of_another_study_changes_nothing_of_what_was_sealed() {
    let (study, other) = (Study::begin(0), Study::begin(7));
    let phone = new_phone();
    // The server says what the code is for, and enrols nobody.
    study.play("away");
    let away = phone.enrol(study.url.clone(), study.code.clone(), 3_000, None);
    assert_eq!(away.expect_err("it is away").code(), "deadline");
    assert_eq!(seal(&phone, "night 1").expect("sealed").sequence, 1);
    let refused = enrol(&phone, &other.url, &other.code);
    assert_eq!(of_no_use(refused), "state_of_another_study");
    // The code that it kept was its own study's: nobody has to type it in again.
    study.play("well");
    assert_eq!(phone.sync(LONG, None).expect("sent").state, "level");
    assert_eq!(phone.status().expect("read").finalised, 1);
}

#[test]
fn a_phone_without_room_says_so_and_goes_on_when_there_is_some() {
    let study = Study::begin(0);
    let store = Arc::<Memory>::default();
    let phone = phone_in(&store);
    enrol(&phone, &study.url, &study.code).expect("enrolled");
    store.full.store(true, Ordering::Relaxed);
    let error = seal(&phone, "night 1").expect_err("no room");
    assert_eq!(error.code(), "state_disk_full");
    store.full.store(false, Ordering::Relaxed);
    assert_eq!(seal(&phone, "night 1").expect("sealed").outcome, "new");
    assert_eq!(phone.sync(LONG, None).expect("sent").state, "level");
}
