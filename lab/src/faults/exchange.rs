// SPDX-License-Identifier: Apache-2.0

//! Reads HTTP/1.1 as it passes by: which request got which answer.

use std::collections::VecDeque;

use anyhow::{bail, Context, Result};

/// More than any message between devices and servers.
const LONGEST: usize = 64 << 20;

/// One connection. Answers come in the order of the requests.
#[derive(Default)]
pub(crate) struct Exchange {
    requests: Messages,
    answers: Messages,
    /// Paths of requests that are not answered yet.
    asked: VecDeque<String>,
}

/// A request's path and its complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Exchange {
    /// Takes the next bytes from the client. Fails on what is not HTTP; the connection cannot be read from there on.
    pub(crate) fn asks(&mut self, bytes: &[u8]) -> Result<()> {
        for request in self.requests.feed(bytes)? {
            let path = request.start.split(' ').nth(1).context("no request line")?;
            self.asked.push_back(path.to_owned());
        }
        Ok(())
    }

    /// Takes the next bytes from the server and gives the answers that they complete.
    pub(crate) fn answers(&mut self, bytes: &[u8]) -> Result<Vec<Answered>> {
        let mut answered = Vec::new();
        for answer in self.answers.feed(bytes)? {
            let status = answer.status().context("no status line")?;
            // 1xx announce the answer proper.
            if status >= 200 {
                // A server may answer what it has not read to its end, and closes the connection then.
                let path = self.asked.pop_front().unwrap_or_default();
                let body = answer.body;
                answered.push(Answered { path, status, body });
            }
        }
        Ok(answered)
    }
}

/// One direction of a connection, of whose last message a part may still be on its way.
#[derive(Default)]
struct Messages {
    buffer: Vec<u8>,
}

/// A request or an answer.
struct Message {
    start: String,
    body: Vec<u8>,
}

impl Message {
    /// None for a request.
    fn status(&self) -> Option<u16> {
        self.start.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

impl Messages {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LONGEST {
            bail!("a message is longer than {LONGEST} bytes");
        }
        let mut messages = Vec::new();
        while let Some((message, length)) = first_of(&self.buffer)? {
            self.buffer.drain(..length);
            messages.push(message);
        }
        Ok(messages)
    }
}

/// The first message and how many bytes it takes; none while it is incomplete.
fn first_of(bytes: &[u8]) -> Result<Option<(Message, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the head is not text")?;
    let mut lines = head.split("\r\n");
    let mut message = Message {
        start: lines.next().unwrap_or_default().to_owned(),
        body: Vec::new(),
    };
    if !message.start.contains("HTTP/1.1") {
        bail!("this is not HTTP: {:?}", message.start);
    }
    let header = |name: &str| {
        lines.clone().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let rest = &bytes[end + 4..];
    let status = message.status();
    let has_none = matches!(status, Some(100..=199 | 204 | 304));
    let body = if has_none {
        Some((Vec::new(), 0))
    } else if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        chunked(rest)?
    } else {
        let length = match (header("content-length"), status) {
            (Some(length), _) => length.parse().context("a message of no length")?,
            (None, None) => 0,
            (None, Some(_)) => bail!("an answer of unknown length"),
        };
        rest.get(..length).map(|body| (body.to_vec(), length))
    };
    Ok(body.map(|(body, length)| {
        message.body = body;
        (message, end + 4 + length)
    }))
}

/// A chunked body (RFC 9112, section 7.1) without trailers, and how many bytes it takes.
fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + end])?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk without a size")?;
        let start = at + end + 2;
        let Some(chunk) = bytes.get(start..start.saturating_add(size).saturating_add(2)) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &[u8] = b"POST /v1/runs HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\
        GET /v1/runs/0x12 HTTP/1.1\r\nHost: a\r\n\r\n";
    const ANSWERS: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\n\r\n";

    fn both() -> Vec<Answered> {
        let answer = |path: &str, status, body: &[u8]| Answered {
            path: path.into(),
            status,
            body: body.to_vec(),
        };
        vec![
            answer("/v1/runs", 202, b"abc"),
            answer("/v1/runs/0x12", 503, b"def"),
        ]
    }

    #[test]
    fn answers_are_told_with_their_requests_however_they_are_cut_into_pieces() {
        for size in 1..=ANSWERS.len() {
            let mut exchange = Exchange::default();
            for piece in REQUESTS.chunks(size) {
                exchange.asks(piece).expect("it is HTTP");
            }
            let read: Vec<_> = ANSWERS
                .chunks(size)
                .flat_map(|piece| exchange.answers(piece).expect("it is HTTP"))
                .collect();
            assert_eq!(read, both(), "in pieces of {size}");
        }
    }

    #[test]
    fn an_answer_whose_end_never_came_is_none() {
        let mut exchange = Exchange::default();
        let read = exchange.answers(&ANSWERS[..ANSWERS.len() - 1]);
        assert_eq!(read.expect("it is HTTP").len(), 1);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(Exchange::default().answers(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Exchange::default().asks(b"SSH-2.0\r\n\r\n").is_err());
        let endless = b"HTTP/1.1 200 OK\r\n\r\n";
        assert!(Exchange::default().answers(endless).is_err());
    }
}
