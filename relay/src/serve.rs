// SPDX-License-Identifier: Apache-2.0

//! The relay from its options to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mhealth_api::{Code, Hash};
use mhealth_chain_client::H256;
use mhealth_server::{
    install_crypto, ApiError, CancellationToken, ChainOptions, Database, Limits, Server,
    SharedClock, SystemClock,
};
use prometheus::Registry;
use tokio::sync::Notify;

use crate::directory::Directory;
use crate::http::{router, App};
use crate::intake::Intake;
use crate::issuers::Issuers;
use crate::ledger::{Ledger, NodeLedger};
use crate::metrics::Metrics;
use crate::options::{AuditorCommand, Options};
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
/// How long the chain may take to answer when an operator asks whether the relay is ready.
const READY_PATIENCE: Duration = Duration::from_secs(3);

/// Serves until it is told to stop.
pub async fn serve(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    install_crypto();
    let clock: SharedClock = Arc::new(SystemClock);
    let database = Database::open(&options.server.database).await?;
    let store = Store::open(database, clock.clone()).await?;
    let Some(node) = node(&options, &store, &stop).await? else {
        return Ok(());
    };
    let ledger: Arc<dyn Ledger> = node;
    store.bind_to(&ledger.genesis(), &ledger.account()).await?;
    if options.relay.issuers.is_empty() {
        tracing::warn!("no issuer is trusted, so nobody can upload: give --issuer");
    }
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("no HTTP client")?;
    let issuers = Issuers::new(options.relay.issuers.clone(), http, clock.clone());

    let registry = Registry::new();
    let metrics = Metrics::register(&registry)?;
    let directory = Directory::new(ledger.clone(), clock.clone());
    let stored = Arc::new(Notify::new());
    let max_conflicts = options.relay.max_conflicts;
    let writer = Writer::start(
        store.clone(),
        max_conflicts,
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
        options.relay.intake(),
    );
    let outbox = Outbox::new(
        store.clone(),
        ledger.clone(),
        directory.clone(),
        metrics.clone(),
        clock.clone(),
        options.relay.outbox(),
        stored,
    );
    let tokens = Tokens::new(
        issuers.clone(),
        ledger.genesis(),
        options.relay.clock_skew,
        clock.clone(),
    );
    let app = Arc::new(App {
        store: store.clone(),
        ledger: ledger.clone(),
        directory,
        intake,
        tokens,
        chain_for_devices: options.relay.chain_for_devices,
    });

    let bound = options.server.bind().await?;
    let background = stop.child_token();
    let keys = tokio::spawn(issuers.keep_fresh(background.clone()));
    let submitting = tokio::spawn(outbox.run(background.clone()));
    let housekeeping = tokio::spawn(keep_house(
        app.clone(),
        level,
        metrics,
        clock,
        background.clone(),
    ));
    let limits = Limits {
        body_bytes: options.relay.max_body,
        all_bodies_bytes: options.relay.max_bodies,
        ..Limits::default()
    };
    let ready = {
        let (store, ledger) = (store.clone(), ledger.clone());
        move || is_ready(store.clone(), ledger.clone())
    };
    let served = Server::new(
        "mhealth-relay",
        "Takes runs of devices, keeps their envelopes, and brings them to the chain.",
        bound,
    )
    .routes(router(app))
    .registry(registry)
    .ready(ready)
    .limits(limits)
    .serve(stop)
    .await;
    // Requests are answered by now, and what they stored is durable. What is on its way stays in the database.
    background.cancel();
    for task in [keys, submitting, housekeeping] {
        task.await?;
    }
    store.database().close().await;
    served
}

/// The chain. A relay that knows its chain from its database serves at once, whether the node is there or not: devices
/// can ask where their runs stand, and auditors can export. None if the server was told to stop.
async fn node(
    options: &Options,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<NodeLedger>>> {
    let account = options.chain.account()?;
    if let Some(genesis) = store.chain().await? {
        let mut chain = options.chain.clone();
        let expected = *chain.genesis.get_or_insert(H256(genesis.0));
        anyhow::ensure!(
            expected.0 == genesis.0,
            "the database holds the runs of another chain, {genesis}"
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

/// Whether database and chain answer.
async fn is_ready(store: Store, ledger: Arc<dyn Ledger>) -> Result<(), ApiError> {
    store.database().check().await?;
    let answer = tokio::time::timeout(READY_PATIENCE, ledger.finalised()).await;
    match answer {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Code::ChainUnavailable.into()),
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

/// Makes, lists and takes back credentials.
pub async fn manage_auditors(
    options: &Options,
    command: &AuditorCommand,
) -> anyhow::Result<String> {
    let database = Database::open(&options.server.database).await?;
    let store = Store::open(database, Arc::new(SystemClock)).await?;
    let text = match command {
        AuditorCommand::Add { name } => {
            let credential = store.add_auditor(name).await?;
            let credential =
                credential.with_context(|| format!("there is an auditor {name} already"))?;
            credential.to_string()
        }
        AuditorCommand::Remove { name } => {
            let removed = store.remove_auditor(name).await?;
            anyhow::ensure!(removed, "there is no auditor {name}");
            format!("removed {name}")
        }
        AuditorCommand::List => {
            let auditors = store.auditors().await?;
            let lines = auditors
                .iter()
                .map(|(name, since)| format!("{name} since={since}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    store.database().close().await;
    Ok(text)
}
