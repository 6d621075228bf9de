// SPDX-License-Identifier: Apache-2.0

//! Three hundred hostile connections of one address, and who is not that address.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashchain::StudyId;
use mhealth_testing::handset::{Door, Handset, Pass};
use mhealth_testing::process::peak_memory;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions, Server};
use mhealth_testing::topology::last_word;
use mhealth_testing::{http, node};
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::{json, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const STUDY: StudyId = StudyId(0);
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STAFF: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CONNECTIONS: usize = 300;
/// What honest people wait for at most, and what a server may take.
const PATIENCE: Duration = Duration::from_secs(1);
const MEBIBYTES: u64 = 256;
/// How many honest requests are measured.
const UPLOADS: usize = 100;

/// The servers of a study, with the limits that they have when nobody says otherwise.
struct Site {
    auth: Server,
    relay: Server,
    door: Door,
    _node: node::Node,
    _folder: tempfile::TempDir,
}

fn usual(launch: Launch) -> Launch {
    launch
        .arg("--requests-per-second=200")
        .arg("--address-share=25")
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let node = node::Launch::consensus().arg("--sealing=200");
        let node = node.start().expect("the node starts");
        let relay_port = mhealth_testing::port::Port::reserve().expect("a port");
        let launch = usual(servers::auth(&AuthOptions {
            study: STUDY,
            chain: node.url(),
            account: "//Charlie",
            database: servers::sqlite_in(folder.path(), "auth.db"),
            issuer: None,
            relays: vec![relay_port.url()],
        }));
        let admin = last_word(&launch.add_admin("staff").expect("it is added"));
        let auth = launch.start().expect("the authentication server starts");
        let relay = usual(servers::relay(&RelayOptions {
            study: STUDY,
            chain: node.url(),
            account: "//Dave",
            database: servers::sqlite_in(folder.path(), "relay.db"),
            issuer: auth.url(),
        }));
        let relay = relay.start_at(relay_port).expect("the relay starts");
        for server in [&auth, &relay] {
            server.wait_until_ready().expect("it is ready");
        }
        let url = auth.url();
        Site {
            auth,
            relay,
            door: Door { url, admin },
            _node: node,
            _folder: folder,
        }
    }

    async fn phone(&self, seed: u64) -> Handset {
        let random = StdRng::seed_from_u64(seed);
        let phone = Handset::enrol(&self.door, random).await;
        phone.expect("it is enrolled")
    }
}

async fn connect(from: Ipv4Addr, port: u16) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(SocketAddr::from((from, 0))).expect("a port");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(to).await.ok()
}

