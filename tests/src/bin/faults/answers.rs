// SPDX-License-Identifier: Apache-2.0

//! Reads HTTP/1.1 answers as they pass by.

use anyhow::{bail, Context, Result};

/// More than any answer that servers give to devices.
const LONGEST: usize = 64 << 20;

/// The answers on one connection, of which parts may still be on their way.
#[derive(Default)]
pub(crate) struct Answers {
    buffer: Vec<u8>,
}

/// A complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answers {
    /// Takes the next bytes of the connection and gives the answers that they complete. Fails on what is not HTTP; the
    /// connection cannot be read from there on.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Answer>> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LONGEST {
            bail!("an answer is longer than {LONGEST} bytes");
        }
        let mut answers = Vec::new();
        while let Some((answer, length)) = first_of(&self.buffer)? {
            self.buffer.drain(..length);
            // 1xx announce the answer proper.
            if answer.status >= 200 {
                answers.push(answer);
            }
        }
        Ok(answers)
    }
}

/// The first answer and how many bytes it takes; none while it is incomplete.
fn first_of(bytes: &[u8]) -> Result<Option<(Answer, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the head is not text")?;
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let status = start
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .with_context(|| format!("no status line: {start:?}"))?;
    let header = |name: &str| {
        lines.clone().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let rest = &bytes[end + 4..];
    let body = if status < 200 || status == 204 || status == 304 {
        Some((Vec::new(), 0))
    } else if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        chunked(rest)?
    } else {
        let length = header("content-length").context("an answer of unknown length")?;
        let length: usize = length.parse().context("an answer of no length")?;
        rest.get(..length).map(|body| (body.to_vec(), length))
    };
    Ok(body.map(|(body, length)| (Answer { status, body }, end + 4 + length)))
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

    const TWO: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\n\r\n";

    fn both() -> Vec<Answer> {
        let answer = |status, body: &[u8]| Answer {
            status,
            body: body.to_vec(),
        };
        vec![answer(202, b"abc"), answer(503, b"def")]
    }

    #[test]
    fn answers_are_read_however_they_are_cut_into_pieces() {
        for size in 1..=TWO.len() {
            let mut answers = Answers::default();
            let read: Vec<_> = TWO
                .chunks(size)
                .flat_map(|piece| answers.feed(piece).expect("it is HTTP"))
                .collect();
            assert_eq!(read, both(), "in pieces of {size}");
        }
    }

    #[test]
    fn an_answer_whose_end_never_came_is_none() {
        let mut answers = Answers::default();
        let read = answers.feed(&TWO[..TWO.len() - 1]).expect("it is HTTP");
        assert_eq!(read.len(), 1);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(Answers::default().feed(b"SSH-2.0\r\n\r\n").is_err());
        let endless = b"HTTP/1.1 200 OK\r\n\r\n";
        assert!(Answers::default().feed(endless).is_err());
    }
}
