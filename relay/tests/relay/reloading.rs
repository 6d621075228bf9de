// SPDX-License-Identifier: Apache-2.0

//! What is taken up on SIGHUP, without a restart.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use mhealth_chain_client::create_private;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{sqlite_in, Launch};

use crate::world::{with_envelopes, Kind, World, NIGHT, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuers_and_logs_are_read_anew_and_nonsense_changes_nothing() {
    let mut world = World::start(Kind::Sqlite).await;
    let mut phone = world.phone(1).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    std::fs::write(&config, "log = 'warn'\n").unwrap();
    let launch = Launch::of(Program::Relay)
        .env("MHEALTH_ACCOUNT", "//Eve")
        .env("MHEALTH_DATABASE", sqlite_in(folder.path(), "eve.db"))
        .env("RUST_LOG", "")
        .arg(format!("--node={}", world.node.url()))
        .arg(format!("--config={}", config.display()));
    world.relay = launch.start().unwrap();
    world.issuer.relays = vec![world.relay.url()];
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let pass = world.pass(&phone);
    let refused = world.post("/v1/runs", &pass, &run).await;
    assert_eq!(refused.code(), "unknown_issuer");

    std::fs::write(&config, "colour = 'red'\n").unwrap();
    world.relay.hang_up().unwrap();
    world
        .relay
        .wait_for_log("the options cannot be read anew")
        .unwrap();
    assert_eq!(
        world.post("/v1/runs", &pass, &run).await.code(),
        "unknown_issuer"
    );

    let issuer = format!(
        "log = 'info'\ntrusted-issuer = ['issuer={},study=0']\n",
        world.issuer.url()
    );
    std::fs::write(&config, issuer).unwrap();
    world.relay.hang_up().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.post("/v1/runs", &pass, &run).await.status >= 400 {
        assert!(Instant::now() < deadline, "{}", world.relay.log());
    }
    // What is only told at this level.
    world.relay.wait_for_log("a batch is finalised").unwrap();
}

/// A certificate and its key.
struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn sizes(&self) -> (usize, usize) {
        (self.certificate.len(), self.key.len())
    }

    /// A client that trusts nobody else, and makes a connection for each request.
    fn client(&self) -> reqwest::Client {
        let trusted = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]);
        client.pool_max_idle_per_host(0).build().unwrap()
    }
}

/// Writes over a file so that nothing of it changes but its bytes: a look at the folder finds it as it was.
fn write_over(path: &Path, text: &str) {
    let seen = File::open(path).unwrap().metadata().unwrap();
    assert_eq!(seen.len(), text.len() as u64);
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_modified(seen.modified().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_taken_up_when_the_operator_asks_for_it() {
    let world = World::start(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (certificate, key) = (place("certificate.pem"), place("key.pem"));
    let used = Identity::new();
    let renewed = loop {
        let other = Identity::new();
        if other.sizes() == used.sizes() {
            break other;
        }
    };
    std::fs::write(&certificate, &used.certificate).unwrap();
    let mut secret = create_private(&key).unwrap();
    secret.write_all(used.key.as_bytes()).unwrap();
    drop(secret);
    let launch = Launch::of(Program::Relay)
        .env("MHEALTH_ACCOUNT", "//Eve")
        .env("MHEALTH_DATABASE", sqlite_in(folder.path(), "eve.db"))
        .arg(format!("--node={}", world.node.url()))
        .arg(format!("--tls-certificate={}", certificate.display()))
        .arg(format!("--tls-key={}", key.display()));
    let relay = launch.start().unwrap();
    let url = format!("{}/healthz", relay.url());
    let served = async |client: &reqwest::Client| client.get(&url).send().await.is_ok();
    assert!(served(&used.client()).await, "{}", relay.log());

    write_over(&certificate, &renewed.certificate);
    write_over(&key, &renewed.key);
    let client = renewed.client();
    let deadline = Instant::now() + PATIENCE;
    while !served(&client).await {
        // It may have been asked before it listened.
        relay.hang_up().unwrap();
        assert!(Instant::now() < deadline, "{}", relay.log());
    }
    assert!(!served(&used.client()).await);
}