/// Status and body of an answer to one request from this address, and how long it took.
async fn ask(
    from: Ipv4Addr,
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> (u16, Value, Duration) {
    let began = Instant::now();
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(from, server.port()).await.expect("it is let in");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    let body = serde_json::from_str(body.unwrap_or_default()).unwrap_or(Value::Null);
    (status.expect("a status"), body, began.elapsed())
}

/// What a hostile connection does, over and over again.
#[derive(Clone)]
enum Hostility {
    /// Says nothing.
    Idle,
    /// Sends all but one byte of a body of this size, fast, and then nothing.
    Keeps(String, usize),
    /// Sends a body drop by drop.
    Drips(String),
    /// Asks as fast as it is answered, and reads nothing if told so.
    Asks(String),
}

struct Crowd {
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
    members: JoinSet<()>,
}

impl Crowd {
    /// So many connections of one address, each with one of these ways.
    fn gather(port: u16, ways: Vec<Hostility>) -> Self {
        let (stop, connections) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut members = JoinSet::new();
        for number in 0..CONNECTIONS {
            let way = ways[number % ways.len()].clone();
            let (stop, connections) = (stop.clone(), connections.clone());
            members.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(stream) = connect(HOSTILE, port).await {
                        connections.fetch_add(1, Ordering::Relaxed);
                        // It is closed by the server sooner or later.
                        let _ = way.act(stream).await;
                    }
                    // Not to take the processor from those who are measured.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self {
            stop,
            connections,
            members,
        }
    }

    async fn gathered(&self) {
        while self.connections.load(Ordering::Relaxed) < 2 * CONNECTIONS as u64 / 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn leave(mut self) {
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
                    tokio::time::sleep(Duration::from_millis(200)).await;
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

/// The 99th percentile.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100 - 1]
}

/// An honest phone sends runs of one entry, one after the other. How long the worst of a hundred took.
async fn uploads(site: &Site, phone: &mut Handset, pass: &Pass) -> Duration {
    let url = format!("{}/v1/runs", site.relay.url());
    let mut times = Vec::new();
    for _ in 0..UPLOADS {
        let run = serde_json::to_string(&phone.record(1)).expect("it is written");
        let headers = pass.headers(&url);
        let (status, body, time) =
            ask(HONEST, &site.relay, "POST", "/v1/runs", &headers, &run).await;
        assert_eq!(status, 202, "{body}");
        times.push(time);
    }
    p99(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_relay_keeps_nobody_out() {
    let site = Site::start();
    let mut honest = site.phone(1).await;
    let pass = honest.token(&site.door).await.expect("a token");
    let mut stolen = site.phone(2).await;
    let thief = stolen.token(&site.door).await.expect("a token");
    // What is read costs the node work.
    for _ in 0..4 {
        let run = stolen.record(256);
        let url = format!("{}/v1/runs", site.relay.url());
        let sent = thief.post(&url, &run).await.expect("it answers");
        assert_eq!(sent.status, 202, "{}", sent.body);
    }
    let url = format!("{}/v1/runs", site.relay.url());
    let size = 4 * 1_024 * 1_024;
    let device = stolen.device();
    let strangers = vec![
        Hostility::Idle,
        Hostility::Keeps(head("POST", "/v1/runs", size, &[]), size),
        Hostility::Drips(head("POST", "/v1/records", size, &[])),
        reading(&format!("/v1/devices/{device}/entries?from=1&count=1024")),
        reading(&format!("/v1/devices/{device}/head")),
        reading("/openapi.json"),
        reading("/readyz"),
        reading("/metrics"),
        reading("/v1/export?study=0"),
    ];
    let crowd = Crowd::gather(site.relay.port(), strangers);
    crowd.gathered().await;
    let alone = uploads(&site, &mut honest, &pass).await;
    crowd.leave();

    // The same with a phone's token, and a fresh proof for each connection.
    let with_token = (0..CONNECTIONS).map(|number| match number % 3 {
        0 => Hostility::Drips(head("POST", "/v1/runs", size, &thief.headers(&url))),
        _ => Hostility::Keeps(head("POST", "/v1/runs", size, &thief.headers(&url)), size),
    });
    let crowd = Crowd::gather(site.relay.port(), with_token.collect());
    crowd.gathered().await;
    let with_token = uploads(&site, &mut honest, &pass).await;
    let probe = ask(STAFF, &site.relay, "GET", "/readyz", &[], "").await;
    crowd.leave();

    eprintln!(
        "strangers={alone:?} with_token={with_token:?} readyz={:?}",
        probe.2
    );
    assert!(alone < PATIENCE, "{alone:?}");
    assert!(with_token < PATIENCE, "{with_token:?}");
    assert!(probe.0 == 200 && probe.2 < PATIENCE, "{probe:?}");
    let memory = site.relay.process_id().and_then(peak_memory);
    assert!(memory.expect("it runs") < MEBIBYTES, "{memory:?} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_an_authentication_server_keeps_nobody_from_suspending_a_phone() {
    let site = Site::start();
    let phone = site.phone(1).await;
    let size = 1_024 * 1_024;
    let bearer = [("Authorization", "Bearer mhealth-admin-guess".to_owned())];
    let strangers = vec![
        Hostility::Idle,
        Hostility::Keeps(head("POST", "/v1/code", size, &[]), size),
        Hostility::Keeps(head("POST", "/v1/enrol", size, &[]), size),
        Hostility::Keeps(head("POST", "/v1/admin/codes", size, &bearer), size),
        Hostility::Drips(head("POST", "/v1/token", size, &[])),
        Hostility::Drips(head("POST", "/v1/code", size, &[])),
        reading("/v1/studies/0"),
        reading("/openapi.json"),
        reading("/readyz"),
        reading("/.well-known/jwks.json"),
        reading("/v1/admin/devices"),
    ];
    let crowd = Crowd::gather(site.auth.port(), strangers);
    crowd.gathered().await;
    let mut times = Vec::new();
    let device = phone.device();
    let token_url = format!("{}/v1/token", site.auth.url());
    let key = honest_key(&phone);
    for _ in 0..30 {
        let headers = http::proven(&token_url, &key, None);
        let request = json!({ "device": device.0 }).to_string();
        let (status, body, time) =
            ask(HONEST, &site.auth, "POST", "/v1/token", &headers, &request).await;
        assert_eq!(status, 200, "{body}");
        times.push(time);
    }
    let tokens = p99(times);
    let admin = [("Authorization", format!("Bearer {}", site.door.admin))];
    let mut changes = Vec::new();
    for turn in 0..6 {
        let change = if turn % 2 == 0 { "suspend" } else { "resume" };
        let path = format!("/v1/admin/devices/{device}/{change}");
        let why = json!({ "why": "reported lost" }).to_string();
        let (status, body, time) = ask(STAFF, &site.auth, "POST", &path, &admin, &why).await;
        assert_eq!(status, 200, "{body}");
        changes.push(time);
    }
    crowd.leave();
    eprintln!("tokens={tokens:?} changes={changes:?}");
    assert!(tokens < PATIENCE, "{tokens:?}");
    assert!(changes.iter().all(|time| *time < PATIENCE), "{changes:?}");
    let memory = site.auth.process_id().and_then(peak_memory);
    assert!(memory.expect("it runs") < MEBIBYTES, "{memory:?} MiB");
}

fn honest_key(phone: &Handset) -> ed25519_dalek::SigningKey {
    phone.pass(String::new()).key
}
