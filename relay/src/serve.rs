// SPDX-License-Identifier: Apache-2.0

//! The relay from its options to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mhealth_api::Hash;
use mhealth_chain_client::H256;
use mhealth_server::credentials::Change;
use mhealth_server::dpop::{Proofs, Replays};
use mhealth_server::startup::is_ready;
use mhealth_server::{
    stop_on_signals, BaseAddress, Bound, CancellationToken, ChainOptions, Database, Failures,
    Ground, Limits, Server, SharedClock, SystemClock,
};
use prometheus::Registry;
use tokio::sync::Notify;

use crate::directory::Directory;
use crate::head_proofs::HeadProofs;
use crate::http::{router, App};
use crate::intake::Intake;
use crate::issuers::Issuers;
use crate::ledger::{Ledger, NodeLedger};
use crate::metrics::Metrics;
use crate::options::{Command, Options, RelayOptions};
use crate::outbox::Outbox;
use crate::store::Store;
use crate::token::Tokens;
use crate::writer::{Level, Writer};

/// How often the queue is counted.
const COUNT: Duration = Duration::from_secs(1);
/// How often devices are forgotten that have not sent anything.
const FORGET: Duration = Duration::from_secs(60);
/// How long to wait before a connection to the chain is tried once more.
const RECONNECT: Duration = Duration::from_secs(2);
const DESCRIPTION: &str =
    "Takes runs of devices, keeps their envelopes, and brings them to the chain.";

/// Does what the command line says.
pub async fn run(options: Options) -> anyhow::Result<()> {
    match &options.command {
        None | Some(Command::Serve) => serve(&options, stop_on_signals()).await,
        Some(Command::Auditor(command)) => {
            let database = Database::open(&options.server.database).await?;
            let store = Store::open(database, Arc::new(SystemClock)).await?;
            let change = async |change: Change<'_>| store.change_auditor(change).await;
            command.run(store.database(), change).await
        }
    }
}

/// Serves until it is told to stop.
async fn serve(options: &Options, stop: CancellationToken) -> anyhow::Result<()> {
    let ground = Ground::lay(&options.server).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = Store::open(ground.database.clone(), clock.clone()).await?;
    let Some(ledger) = node(options, &store, &stop).await? else {
        return Ok(());
    };
    store.bind_to(&ledger.genesis(), &ledger.account()).await?;
    let bound = options.server.bind().await?;
    let addresses = bound.known_as(options.relay.addresses.clone(), "--address")?;
    let skew = options.relay.clock_skew;
    let secret = options.chain.account_secret()?;
    let proofs = Proofs::new(addresses.clone(), &secret, skew, clock.clone());
    let parts = Parts::new(
        &options.relay,
        store,
        ledger,
        (addresses, proofs),
        clock,
        &ground.registry,
    )?;
    parts.server(ground, bound, &stop).serve(stop).await
}

/// What the relay is made of.
struct Parts {
    app: Arc<App>,
    issuers: Issuers,
    outbox: Outbox,
    /// How full the queue is.
    level: Level,
    metrics: Metrics,
    clock: SharedClock,
    limits: Limits,
}

