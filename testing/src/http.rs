// SPDX-License-Identifier: Apache-2.0

//! Plain HTTP to servers on this machine, a connection for each request.

use std::future::Future;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body; null if it is no JSON.
    pub body: Value,
    /// After how many seconds to ask again, where it says so.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// The body as a message, if the server did what it was asked to.
    pub fn message<T: DeserializeOwned>(self) -> Result<T> {
        if !(200..300).contains(&self.status) {
            bail!("the server answers {}: {}", self.status, self.body);
        }
        serde_json::from_value(self.body).context("the answer has another form")
    }

    /// The code of the problem that the server tells.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("none")
    }
}

/// How often an answer that says when to ask again is followed.
const TRIES: u32 = 60;

/// Does it again as long as the server says to come back later, as phones do: it holds callers back (429), or cannot reach
/// chain or database at present (503).
pub async fn patiently<F>(mut ask: impl FnMut() -> F) -> Result<Answer>
where
    F: Future<Output = Result<Answer>>,
{
    for _ in 0..TRIES {
        let answer = ask().await?;
        match (answer.status, answer.retry_after) {
            (429 | 503, Some(seconds)) => {
                tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
            }
            _ => return Ok(answer),
        }
    }
    bail!("the server never lets anybody in")
}

/// [`get`], [`patiently`].
pub async fn get_patiently(url: &str) -> Result<Answer> {
    patiently(|| get(url)).await
}

/// [`post`], [`patiently`].
pub async fn post_patiently(
    url: &str,
    bearer: Option<&str>,
    message: &impl Serialize,
) -> Result<Answer> {
    patiently(|| post(url, bearer, message)).await
}

/// Asks for what stands at this address.
pub async fn get(url: &str) -> Result<Answer> {
    exchange("GET", url, None, String::new()).await
}

/// Sends a message, with the credential that the server asks for.
pub async fn post(url: &str, bearer: Option<&str>, message: &impl Serialize) -> Result<Answer> {
    exchange("POST", url, bearer, serde_json::to_string(message)?).await
}

async fn exchange(method: &str, url: &str, bearer: Option<&str>, body: String) -> Result<Answer> {
    let (head, body) = transfer(method, url, bearer, body).await?;
    Ok(Answer {
        status: status(&head)?,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        retry_after: retry_after(&head),
    })
}

/// Asks for what stands at this address, whatever it is: the status and the bytes.
pub async fn get_bytes(url: &str) -> Result<(u16, Vec<u8>)> {
    let (head, body) = transfer("GET", url, None, String::new()).await?;
    Ok((status(&head)?, body))
}

/// Head and body of an answer.
async fn transfer(
    method: &str,
    url: &str,
    bearer: Option<&str>,
    body: String,
) -> Result<(String, Vec<u8>)> {
    let rest = url.strip_prefix("http://").context("not plain HTTP")?;
    let (host, path) = rest.split_once('/').context("an address without a path")?;
    let bearer = bearer.map_or_else(String::new, |bearer| {
        format!("Authorization: Bearer {bearer}\r\n")
    });
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {bearer}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.context("no HTTP answer")? + 4);
    Ok((String::from_utf8(answer)?, body))
}

fn status(head: &str) -> Result<u16> {
    let status = head.split(' ').nth(1);
    let status = status.and_then(|status| status.parse().ok());
    status.context("no status")
}

fn retry_after(head: &str) -> Option<u64> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    named.next()?.1.trim().parse().ok()
}
