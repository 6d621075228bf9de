// SPDX-License-Identifier: Apache-2.0

//! Plain HTTP to servers on this machine, a connection for each request.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use ed25519_dalek::{Signer, SigningKey};
use mhealth_api::{Key, ProofClaims, DPOP};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::handset::now;

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

/// [`post_proven`], [`patiently`].
pub async fn post_proven_patiently(
    url: &str,
    key: &SigningKey,
    token: Option<&str>,
    message: &impl Serialize,
) -> Result<Answer> {
    patiently(|| post_proven(url, key, token, message)).await
}

/// Asks for what stands at this address.
pub async fn get(url: &str) -> Result<Answer> {
    exchange("GET", url, &[], String::new()).await
}

/// Sends a message, with the credential that the server asks for.
pub async fn post(url: &str, bearer: Option<&str>, message: &impl Serialize) -> Result<Answer> {
    let header = bearer.map(|bearer| ("Authorization", format!("Bearer {bearer}")));
    let body = serde_json::to_string(message)?;
    exchange("POST", url, header.as_slice(), body).await
}

/// Sends a message as whoever possesses this key, with a token if there is one.
pub async fn post_proven(
    url: &str,
    key: &SigningKey,
    token: Option<&str>,
    message: &impl Serialize,
) -> Result<Answer> {
    let headers = proven(url, key, token);
    exchange("POST", url, &headers, serde_json::to_string(message)?).await
}

/// The headers with which the owner of this key posts to this address.
pub fn proven(url: &str, key: &SigningKey, token: Option<&str>) -> Vec<(&'static str, String)> {
    let claims = ProofClaims::new("POST", url, now(), rand::random());
    let claims = match token {
        Some(token) => claims.with_token(token),
        None => claims,
    };
    let authorization = token.map(|token| ("Authorization", format!("{DPOP} {token}")));
    let proof = (DPOP, proof(key, &claims));
    authorization.into_iter().chain([proof]).collect()
}

/// These claims, signed by this key.
pub fn proof(key: &SigningKey, claims: &ProofClaims) -> String {
    let public = Key(key.verifying_key().to_bytes());
    claims.signed(&public, |message| key.sign(message).to_bytes())
}

/// Sends any headers and any body, as strangers do.
pub async fn exchange(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: String,
) -> Result<Answer> {
    let (head, body) = transfer(method, url, headers, body).await?;
    Ok(Answer {
        status: status(&head)?,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        retry_after: retry_after(&head),
    })
}

/// Asks for what stands at this address, whatever it is: the status and the bytes.
pub async fn get_bytes(url: &str) -> Result<(u16, Vec<u8>)> {
    get_bytes_as(url, None).await
}

/// The same with a credential.
pub async fn get_bytes_as(url: &str, bearer: Option<&str>) -> Result<(u16, Vec<u8>)> {
    let header = bearer.map(|bearer| ("Authorization", format!("Bearer {bearer}")));
    let (head, body) = transfer("GET", url, header.as_slice(), String::new()).await?;
    Ok((status(&head)?, body))
}

/// The same at a socket in the file system.
pub async fn get_over(socket: &Path, path: &str, bearer: Option<&str>) -> Result<(u16, Vec<u8>)> {
    let header = bearer.map(|bearer| ("Authorization", format!("Bearer {bearer}")));
    let stream = UnixStream::connect(socket).await?;
    let url = format!("http://staff{path}");
    let (head, body) = over(stream, "GET", &url, header.as_slice(), String::new()).await?;
    Ok((status(&head)?, body))
}

/// Head and body of an answer.
async fn transfer(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: String,
) -> Result<(String, Vec<u8>)> {
    let (host, _) = host_and_path(url)?;
    let stream = TcpStream::connect(host).await?;
    over(stream, method, url, headers, body).await
}

fn host_and_path(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").context("not plain HTTP")?;
    rest.split_once('/').context("an address without a path")
}

/// The same over a connection that is there.
async fn over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: String,
) -> Result<(String, Vec<u8>)> {
    let (host, path) = host_and_path(url)?;
    let own = [("Host", host.to_owned())];
    let names_host = |(name, _): &(&str, String)| name.eq_ignore_ascii_case("host");
    let own = own.iter().filter(|_| !headers.iter().any(names_host));
    let headers = own.chain(headers);
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.context("no HTTP answer")? + 4);
    let head = String::from_utf8(answer)?;
    let body = match is_chunked(&head) {
        true => whole(&body).context("a chunk is not whole")?,
        false => body,
    };
    Ok((head, body))
}

fn is_chunked(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    head.lines()
        .any(|line| line.trim_end() == "transfer-encoding: chunked")
}

/// A body that came in chunks (RFC 9112, section 7.1).
fn whole(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n")?;
        let length = std::str::from_utf8(&chunks[..end]).ok()?;
        let length = usize::from_str_radix(length.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let chunk = chunks.get(end + 2..)?;
        body.extend_from_slice(chunk.get(..length)?);
        chunks = chunk.get(length + 2..)?;
    }
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
