// SPDX-License-Identifier: Apache-2.0

//! The network under load: validators, and servers that reach them over links of their own.
//!
//! ```text
//! devices ─┬─ link ── relay 0, //Dave ──── link ── validator 1, or another one
//!          ├─ link ── relay 1, //Eve ───── link ── validator 2
//!          └─ link ── authentication server ── link ── validator 0
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use mhealth_chain_client::{calls, Account, ChainClient, ConnectOptions, Patience, H256};
use mhealth_testing::audit;
use mhealth_testing::finality::PATIENCE;
use mhealth_testing::node::Node;
use mhealth_testing::servers::{self, http_get, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{last_word, SIGNED_STUDY, SPONSOR};
use tokio::time::sleep;

use super::cluster::Cluster;
use super::floods;
use super::plan::VALIDATORS;
use crate::load::Servers;
use crate::proxy::Proxy;
use crate::record::{Keeper, Record};

/// Accounts of the relays. Each has a database of its own.
const RELAYS: [&str; 2] = ["//Dave", "//Eve"];
/// Acknowledges enrolments only.
const OFFICE: Keeper = 2;
/// Metrics of a relay that must be 0 when nothing waits any more.
const QUEUES: [&str; 2] = [
    "mhealth_relay_queued_runs",
    "mhealth_relay_batches_in_flight",
];

/// Everything that runs.
pub(crate) struct Site {
    relays: Vec<Server>,
    auth: Server,
    to_relays: Vec<Proxy>,
    /// Of the relays; the last is the authentication server's.
    to_node: Vec<Proxy>,
    _to_auth: Proxy,
    /// To the validators' nodes, for programs that speak to those on this machine only.
    near: Vec<Proxy>,
    genesis: H256,
    pub(crate) cluster: Cluster,
    pub(crate) servers: Servers,
    credentials: Vec<String>,
}

impl Site {
    /// Starts the servers before these validators, with data in this folder.
    pub(crate) async fn start(
        folder: &Path,
        cluster: Cluster,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let mut near = Vec::new();
        for validator in 0..VALIDATORS {
            near.push(near_to(cluster.node(validator)).await?);
        }
        let genesis = appoint(&near[0].websocket_url()).await?;
        let mut to_relays = Vec::new();
        for keeper in 0..RELAYS.len() {
            to_relays.push(Proxy::start(Some((record.clone(), keeper))).await?);
        }
        let mut to_node = Vec::new();
        for validator in [1, 2, 0] {
            let link = Proxy::start(None).await?;
            link.lead_to_address(cluster.rpc(validator));
            to_node.push(link);
        }
        let to_auth = Proxy::start(Some((record.clone(), OFFICE))).await?;
        let auth_url = to_auth.url();
        let relay_urls: Vec<String> = to_relays.iter().map(Proxy::url).collect();
        let launch = servers::auth(&AuthOptions {
            study: SIGNED_STUDY,
            chain: to_node[RELAYS.len()].websocket_url(),
            account: "//Charlie",
            database: servers::sqlite_in(folder, "auth.db"),
            issuer: Some(auth_url.clone()),
            relays: relay_urls.clone(),
        });
        let admin = launch.add_admin("faults")?;
        let auth = launch.log_to(folder.join("auth.log")).start()?;
        to_auth.lead_to(auth.port());
        auth.wait_until_ready()?;
        let (mut relays, mut credentials) = (Vec::new(), Vec::new());
        for (number, account) in RELAYS.into_iter().enumerate() {
            let relay = servers::relay(&RelayOptions {
                study: SIGNED_STUDY,
                chain: to_node[number].websocket_url(),
                account,
                database: servers::sqlite_in(folder, &format!("relay-{number}.db")),
                issuer: auth_url.clone(),
            })
            // Devices reach it through the link.
            .arg(format!("--address={}", relay_urls[number]))
            .log_to(folder.join(format!("relay-{number}.log")));
            credentials.push(last_word(&relay.add_auditor("monitor")?));
            let relay = relay.start()?;
            to_relays[number].lead_to(relay.port());
            relay.wait_until_ready()?;
            relays.push(relay);
        }
        Ok(Site {
            relays,
            auth,
            to_relays,
            to_node,
            _to_auth: to_auth,
            near,
            genesis,
            cluster,
            servers: Servers {
                auth: auth_url,
                relays: relay_urls,
                admin,
            },
            credentials,
        })
    }

    /// Leads a relay to this validator's node, as a balancer does when the one before is gone.
    pub(crate) fn lead(&self, relay: usize, validator: usize) {
        let link = &self.to_node[relay];
        link.lead_to_address(self.cluster.rpc(validator));
        link.cut();
    }

    /// Waits until this relay says that it can do its work.
    pub(crate) fn wait_until_ready(&self, relay: usize) -> Result<()> {
        self.relays[relay].wait_until_ready()
    }

    /// Waits until a transaction of this relay is final that this validator's node does not know of now. Returns how long it took.
    pub(crate) async fn wait_until_brings(
        &self,
        relay: usize,
        validator: usize,
    ) -> Result<Duration> {
        let start = Instant::now();
        let account = Account::from_secret_uri(RELAYS[relay])?.id();
        let chain = self.chain(validator).await?;
        // Those that wait in the node's pool are counted in.
        let known = chain.next_nonce(&account).await?;
        loop {
            let (_, view) = chain.at_finalised().await?;
            if view.nonce(&account).await? > known {
                return Ok(start.elapsed());
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// Starts again what ended by itself, as an operator's service manager does, and says how often.
    pub(crate) fn pick_up(&mut self) -> Result<u32> {
        let mut fallen = 0;
        for server in self.relays.iter_mut().chain([&mut self.auth]) {
            if !server.is_running() {
                fallen += 1;
                server.start_again()?;
            }
        }
        Ok(fallen)
    }

    /// Waits until no relay has anything left that waits for the chain.
    pub(crate) fn drain(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (number, relay) in self.relays.iter().enumerate() {
            loop {
                let (_, metrics) = http_get(relay.port(), "/metrics")?;
                let waiting = QUEUES.map(|name| gauge(&metrics, name));
                if waiting.iter().all(|value| *value == Some(0.0)) {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("{QUEUES:?} of relay {number} are {waiting:?} after {PATIENCE:?}");
                }
                thread::sleep(Duration::from_millis(200));
            }
        }
        Ok(())
    }

    /// Port of a relay that answers for this keeper.
    pub(crate) fn relay_port(&self, keeper: Keeper) -> Option<u16> {
        self.relays.get(keeper).map(Server::port)
    }

    /// The chain, as this validator's node shows it.
    pub(crate) async fn chain(&self, validator: usize) -> Result<ChainClient> {
        client(&self.near_node(validator)).await
    }

    /// Whoever audits the study reads these.
    pub(crate) fn audit(&self) -> audit::Options {
        let names = ["dave", "eve"].map(String::from);
        let relays = names.into_iter().zip(&self.relays).zip(&self.credentials);
        let relays =
            relays.map(|((name, relay), credential)| (name, relay.url(), credential.clone()));
        audit::Options {
            node: self.near_node(0),
            study: SIGNED_STUDY,
            genesis: Some(format!("{:#x}", self.genesis)),
            relays: relays.collect(),
            trust_node: true,
            ..audit::Options::default()
        }
    }

    /// Where a validator's node is reached on this machine.
    pub(crate) fn near_node(&self, validator: usize) -> String {
        self.near[validator].websocket_url()
    }

    /// How many links devices have to relays.
    pub(crate) fn relays(&self) -> usize {
        self.to_relays.len()
    }
}

/// A link to a node, wherever it is, that begins on this machine.
pub(crate) async fn near_to(node: &Node) -> Result<Proxy> {
    let link = Proxy::start(None).await?;
    link.lead_to_address(SocketAddr::new(node.host(), node.rpc_port()));
    Ok(link)
}

/// A connection that survives restarts of its node.
pub(crate) async fn client(url: &str) -> Result<ChainClient> {
    let patience = Duration::from_secs(60);
    let options = ConnectOptions {
        genesis: None,
        patience: Patience {
            connect: patience,
            reconnect: patience,
            ..Patience::default()
        },
    };
    Ok(ChainClient::connect_with(url, options).await?)
}

/// Gives those who are going to flood the chain their roles. Returns the hash of its first block.
async fn appoint(node: &str) -> Result<H256> {
    let chain = client(node).await?;
    let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
    let of = |uri: &str| Account::from_secret_uri(uri).map(|account| account.id());
    for call in [
        calls::add_authentication_server(floods::STUDY, of(floods::OFFICE)?),
        calls::add_authentication_server(floods::STUDY, of(floods::ENROLS)?),
        calls::add_relay(floods::STUDY, of(floods::RELAY)?),
    ] {
        let outcome = sponsor.submit_and_wait(call).await?;
        outcome.succeeded().context("the sponsor appoints")?;
    }
    Ok(chain.genesis_hash())
}

/// The value of a metric without labels.
fn gauge(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let text = "# HELP a_b c\na_b_c 3\na_b 0\n";
        assert_eq!(gauge(text, "a_b"), Some(0.0));
        assert_eq!(gauge(text, "a"), None);
    }
}
