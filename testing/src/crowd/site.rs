// SPDX-License-Identifier: Apache-2.0

//! Two times the same servers: a crowd leans on the one pair, and nobody on the other.
//!
//! What an honest request takes on a machine depends on what else the machine does, and a crowd's own work is a part of that. So
//! every honest request is made at both pairs, one after the other, by which both are measured in the same seconds.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use mhealth_chain_client::{calls, Account, ChainClient};
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::json;

use super::cost::{percentile, Cost};
use super::{
    ask, strangers_at_a_relay, strangers_at_an_office, thieves_at_a_relay, Answered, Crowd,
};
use crate::databases::Kind;
use crate::handset::{Door, Handset, Pass};
use crate::http;
use crate::node::{self, Node};
use crate::port::Port;
use crate::postgres::Postgres;
use crate::process::peak_memory;
use crate::servers::{self, AuthOptions, Launch, RelayOptions, Server};
use crate::topology::{last_word, OFFICES, RELAYS, SIGNED_STUDY, SPONSOR};

/// Most memory of a server, in MiB.
pub const MEBIBYTES: u64 = 256;
/// How many honest uploads, requests for tokens and changes by the staff are measured.
const UPLOADS: usize = 100;
const TOKENS: usize = 30;
const CHANGES: usize = 6;
/// After so many uploads the operator's probe comes.
const PROBE: usize = 10;
/// Addresses of a phone, and of the staff.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STAFF: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A node, and two pairs of servers of one study, with the limits that servers have when nobody says otherwise.
pub struct Site {
    /// The pair that crowds lean on.
    pub leaned: Pair,
    /// The other pair.
    pub spared: Pair,
    _node: Node,
    _postgres: Option<Postgres>,
    _folder: tempfile::TempDir,
}

/// An authentication server and a relay that trusts it.
pub struct Pair {
    /// The authentication server.
    pub auth: Server,
    /// The relay.
    pub relay: Server,
    /// How phones and staff reach the authentication server.
    pub door: Door,
}

/// What was measured while a crowd leaned on a relay.
#[derive(Debug)]
pub struct AtRelay {
    /// Honest uploads.
    pub uploads: Cost,
    /// Probes of the operator's.
    pub probes: Cost,
    /// Most memory that the relay has taken, in MiB.
    pub memory: u64,
}

/// What was measured while a crowd leaned on an authentication server.
#[derive(Debug)]
pub struct AtOffice {
    /// An honest phone's requests for tokens.
    pub tokens: Cost,
    /// Suspensions and resumptions by the staff.
    pub changes: Cost,
    /// Most memory that the server has taken, in MiB.
    pub memory: u64,
}

impl AtRelay {
    /// Fails when not everybody else could work as before, or, with `inconclusive`, when the machine was too busy to tell.
    pub fn check(&self) -> Result<()> {
        check_memory(self.memory)?;
        self.uploads.check("uploads")?;
        self.probes.check("probes")
    }
}

impl AtOffice {
    /// Fails when not everybody else could work as before, or, with `inconclusive`, when the machine was too busy to tell.
    pub fn check(&self) -> Result<()> {
        check_memory(self.memory)?;
        self.tokens.check("tokens")?;
        self.changes.check("changes by the staff")
    }
}

fn check_memory(taken: u64) -> Result<()> {
    ensure!(taken < MEBIBYTES, "the server took {taken} MiB");
    Ok(())
}

fn usual(launch: Launch) -> Launch {
    launch
        .arg("--requests-per-second=200")
        .arg("--address-share=25")
        // Blocks are made when there is something to put into them.
        .arg("--ready-head-age=0")
}

impl Pair {
    fn start(
        node: &Node,
        number: usize,
        folder: &Path,
        postgres: Option<&Postgres>,
    ) -> Result<Self> {
        let port = Port::reserve()?;
        let database = |name: &str| match postgres {
            Some(postgres) => postgres.new_database(),
            None => {
                let file = format!("{name}-{number}.db");
                Ok(servers::sqlite_in(folder, &file))
            }
        };
        let launch = usual(servers::auth(&AuthOptions {
            study: SIGNED_STUDY,
            chain: node.url(),
            account: OFFICES[number],
            database: database("auth")?,
            issuer: None,
            relays: vec![port.url()],
        }));
        let admin = last_word(&launch.add_admin("staff")?);
        let auth = launch.start()?;
        let relay = usual(servers::relay(&RelayOptions {
            study: SIGNED_STUDY,
            chain: node.url(),
            account: RELAYS[number],
            database: database("relay")?,
            issuer: auth.url(),
        }));
        let relay = relay.start_at(port)?;
        for server in [&auth, &relay] {
            server.wait_until_ready()?;
        }
        let url = auth.url();
        Ok(Pair {
            auth,
            relay,
            door: Door { url, admin },
        })
    }

    /// A new phone.
    pub async fn phone(&self, seed: u64) -> Result<Handset> {
        Handset::enrol(&self.door, StdRng::seed_from_u64(seed)).await
    }
}

