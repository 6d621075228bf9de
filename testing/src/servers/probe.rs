// SPDX-License-Identifier: Apache-2.0

//! Asks a server something while nothing else is done.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{bail, Result};

use super::PATIENCE;

/// Status and body of a GET over plain HTTP on this machine.
pub fn http_get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => bail!("no HTTP answer: {answer:?}"),
    }
}
