// SPDX-License-Identifier: Apache-2.0

//! Where the parties meet: a chain with real finality, an authentication server and relays, each behind a front.
//!
//! Every row has a hostile relay of its own, with its own account, so that an audit that names one of them for what another
//! did is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::header::AUTHORIZATION;
use futures::future::try_join_all;
use mhealth_api::Key;
use mhealth_chain_client::{calls, Account, ChainClient, Submitter};
use mhealth_testing::audit;
use mhealth_testing::export::Signer;
use mhealth_testing::front::{Asked, Front, Told};
use mhealth_testing::handset::{self, Door, Handset};
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::servers::{self, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{last_word, OFFICES, RELAYS, SPONSOR};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::attack::{Attack, Column};
use crate::stage::Victim;

/// Between two looks at a chain.
const PAUSE: Duration = Duration::from_millis(200);

/// For how many blocks a run may be on its way: nobody waits an hour here.
pub(crate) const ON_ITS_WAY: u64 = 3;

/// A relay: the real program, behind a front that may be hostile.
pub(crate) struct Relay {
    pub(crate) name: String,
    pub(crate) account: &'static str,
    pub(crate) key: Key,
    pub(crate) front: Front,
    /// None until it is started.
    server: Mutex<Option<Server>>,
    /// An auditor's, who may read its export.
    pub(crate) credential: String,
}

/// Everything that runs for one column.
pub(crate) struct Arena {
    pub(crate) column: Column,
    pub(crate) folder: PathBuf,
    pub(crate) chain: ChainClient,
    pub(crate) door: Door,
    /// The authentication server's front.
    pub(crate) office: Front,
    /// Dave and Eve.
    pub(crate) honest: Vec<Relay>,
    pub(crate) hostile: BTreeMap<Attack, Relay>,
    pub(crate) sponsor: Submitter,
    // Servers before the node: they are dropped in this order.
    _office: Server,
    /// A node that stays behind, when its time has come.
    laggard: Mutex<Option<Node>>,
    pub(crate) node: Node,
}

impl Relay {
    async fn announced(name: &str, account: &'static str) -> Result<Self> {
        Ok(Relay {
            name: name.to_owned(),
            account,
            key: Key(Account::from_secret_uri(account)?.public_key()),
            front: Front::open().await?,
            server: Mutex::default(),
            credential: String::new(),
        })
    }

    /// How the real program behind the front is started.
    fn launch(&self, column: Column, node: &str, issuer: &str, folder: &Path) -> servers::Launch {
        servers::relay(&RelayOptions {
            study: column.study(),
            chain: node.to_owned(),
            account: self.account,
            database: servers::sqlite_in(folder, &format!("{}.db", self.name)),
            issuer: issuer.to_owned(),
        })
        .arg(format!("--address={}", self.url()))
    }

    /// Signs what it shows, with its own account.
    pub(crate) async fn signer(&self, arena: &Arena) -> Result<Signer> {
        let account = Account::from_secret_uri(self.account)?;
        Ok(Signer::now(&arena.chain, arena.column.study(), account).await?)
    }

    async fn start(&self, launch: servers::Launch) -> Result<()> {
        let server = started(launch).await?;
        self.front.stand_before(&server.url());
        *lock(&self.server) = Some(server);
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        self.front.url()
    }

    /// What it shows an auditor who asks so.
    pub(crate) async fn exported(&self, asked: &Asked) -> Result<Told> {
        let mut asked = asked.clone();
        let credential = format!("Bearer {}", self.credential);
        asked.headers.insert(AUTHORIZATION, credential.parse()?);
        self.front.behind().pass(&asked).await
    }
}

impl Arena {
    /// With a hostile relay for each of these.
    pub(crate) async fn set(column: Column, rows: &[Attack], folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let node = Launch::consensus()
            .base_path(folder.join("chain"))
            .arg("--state-pruning=archive");
        let node = aside(|| node.start()).await?;
        let office = Front::open().await?;
        let mut honest = Vec::new();
        for (name, account) in ["dave", "eve"].into_iter().zip(RELAYS) {
            honest.push(Relay::announced(name, account).await?);
        }
        let mut hostile = BTreeMap::new();
        for row in rows {
            if let Some(account) = row.account() {
                hostile.insert(*row, Relay::announced(&row.name(), account).await?);
            }
        }
        let everybody = || honest.iter().chain(hostile.values());
        let launch = servers::auth(&AuthOptions {
            study: column.study(),
            chain: node.url(),
            account: OFFICES[0],
            database: servers::sqlite_in(folder, "auth.db"),
            issuer: Some(office.url()),
            relays: everybody().map(Relay::url).collect(),
        })
        .arg("--requests-per-second=100000");
        let admin = credential(&launch, |launch| launch.add_admin("site-staff")).await?;
        let server = started(launch).await?;
        office.stand_before(&server.url());

        let chain = ChainClient::connect(&node.url()).await?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let appointed = hostile.values().map(|relay| async {
            let account = Account::from_secret_uri(relay.account)?;
            let appointment = calls::add_relay(column.study(), account.id());
            let appointed = sponsor.submit_and_wait(appointment).await?.succeeded();
            appointed.context("the sponsor could not appoint a relay")?;
            anyhow::Ok(())
        });
        try_join_all(appointed).await?;
        let (url, issuer) = (node.url(), office.url());
        let relays = honest.iter_mut().chain(hostile.values_mut());
        let started = relays.map(|relay| {
            let launch = relay.launch(column, &url, &issuer, folder);
            async move {
                relay.credential =
                    credential(&launch, |launch| launch.add_auditor("monitor")).await?;
                // A laggard is started when its node has fallen behind.
                match relay.name == Attack::LagsBehind.name() {
                    true => Ok(()),
                    false => relay.start(launch).await,
                }
            }
        });
        try_join_all(started).await?;
        let laggard = match rows.contains(&Attack::LagsBehind) {
            true => Some(start_laggard(&node, folder).await?),
            false => None,
        };
        Ok(Arena {
            column,
            folder: folder.to_path_buf(),
            door: Door { url: issuer, admin },
            chain,
            office,
            honest,
            hostile,
            sponsor,
            _office: server,
            laggard: Mutex::new(laggard),
            node,
        })
    }

    pub(crate) fn hostile(&self, row: Attack) -> Result<&Relay> {
        self.hostile
            .get(&row)
            .with_context(|| format!("{row:?} has no relay of its own"))
    }

    /// From now on the second node knows nothing of what happens, and this relay knows no other node.
    pub(crate) async fn let_lag(&self, relay: &Relay) -> Result<()> {
        let node = lock(&self.laggard).take();
        let mut node = node.context("there is no second node")?;
        let url = node.url();
        let now = self.chain.finalised().await?.number;
        let chain = ChainClient::connect(&url).await?;
        while chain.finalised().await?.number < now {
            tokio::time::sleep(PAUSE).await;
        }
        drop(chain);
        let alone = Launch::bare()
            .arg("--chain=dev")
            .args(["--reserved-only", "--state-pruning=archive"])
            .base_path(self.folder.join("laggard"));
        let node = aside(move || {
            node.stop()?;
            alone.start()
        });
        let node = node.await?;
        let launch = relay.launch(self.column, &node.url(), &self.door.url, &self.folder);
        relay.start(launch).await?;
        *lock(&self.laggard) = Some(node);
        Ok(())
    }

    /// The study has done with this relay, which has brought nothing: audits do not ask for its export any more.
    pub(crate) async fn dismiss(&self, relay: &Relay) -> Result<()> {
        let account = Account::from_secret_uri(relay.account)?.id();
        let removal = calls::remove_relay(self.column.study(), account);
        let removed = self.sponsor.submit_and_wait(removal).await?.succeeded();
        removed.context("the sponsor could not remove a relay")?;
        Ok(())
    }

    /// A phone that has registered some honest entries through this relay.
    pub(crate) async fn victim(&self, relay: &Relay, random: &mut StdRng) -> Result<Victim> {
        let mut phone = Handset::enrol(&self.door, StdRng::from_rng(&mut *random)).await?;
        let token = phone.token(&self.door).await?;
        let run = phone.record(random.random_range(1..=3));
        handset::deliver(&relay.url(), &token, &run).await?;
        let honest_to = phone.head().length;
        Ok(Victim {
            phone,
            token,
            honest_to,
        })
    }

    /// Waits until so many blocks more are final.
    pub(crate) async fn let_blocks_pass(&self, count: u64) -> Result<()> {
        let last = self.chain.finalised().await?.number + count;
        self.chain.follow_from(last).next().await?;
        Ok(())
    }

    /// Whoever audits the study reads these.
    pub(crate) fn audit(&self, relays: &[&Relay]) -> audit::Options {
        audit::Options {
            node: self.node.url(),
            study: self.column.study(),
            genesis: Some(format!("{:?}", self.chain.genesis_hash())),
            on_its_way: Some(ON_ITS_WAY),
            relays: relays
                .iter()
                .map(|relay| (relay.name.clone(), relay.url(), relay.credential.clone()))
                .collect(),
            ..audit::Options::default()
        }
    }
}

/// A node that follows the first one.
async fn start_laggard(first: &Node, folder: &Path) -> Result<Node> {
    let launch = Launch::bare()
        .arg("--chain=dev")
        .arg("--state-pruning=archive")
        .arg(format!("--bootnodes={}", first.address().await?))
        .base_path(folder.join("laggard"));
    aside(|| launch.start()).await
}

/// Does what takes a while on a thread of its own. Fronts answer meanwhile, and servers that start ask them.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

async fn started(launch: servers::Launch) -> Result<Server> {
    aside(|| {
        let server = launch.start()?;
        server.wait_until_ready()?;
        Ok(server)
    })
    .await
}

/// The credential that a server's program makes.
async fn credential(
    launch: &servers::Launch,
    make: fn(&servers::Launch) -> Result<String>,
) -> Result<String> {
    let launch = launch.clone();
    aside(move || Ok(last_word(&make(&launch)?))).await
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Several tasks share it.
pub(crate) type SharedArena = Arc<Arena>;