impl Parts {
    fn new(
        options: &RelayOptions,
        store: Store,
        ledger: Arc<dyn Ledger>,
        (addresses, proofs): (Vec<BaseAddress>, Proofs),
        clock: SharedClock,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let issuers = issuers(options)?;
        let metrics = Metrics::register(registry)?;
        let directory = Directory::new(ledger.clone(), clock.clone());
        let stored = Arc::new(Notify::new());
        let writer = Writer::start(
            store.clone(),
            options.max_conflicts,
            stored.clone(),
            metrics.clone(),
        );
        let level = writer.level().clone();
        let intake = Intake::new(
            store.clone(),
            ledger.clone(),
            directory.clone(),
            writer,
            metrics.clone(),
            options.intake(),
        );
        let outbox = Outbox::new(
            store.clone(),
            ledger.clone(),
            directory.clone(),
            metrics.clone(),
            clock.clone(),
            options.outbox(),
            stored,
        );
        let tokens = Tokens::new(
            issuers.clone(),
            ledger.genesis(),
            &addresses,
            options.clock_skew,
            clock.clone(),
        );
        let app = App {
            head_proofs: HeadProofs::of(ledger.clone()),
            store,
            ledger,
            directory,
            intake,
            tokens,
            replays: Replays::of(&proofs),
            failures: Failures::register(options.failures, registry)?,
            proofs,
            chain_for_devices: options.chain_for_devices,
        };
        let limits = Limits {
            body_bytes: options.max_body,
            all_bodies_bytes: options.max_bodies,
            ..Limits::default()
        };
        Ok(Self {
            app: Arc::new(app),
            issuers,
            outbox,
            level,
            metrics,
            clock,
            limits,
        })
    }

    /// What it answers, and what it does beside.
    fn server(self, ground: Ground, bound: Bound, stop: &CancellationToken) -> Server {
        let app = self.app;
        let ready = app.clone();
        let housekeeping = keep_house(
            app.clone(),
            self.level,
            self.metrics,
            self.clock,
            stop.clone(),
        );
        ground
            .server("mhealth-relay", DESCRIPTION, bound)
            .routes(router(app))
            .limits(self.limits)
            .ready(move || {
                let app = ready.clone();
                async move { is_ready(app.store.database(), app.ledger.finalised()).await }
            })
            .background(self.issuers.keep_fresh(stop.clone()))
            .background(self.outbox.run(stop.clone()))
            .background(housekeeping)
    }
}

/// The authentication servers that are trusted, whose keys are read over HTTP.
fn issuers(options: &RelayOptions) -> anyhow::Result<Issuers> {
    if options.issuers.is_empty() {
        tracing::warn!("no issuer is trusted, so nobody can upload: give --trusted-issuer");
    }
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("no HTTP client")?;
    Ok(Issuers::new(options.issuers.clone(), http))
}

/// The chain. A relay that knows its chain from its database serves at once, whether the node is there or not: devices
/// can ask for the state of their runs, and auditors can export. None if the server was told to stop.
async fn node(
    options: &Options,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<dyn Ledger>>> {
    let account = options.chain.account()?;
    if let Some(genesis) = store.chain().await? {
        let mut chain = options.chain.clone();
        let expected = *chain.genesis.get_or_insert(H256(genesis.0));
        anyhow::ensure!(
            expected.0 == genesis.0,
            "this database belongs to chain {genesis}, and the server was started for chain {expected:?}"
        );
        let ledger = Arc::new(NodeLedger::unconnected(genesis, account));
        tokio::spawn(connect(ledger.clone(), chain, stop.child_token()));
        return Ok(Some(ledger));
    }
    let client = tokio::select! {
        client = options.chain.connect() => client?,
        () = stop.cancelled() => return Ok(None),
    };
    let genesis = Hash(client.genesis_hash().0);
    let ledger = NodeLedger::unconnected(genesis, account);
    ledger.connected(client);
    Ok(Some(Arc::new(ledger)))
}

async fn connect(ledger: Arc<NodeLedger>, chain: ChainOptions, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            client = chain.connect() => match client {
                Ok(client) => return ledger.connected(client),
                Err(error) => tracing::error!(%error, "there is no connection to the chain"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}

async fn keep_house(
    app: Arc<App>,
    level: Level,
    metrics: Metrics,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let mut count = tokio::time::interval(COUNT);
    let mut forget = tokio::time::interval(FORGET);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = count.tick() => match app.store.queue().await {
                Ok(queue) => {
                    level.set(queue.entries);
                    metrics.queue(&queue, clock.now_millis());
                }
                Err(error) => tracing::warn!(%error, "the queue cannot be counted"),
            },
            _ = forget.tick() => app.intake.forget_idle(),
        }
    }
}
