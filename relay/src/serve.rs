// SPDX-License-Identifier: Apache-2.0

//! The relay from its options to its end.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mhealth_api::Hash;
use mhealth_server::backup::{self, CopyCommand};
use mhealth_server::credentials::Change;
use mhealth_server::doctor::{Condition, Doctor, DoctorOptions, Office};
use mhealth_server::dpop::{Proofs, Replays};
use mhealth_server::startup::{reload_until, say};
use mhealth_server::{
    install_crypto, stop_on_signals, BaseAddress, Bound, CancellationToken, ChainOptions, Database,
    DatabaseUrl, Failures, Ground, Limits, Readiness, Server, SharedClock, SystemClock,
};
use tokio::sync::Notify;

use crate::directory::Directory;
use crate::erasing::Erasing;
use crate::head_proofs::HeadProofs;
use crate::http::{router, App, Turns, STAFF};
use crate::intake::Intake;
use crate::issuers::Issuers;
use crate::ledger::{Ledger, NodeLedger};
use crate::metrics::{Metrics, DAYS};
use crate::options::{Command, Options, RelayOptions};
use crate::outbox::{Outbox, OutboxOptions};
use crate::ready::{self, Bounds};
use crate::store::Store;
use crate::takeover;
use crate::token::Tokens;
use crate::writer::{Level, Writer};

/// How often the queue is counted.
const COUNT: Duration = Duration::from_secs(1);
/// Milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;
/// How often devices are counted, and those forgotten that have not sent anything.
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
            let database = Database::open(&options.server.database_url()?).await?;
            let store = Store::open(database, Arc::new(SystemClock)).await?;
            let change = async |change: Change<'_>| store.change_auditor(change).await;
            command.run(store.database(), change).await
        }
        Some(Command::Eraser(command)) => {
            let database = Database::open(&options.server.database_url()?).await?;
            let store = Store::open(database, Arc::new(SystemClock)).await?;
            let change = async |change: Change<'_>| store.change_eraser(change).await;
            command.run(store.database(), change).await
        }
        Some(Command::Doctor(how)) => doctor(&options, *how).await,
        Some(Command::Copy(command)) => copy(&options.server.database_url()?, command).await,
    }
}

async fn doctor(options: &Options, how: DoctorOptions) -> anyhow::Result<()> {
    install_crypto();
    let mut doctor = Doctor::default();
    let studies = options.relay.issuers.iter().map(|issuer| issuer.study);
    let studies: Vec<_> = studies.collect();
    doctor
        .examine(&options.server, &options.chain, Office::Relay, &studies)
        .await;
    let issuers = issuers(&options.relay, Arc::new(SystemClock))?;
    issuers.read().await;
    for (issuer, keys) in issuers.keys_known() {
        match keys {
            Some(keys) => {
                let detail = format!("{issuer} signs with {keys} keys.");
                doctor.note("issuer", Condition::Good, detail);
            }
            None => {
                let detail = format!("The keys of {issuer} cannot be read.");
                doctor.note("issuer", Condition::Bad, detail);
            }
        }
    }
    if options.relay.issuers.is_empty() {
        let detail = "None is trusted, so nobody can upload: give --trusted-issuer.";
        doctor.note("issuer", Condition::Bad, detail);
    }
    doctor.print(how)
}

async fn copy(url: &DatabaseUrl, command: &CopyCommand) -> anyhow::Result<()> {
    match command {
        CopyCommand::Backup { file } => {
            backup::backup(url, file).await?;
            say(format_args!("copied {url} to {}", file.display()))?;
        }
        CopyCommand::Restore { file, raw } => {
            // Nothing in it says more than was so once: finalised blocks tell what became of it.
            let made = backup::restore(url, file, (*raw).into(), async |_, _, _| Ok(())).await?;
            let made = made.map_or("an unknown time".to_owned(), |at| {
                format!("{at} seconds after 1970")
            });
            say(format_args!(
                "restored {url} from a copy of {made}. What the relay acknowledged later is not in it: phones bring that again as \
                 long as they have no proof that the chain has it. What it brought to the chain later is taken as registered \
                 already. Credentials of auditors that were made or taken back later have to be made or taken back again. Whatever was \
                 erased later is there again: bring the orders to erase it once more."
            ))?;
        }
    }
    Ok(())
}

/// Serves until it is told to stop.
async fn serve(options: &Options, stop: CancellationToken) -> anyhow::Result<()> {
    options.chain.check()?;
    let ground = Ground::lay(&options.server).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = Store::open(ground.database.clone(), clock.clone()).await?;
    let Some((ledger, connecting)) = node(options, &store, &stop).await? else {
        return Ok(());
    };
    let former = claim(&store, &*ledger).await?;
    let bound = options.server.bind().await?;
    let addresses = bound.known_as(options.relay.addresses.clone(), "--address")?;
    let skew = options.relay.clock_skew;
    let secret = options.chain.account_secret()?;
    let proofs = Proofs::new(addresses.clone(), &secret, skew, clock.clone());
    let parts = Parts::new(
        &options.relay,
        store,
        (ledger, former),
        (addresses, proofs),
        clock,
        Bounds::of(&options.server)?,
        &ground,
    )?;
    let server = parts.server(ground, bound, &stop);
    server.background("node", connecting).serve(stop).await
}

/// Makes sure that the database is this relay's, or that of the account whose place it took, which it returns.
async fn claim(store: &Store, ledger: &dyn Ledger) -> anyhow::Result<Option<[u8; 32]>> {
    let present = ledger.account();
    let owner = store.account().await?.unwrap_or(present);
    store.bind_to(&ledger.genesis(), &owner).await?;
    if owner == present {
        return Ok(None);
    }
    takeover::check(store, ledger, owner).await?;
    tracing::warn!(
        former = %Hash(owner),
        present = %Hash(present),
        "the account was changed on chain; what the former one sent ends first"
    );
    Ok(Some(owner))
}