impl Site {
    /// Starts it, with databases of this kind.
    pub async fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // A block for what is brought and no others: a busy machine's pool does not keep up with five blocks a second, and whoever
        // waits for a transaction then waits for the machine.
        let launch = node::Launch::instant();
        let node = tokio::task::spawn_blocking(|| launch.start()).await??;
        let chain = ChainClient::connect(&node.url()).await?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let second = Account::from_secret_uri(OFFICES[1])?.id();
        let appointment = calls::add_authentication_server(SIGNED_STUDY, second);
        sponsor.submit_and_wait(appointment).await?.succeeded()?;
        let path = folder.path().to_owned();
        // Servers that start ask each other.
        let started = tokio::task::spawn_blocking(move || {
            let postgres = match kind {
                Kind::Sqlite => None,
                Kind::Postgres => Some(Postgres::start()?),
            };
            let pair = |number| Pair::start(&node, number, &path, postgres.as_ref());
            let pairs = (pair(0)?, pair(1)?);
            anyhow::Ok((pairs, node, postgres))
        });
        let ((leaned, spared), node, postgres) = started.await??;
        Ok(Site {
            leaned,
            spared,
            _node: node,
            _postgres: postgres,
            _folder: folder,
        })
    }

    /// A crowd of strangers leans on a relay.
    pub async fn strangers_at_the_relay(&self, seed: u64) -> Result<AtRelay> {
        let victim = self.written(seed).await?;
        let ways = strangers_at_a_relay(victim.0.device());
        let crowd = Crowd::gather(self.leaned.relay.port(), &ways);
        self.at_relay(seed, crowd).await
    }

    /// A crowd with one phone's token leans on a relay.
    pub async fn thieves_at_the_relay(&self, seed: u64) -> Result<AtRelay> {
        let (_, pass) = self.written(seed).await?;
        let ways = thieves_at_a_relay(&self.leaned.relay.url(), &pass);
        let crowd = Crowd::gather(self.leaned.relay.port(), &ways);
        self.at_relay(seed, crowd).await
    }

    /// A crowd of strangers leans on an authentication server.
    pub async fn strangers_at_the_office(&self, seed: u64) -> Result<AtOffice> {
        let leaned = self.leaned.phone(2 * seed).await?;
        let spared = self.spared.phone(2 * seed + 1).await?;
        let both = [(&self.leaned, &leaned), (&self.spared, &spared)];
        let crowd = Crowd::gather(self.leaned.auth.port(), &strangers_at_an_office());
        crowd.gathered().await?;
        let mut tokens = [Vec::new(), Vec::new()];
        for _ in 0..TOKENS {
            for ((pair, phone), times) in both.iter().zip(&mut tokens) {
                let url = format!("{}/v1/token", pair.door.url);
                let headers = http::proven(&url, &phone.pass(String::new()).key, None);
                let body = json!({ "device": phone.device().0 }).to_string();
                let what = ("POST", "/v1/token");
                let answer = ask(HONEST, pair.auth.port(), what, &headers, &body).await?;
                times.push(expect(200, answer)?);
            }
        }
        let mut changes = [Vec::new(), Vec::new()];
        for turn in 0..CHANGES {
            let change = if turn % 2 == 0 { "suspend" } else { "resume" };
            for ((pair, phone), times) in both.iter().zip(&mut changes) {
                let path = format!("/v1/admin/devices/{}/{change}", phone.device());
                let admin = [("Authorization", format!("Bearer {}", pair.door.admin))];
                let body = json!({ "why": "reported lost" }).to_string();
                let what = ("POST", &*path);
                let answer = ask(STAFF, pair.auth.port(), what, &admin, &body).await?;
                times.push(expect(200, answer)?);
            }
        }
        crowd.leave();
        let yardstick = percentile(&tokens[1], 50);
        Ok(AtOffice {
            tokens: Cost::of(tokens, yardstick),
            changes: Cost::of(changes, yardstick),
            memory: memory(&self.leaned.auth)?,
        })
    }

    /// A phone that has written, so that what strangers read costs the node work.
    async fn written(&self, seed: u64) -> Result<(Handset, Pass)> {
        let mut phone = self.leaned.phone(seed | (1 << 40)).await?;
        let pass = phone.token(&self.leaned.door).await?;
        let url = format!("{}/v1/runs", self.leaned.relay.url());
        for _ in 0..4 {
            let sent = pass.post(&url, &phone.record(256)).await?;
            ensure!(sent.status == 202, "{sent:?}");
        }
        Ok((phone, pass))
    }

    /// An honest phone at each relay sends runs of one entry, one after the other, while this crowd leans on one of them.
    async fn at_relay(&self, seed: u64, crowd: Crowd) -> Result<AtRelay> {
        let both = [&self.leaned, &self.spared];
        let mut phones = Vec::new();
        for (pair, number) in both.into_iter().zip(0..) {
            let phone = pair.phone(2 * seed + number).await?;
            let pass = phone.token(&pair.door).await?;
            phones.push((pair, phone, pass));
        }
        crowd.gathered().await?;
        let (mut uploads, mut probes) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for turn in 0..UPLOADS {
            for ((pair, phone, pass), times) in phones.iter_mut().zip(&mut uploads) {
                let run = serde_json::to_string(&phone.record(1))?;
                let headers = pass.headers(&format!("{}/v1/runs", pair.relay.url()));
                let what = ("POST", "/v1/runs");
                let answer = ask(HONEST, pair.relay.port(), what, &headers, &run).await?;
                times.push(expect(202, answer)?);
            }
            if turn % PROBE == 0 {
                for (pair, times) in both.iter().zip(&mut probes) {
                    let answer = ask(STAFF, pair.relay.port(), ("GET", "/readyz"), &[], "").await?;
                    times.push(expect(200, answer)?);
                }
            }
        }
        crowd.leave();
        let yardstick = percentile(&uploads[1], 50).max(percentile(&probes[1], 50));
        Ok(AtRelay {
            uploads: Cost::of(uploads, yardstick),
            probes: Cost::of(probes, yardstick),
            memory: memory(&self.leaned.relay)?,
        })
    }
}

/// How long an honest request took, which must be answered so.
fn expect(status: u16, answer: Answered) -> Result<Duration> {
    ensure!(
        answer.status == status,
        "an honest request is answered so: {answer:?}"
    );
    Ok(answer.took)
}

fn memory(server: &Server) -> Result<u64> {
    let memory = server.process_id().and_then(peak_memory);
    memory.context("the server is gone")
}
