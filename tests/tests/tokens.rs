// SPDX-License-Identifier: Apache-2.0

//! A hostile relay with what phones send it, at an honest relay: with their tokens, their proofs and their entries' tags.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, StudyId};
use mhealth_api::{DeviceHeads, RunUpload};
use mhealth_chain_client::ChainClient;
use mhealth_testing::http::{self, exchange, proven};
use mhealth_testing::node;
use mhealth_testing::played_relay::alter;
use mhealth_testing::port::Port;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions};
use mhealth_testing::topology::{last_word, PAPER_STUDY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Only tags protect entries here: the study asks for no signatures.
const STUDY: StudyId = PAPER_STUDY;
/// Uploads that the honest relay takes of one device at once.
const BURST: usize = 10;

/// What stands before the hostile relay. It takes down all uploads, and keeps them back when it is told to.
#[derive(Clone, Default)]
struct Front(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Where it leads.
    port: AtomicU16,
    keeps_back: AtomicBool,
    uploads: Mutex<Vec<(String, RunUpload)>>,
}

impl Front {
    /// The address and what stands there.
    async fn start() -> (String, Self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let front = Self::default();
        let standing = front.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let front = standing.clone();
                tokio::spawn(async move { front.carry(client).await });
            }
        });
        (format!("http://{address}"), front)
    }

    /// Head and body of every upload, in order.
    fn uploads(&self) -> Vec<(String, RunUpload)> {
        self.0
            .uploads
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// Carries one request after the other, until the client leaves or something is kept back.
    async fn carry(&self, mut client: TcpStream) -> Option<()> {
        let port = self.0.port.load(Ordering::SeqCst);
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        loop {
            let (head, body) = message(&mut client).await?;
            if head.starts_with("POST /v1/runs ") {
                let run = serde_json::from_slice(&body).expect("phones send runs");
                let mut uploads = self.0.uploads.lock().expect("nobody panics with it");
                uploads.push((head.clone(), run));
                if self.0.keeps_back.load(Ordering::SeqCst) {
                    return None;
                }
            }
            server.write_all(head.as_bytes()).await.ok()?;
            server.write_all(&body).await.ok()?;
            let (head, body) = message(&mut server).await?;
            client.write_all(head.as_bytes()).await.ok()?;
            client.write_all(&body).await.ok()?;
        }
    }
}

/// The next message of HTTP with a known length: its head and its body.
async fn message(from: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn header(head: &str, name: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    Some(named.next()?.1.trim().to_owned())
}

/// One phone records until this night and sends what it has through this relay. Whether all of it is finalised.
async fn phone(state: &Path, auth: &str, admin: &str, relay: &str, nights: u32) -> bool {
    let mut command = Program::Device.command().expect("it is built");
    command
        .args(["simulate", "--devices=1", "--run-length=1", "--patience=2"])
        .arg(format!("--study={STUDY}"))
        .arg(format!("--nights={nights}"))
        .arg(format!("--auth={auth}"))
        .arg(format!("--relay={relay}"))
        .arg("--state")
        .arg(state)
        .env("MHEALTH_ADMIN", admin);
    let played = tokio::task::spawn_blocking(move || command.output());
    let played = played.await.expect("it is waited for").expect("it starts");
    played.status.success()
}

async fn length(relay: &str, device: DeviceId) -> u64 {
    let heads = http::get(&format!("{relay}/v1/devices/{device}/head")).await;
    let heads: DeviceHeads = heads.expect("it answers").message().expect("both heads");
    heads.relay.length
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_relay_gets_from_a_phone_is_worth_nothing_at_an_honest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node::Launch::consensus().start().expect("the node starts");
    let (front_url, front) = Front::start().await;
    let honest_port = Port::reserve().expect("a port");
    let launch = servers::auth(&AuthOptions {
        study: STUDY,
        chain: node.url(),
        account: "//Charlie",
        database: servers::sqlite_in(folder.path(), "auth.db"),
        issuer: None,
        relays: vec![honest_port.url(), front_url.clone()],
    });
    let admin = last_word(&launch.add_admin("staff").expect("it is added"));
    let auth = launch.start().expect("the authentication server starts");
    let relay = |account, name: &str| -> Launch {
        servers::relay(&RelayOptions {
            study: STUDY,
            chain: node.url(),
            account,
            database: servers::sqlite_in(folder.path(), name),
            issuer: auth.url(),
        })
    };
    let honest = relay("//Dave", "honest.db").arg(format!("--device-burst={BURST}"));
    let honest = honest.start_at(honest_port).expect("the relay starts");
    let hostile = relay("//Eve", "hostile.db").arg(format!("--address={front_url}"));
    let hostile = hostile.start().expect("the relay starts");
    front.0.port.store(hostile.port(), Ordering::SeqCst);
    for server in [&auth, &honest, &hostile] {
        server.wait_until_ready().expect("it is ready");
    }

    // Some nights go to the chain through the hostile relay; the next ones it keeps back.
    let state = folder.path().join("phone.db");
    assert!(phone(&state, &auth.url(), &admin, &front_url, 2).await);
    let before = front.uploads().len();
    assert!(before > 0, "the hostile relay has seen nothing");
    front.0.keeps_back.store(true, Ordering::SeqCst);
    assert!(!phone(&state, &auth.url(), &admin, &front_url, 6).await);
    let seen = front.uploads();
    let kept = &seen[before..];
    assert!(!kept.is_empty(), "the phone has sent nothing more");

    let url = format!("{}/v1/runs", honest.url());
    let device = seen[0].1.device;
    let own = SigningKey::from_bytes(&[3; 32]);
    let mut tried = 0;
    // The first proofs were used, the later ones are fresh.
    for (head, genuine) in &seen {
        let token = header(head, "authorization").expect("a token");
        let (_, token) = token.split_once(' ').expect("a scheme and a token");
        let mut forged = genuine.clone();
        alter(&mut forged, 0, b"what nobody measured".to_vec());
        assert_eq!(forged.entries[0].tag, genuine.entries[0].tag);
        let authorization = |scheme: &str| ("Authorization", format!("{scheme} {token}"));
        let proof = header(head, "dpop").map(|proof| ("DPoP", proof));
        let as_sent: Vec<_> = [authorization("DPoP")]
            .into_iter()
            .chain(proof.clone())
            .collect();
        let host = ("Host", front_url.replace("http://", ""));
        let attempts = [
            as_sent.clone(),
            as_sent.into_iter().chain([host]).collect(),
            vec![authorization("DPoP")],
            vec![authorization("Bearer")],
            proof.into_iter().collect(),
            proven(&url, &own, Some(token)),
        ];
        for headers in attempts {
            for run in [&forged, genuine] {
                let body = serde_json::to_string(run).expect("it is written");
                let answer = exchange("POST", &url, &headers, body).await;
                let answer = answer.expect("the honest relay answers");
                assert_eq!(answer.status, 401, "{headers:?}: {}", answer.body);
                tried += 1;
            }
        }
    }
    assert!(tried > 2 * BURST, "{tried}");
    let chain = ChainClient::connect(&node.url())
        .await
        .expect("the node answers");
    let registered = chain
        .head(device)
        .await
        .expect("it answers")
        .expect("it is enrolled");
    assert_eq!(length(&honest.url(), device).await, registered.length);

    // And the phone has lost nothing by it: neither an entry nor a place among those that may send.
    assert!(phone(&state, &auth.url(), &admin, &honest.url(), 8).await);
    assert!(length(&honest.url(), device).await > registered.length);
}
