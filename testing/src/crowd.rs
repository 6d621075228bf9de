// SPDX-License-Identifier: Apache-2.0

//! Three hundred hostile connections of one address, and what they cost those who are not that address.

mod cost;
mod site;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use hashchain::DeviceId;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

pub use cost::{Cost, PATIENCE};
pub use site::{AtOffice, AtRelay, Pair, Site, MEBIBYTES};

use crate::handset::Pass;

/// Connections of a crowd.
pub const CONNECTIONS: usize = 300;
/// The address that all of a crowd have.
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Between two connections of one of them, not to take the processor from those who are measured.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two drops of a slow body.
const DROP: Duration = Duration::from_millis(200);
/// Largest body that a relay takes, and that an authentication server does.
const LARGE: usize = 4 * 1_024 * 1_024;
const SMALL: usize = 1_024 * 1_024;
/// Until then a crowd must have come together.
const GATHERING: Duration = Duration::from_secs(60);

/// What a hostile connection does, over and over again.
#[derive(Clone, Debug)]
pub enum Hostility {
    /// Says nothing.
    Idle,
    /// Sends this head and all but one byte of a body of this size, fast, and then nothing.
    Keeps(String, usize),
    /// Sends this head and a body drop by drop.
    Drips(String),
    /// Asks this as fast as it is answered.
    Asks(String),
}

/// What strangers do to a relay that has entries of this device.
pub fn strangers_at_a_relay(device: DeviceId) -> Vec<Hostility> {
    vec![
        Hostility::Idle,
        Hostility::Keeps(head("POST", "/v1/runs", LARGE, &[]), LARGE),
        Hostility::Drips(head("POST", "/v1/records", LARGE, &[])),
        reading(&format!("/v1/devices/{device}/entries?from=1&count=1024")),
        reading(&format!("/v1/devices/{device}/head")),
        reading("/openapi.json"),
        reading("/readyz"),
        reading("/metrics"),
        reading("/v1/export?study=0"),
    ]
}

/// What a thief of a phone's token does to a relay, with a fresh proof for each connection.
pub fn thieves_at_a_relay(relay: &str, thief: &Pass) -> Vec<Hostility> {
    let url = format!("{relay}/v1/runs");
    let way = |number: usize| {
        let head = head("POST", "/v1/runs", LARGE, &thief.headers(&url));
        match number % 3 {
            0 => Hostility::Drips(head),
            _ => Hostility::Keeps(head, LARGE),
        }
    };
    (0..CONNECTIONS).map(way).collect()
}

/// What strangers do to an authentication server.
pub fn strangers_at_an_office() -> Vec<Hostility> {
    let bearer = [("Authorization", "Bearer mhealth-admin-guess".to_owned())];
    vec![
        Hostility::Idle,
        Hostility::Keeps(head("POST", "/v1/code", SMALL, &[]), SMALL),
        Hostility::Keeps(head("POST", "/v1/enrol", SMALL, &[]), SMALL),
        Hostility::Keeps(head("POST", "/v1/admin/codes", SMALL, &bearer), SMALL),
        Hostility::Drips(head("POST", "/v1/token", SMALL, &[])),
        Hostility::Drips(head("POST", "/v1/code", SMALL, &[])),
        reading("/v1/studies/0"),
        reading("/openapi.json"),
        reading("/readyz"),
        reading("/.well-known/jwks.json"),
        reading("/v1/admin/devices"),
    ]
}

/// A crowd that leans on a server, until it leaves or is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
    members: JoinSet<()>,
}

impl Crowd {
    /// [`CONNECTIONS`] connections of one address to this port, each with one of these ways. Must be called within a Tokio
    /// runtime.
    pub fn gather(port: u16, ways: &[Hostility]) -> Self {
        let (stop, connections) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut members = JoinSet::new();
        for way in ways.iter().cycle().take(CONNECTIONS) {
            let (way, stop, connections) = (way.clone(), stop.clone(), connections.clone());
            members.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(stream) = connect(HOSTILE, port).await {
                        connections.fetch_add(1, Ordering::Relaxed);
                        // It is closed by the server sooner or later.
                        let _ = way.act(stream).await;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self {
            stop,
            connections,
            members,
        }
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until most of them have got in.
    pub async fn gathered(&self) -> Result<()> {
        let began = Instant::now();
        while self.connections() < 2 * CONNECTIONS as u64 / 3 {
            ensure!(
                began.elapsed() < GATHERING,
                "only {} connections come together",
                self.connections()
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends all of them.
    pub fn leave(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.members.abort_all();
    }
}

impl Hostility {
    async fn act(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut waste = [0; 4_096];
        match self {
            Self::Idle => {}
            Self::Keeps(head, size) => {
                stream.write_all(head.as_bytes()).await?;
                let piece = vec![b' '; 64 * 1_024];
                let mut left = size - 1;
                while left > 0 {
                    let length = left.min(piece.len());
                    stream.write_all(&piece[..length]).await?;
                    left -= length;
                }
            }
            Self::Drips(head) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(DROP).await;
                }
            }
            Self::Asks(request) => {
                while stream.write_all(request.as_bytes()).await.is_ok() {
                    if stream.read(&mut waste).await? == 0 {
                        break;
                    }
                }
            }
        }
        while stream.read(&mut waste).await? > 0 {}
        Ok(())
    }
}

async fn connect(from: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(to).await
}

/// An answer, and how long it took with all that comes before it.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its body; null if it is no JSON.
    pub body: Value,
    /// From the first attempt to connect to the last byte.
    pub took: Duration,
}

/// One request over a connection of its own, from this address of this machine.
pub async fn ask(
    from: Ipv4Addr,
    port: u16,
    (method, path): (&str, &str),
    headers: &[(&str, String)],
    body: &str,
) -> Result<Answered> {
    let began = Instant::now();
    let more = [("Connection", "close".to_owned())];
    let headers: Vec<_> = more.iter().chain(headers).cloned().collect();
    let request = head(method, path, body.len(), &headers) + body;
    let asked = async {
        let mut stream = connect(from, port).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = asked
        .await
        .with_context(|| format!("{method} {path} is not let in"))?;
    let status = answer.split(' ').nth(1);
    let status = status.and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(Answered {
        status: status.with_context(|| format!("no status in {answer:?}"))?,
        body: serde_json::from_str(body.unwrap_or_default()).unwrap_or(Value::Null),
        took: began.elapsed(),
    })
}

fn head(method: &str, path: &str, length: usize, headers: &[(&str, String)]) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    )
}

fn reading(path: &str) -> Hostility {
    Hostility::Asks(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}