/// What goes on beside the answers to requests.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the relay is made of.
struct Parts {
    app: Arc<App>,
    issuers: Issuers,
    outbox: Outbox,
    /// Stores what is uploaded.
    writing: Task,
    /// How full the queue is.
    level: Level,
    metrics: Metrics,
    clock: SharedClock,
    limits: Limits,
    readiness: Readiness,
}

impl Parts {
    fn new(
        options: &RelayOptions,
        store: Store,
        (ledger, former): (Arc<dyn Ledger>, Option<[u8; 32]>),
        (addresses, proofs): (Vec<BaseAddress>, Proofs),
        clock: SharedClock,
        bounds: Bounds,
        ground: &Ground,
    ) -> anyhow::Result<Self> {
        let issuers = issuers(options, clock.clone())?;
        let metrics = Metrics::register(&ground.registry)?;
        let directory = Directory::new(ledger.clone(), clock.clone());
        let stored = Arc::new(Notify::new());
        let (writer, writing) = Writer::new(
            store.clone(),
            options.quotas(),
            options.max_queued_entries,
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
            OutboxOptions {
                former,
                ..options.outbox()
            },
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
            store: store.clone(),
            ledger: ledger.clone(),
            directory,
            intake,
            tokens,
            replays: Replays::of(&proofs),
            failures: Failures::register(options.failures, &ground.registry)?,
            proofs,
            erasing: Erasing::new(
                store.clone(),
                ledger.clone(),
                metrics.clone(),
                clock.clone(),
                &options.holders,
                &options.retentions,
                options.retention_hour,
            )?,
            chain_for_devices: options.chain_for_devices,
            turns: Turns::new(ground.limits.address_share),
        };
        let limits = Limits {
            body_bytes: options.max_body,
            all_bodies_bytes: options.max_bodies,
            ..ground.limits
        };
        let app = Arc::new(app);
        let readiness = Readiness::register(&ground.registry)?;
        let readiness = ready::parts(readiness, &app, &issuers, &metrics, &clock, bounds);
        Ok(Self {
            app,
            issuers,
            outbox,
            writing: Box::pin(writing),
            level,
            metrics,
            clock,
            limits,
            readiness,
        })
    }

    /// What it answers, and what it does beside.
    fn server(self, ground: Ground, bound: Bound, stop: &CancellationToken) -> Server {
        let app = self.app;
        let readiness = self.readiness;
        let erasing = app.erasing.clone().run(stop.clone());
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
                let readiness = readiness.clone();
                async move { readiness.look().await }
            })
            .staff(STAFF)
            .background(
                "reloading",
                reload_issuers(self.issuers.clone(), stop.clone()),
            )
            .background("issuers", self.issuers.keep_fresh(stop.clone()))
            .background("erasing", erasing)
            .background("writer", self.writing)
            .background("outbox", self.outbox.run(stop.clone()))
            .background("housekeeping", housekeeping)
    }
}

/// Trusts other issuers when the options are read anew.
async fn reload_issuers(issuers: Issuers, stop: CancellationToken) {
    reload_until(stop, |options: Options| {
        let trusted = options.relay.issuers;
        tracing::info!(issuers = trusted.len(), "the options were read anew");
        issuers.replace(trusted);
    })
    .await;
}

/// The authentication servers that are trusted, whose keys are read over HTTP.
fn issuers(options: &RelayOptions, clock: SharedClock) -> anyhow::Result<Issuers> {
    if options.issuers.is_empty() {
        tracing::warn!("no issuer is trusted, so nobody can upload: give --trusted-issuer");
    }
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("no HTTP client")?;
    Ok(Issuers::new(options.issuers.clone(), http, clock))
}

/// The chain. A relay that knows its chain from its database serves at once, whether the node is there or not: devices
/// can ask for the state of their runs, and auditors can export. With another account than the database's the chain has to be
/// asked first. None if the server was told to stop.
async fn node(
    options: &Options,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Arc<dyn Ledger>, Task)>> {
    let account = options.chain.account()?;
    let chain = store.chain().await?;
    let owner = store.account().await?;
    let is_own = owner.is_none_or(|owner| owner == account.public_key());
    if let Some(genesis) = chain.filter(|_| is_own) {
        let chain = options.chain.of_chain(genesis)?;
        let ledger = Arc::new(NodeLedger::unconnected(genesis, account));
        let connecting = connect(ledger.clone(), chain, stop.clone());
        return Ok(Some((ledger, Box::pin(connecting))));
    }
    let client = tokio::select! {
        client = options.chain.connect() => client?,
        () = stop.cancelled() => return Ok(None),
    };
    let genesis = Hash(client.genesis_hash().0);
    let ledger = NodeLedger::unconnected(genesis, account);
    ledger.connected(client);
    let stop = stop.clone();
    let connected = async move { stop.cancelled().await };
    Ok(Some((Arc::new(ledger), Box::pin(connected))))
}

/// Connects to the node, and ends with the server.
async fn connect(ledger: Arc<NodeLedger>, chain: ChainOptions, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            client = chain.connect() => match client {
                Ok(client) => {
                    ledger.connected(client);
                    return stop.cancelled().await;
                }
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
            _ = forget.tick() => {
                app.intake.forget_idle();
                for (name, days) in DAYS {
                    let since = clock.now_millis().saturating_sub(days * DAY);
                    match app.store.devices_heard_of(since).await {
                        Ok(devices) => metrics.devices(name, devices),
                        Err(error) => tracing::warn!(%error, "devices cannot be counted"),
                    }
                }
            }
        }
    }
}
