// SPDX-License-Identifier: Apache-2.0

//! How the server starts: options, database, chain, keys, routes.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{bail, Context};
use hashchain::StudyId;
use mhealth_api::{Hash, Key};
use mhealth_chain_client::{Account, ChainClient, SubmitterOptions};
use mhealth_server::dpop::Proofs;
use mhealth_server::startup::reload_until;
use mhealth_server::{
    with_reserve, BaseAddress, Bound, CancellationToken, ChainOptions, FailureOptions, Failures,
    Ground, Readiness, SecretText, Server, ServerOptions, SharedClock, SystemClock, LIST_DELIMITER,
};

use crate::app::{App, Settings, Terms};
use crate::approvals::Act;
use crate::cli::Options;
use crate::connection::Connection;
use crate::desk;
use crate::keys::KeyRing;
use crate::login::{Login, LoginOptions};
use crate::mark::LogMark;
use crate::metrics::Metrics;
use crate::order_book::OrderBook;
use crate::ready;
use crate::routes::{self, Shared};
use crate::store::{Store, StoreError};

const DESCRIPTION: &str = "The authentication server of mHealth Chain: enrols devices and issues their authentication keys.";
/// How often expired rows are removed, and credentials read that others made.
const CLEANING: Duration = Duration::from_secs(60);
/// How often it is looked, while the node is away, how many orders wait and whether the study is there.
const LOOK: Duration = Duration::from_secs(5);

/// Options of the authentication server.
#[derive(Clone, Debug, clap::Args)]
pub struct AuthOptions {
    #[command(flatten)]
    #[allow(missing_docs)]
    // clap would take a doc comment here for the text above all options.
    pub chain: ChainOptions,

    /// Number of the study on the chain.
    #[arg(long, value_name = "NUMBER", env = "MHEALTH_STUDY")]
    pub study: Option<StudyId>,

    /// Base address of this server as devices and relays know it, such as `https://auth.example.org`, which is in every
    /// token and in every proof of possession that devices make for it. Default: the address that the server listens on, if
    /// that is one of this machine.
    #[arg(long, value_name = "URL", env = "MHEALTH_ISSUER")]
    pub issuer: Option<BaseAddress>,

    /// Base address of a relay of the study, as devices reach it and as the relay's own option --address has it. Tokens are
    /// good at these relays only, and devices get the list with them. May be given several times; in the environment
    /// separated by spaces.
    #[arg(
        long = "relay",
        value_name = "URL",
        env = "MHEALTH_RELAYS",
        value_delimiter = LIST_DELIMITER
    )]
    pub relays: Vec<BaseAddress>,

    /// Seconds that a token is valid.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_TOKEN_LIFETIME", default_value = "600",
        value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub token_lifetime: u64,

    /// Seconds that clocks of relays may be off, and that a device's clock may be off before the server has to give it a
    /// nonce.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_CLOCK_SKEW", default_value = "120",
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub clock_skew: u64,

    /// Seconds that a request waits for the chain before the client has to ask again.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_PATIENCE", default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,

    /// Secret under which signing keys are encrypted in the database. Default: the secret of the account.
    #[arg(
        long,
        value_name = "SECRET",
        env = "MHEALTH_AUTH_KEY",
        hide_env_values = true,
        conflicts_with = "key_secret_file"
    )]
    pub key_secret: Option<SecretText>,

    /// File that holds this secret. Nobody but its owner may be able to read it.
    #[arg(long, value_name = "FILE", env = "MHEALTH_AUTH_KEY_FILE")]
    pub key_secret_file: Option<PathBuf>,

    /// File in which the server keeps how far the log has come, by which it knows an old copy of the database that somebody put
    /// back by hand. Default with SQLite: the database's name and `.mark`. With PostgreSQL there is none unless it is named here;
    /// each process has its own.
    #[arg(long, value_name = "FILE", env = "MHEALTH_LOG_MARK")]
    pub log_mark: Option<PathBuf>,

    /// What needs a second person with the same duty: the first one asks for it, the second one approves it within a day. May be
    /// given several times, or separated by commas.
    #[arg(
        long,
        value_name = "WHAT",
        env = "MHEALTH_SECOND_APPROVAL",
        value_delimiter = ','
    )]
    pub second_approval: Vec<Act>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub failures: FailureOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub login: LoginOptions,
}

impl AuthOptions {
    pub(crate) fn key_secret(&self) -> anyhow::Result<SecretText> {
        match (&self.key_secret, &self.key_secret_file) {
            (Some(secret), _) => Ok(secret.clone()),
            (None, Some(path)) => Ok(SecretText::from_file(path)?),
            (None, None) => self.chain.account_secret(),
        }
    }
}

/// Runs the server until it is told to stop.
pub async fn serve(
    server: &ServerOptions,
    auth: &AuthOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let prepared = prepare(server, auth, Arc::new(SystemClock), &stop).await?;
    prepared.serve(stop).await
}

/// Opens database and chain, sees that they belong together, and binds the address.
pub async fn prepare(
    server: &ServerOptions,
    auth: &AuthOptions,
    clock: SharedClock,
    stop: &CancellationToken,
) -> anyhow::Result<Server> {
    let study = auth
        .study
        .context("the server needs the number of its study: --study or MHEALTH_STUDY")?;
    auth.chain.check()?;
    let account = auth.chain.account()?;
    let ground = Ground::lay(server).await?;
    let store = Store::open(ground.database.clone()).await?;
    let chain = Connection::open(&auth.chain, store.chain().await?).await?;
    let genesis = chain.genesis();
    store.bind_to(&genesis, study).await?;
    let mark = match LogMark::place(auth.log_mark.as_deref(), &server.database_url()?) {
        Some(place) => Some(LogMark::check(&place, &store).await?),
        None => {
            tracing::warn!("an old copy of the database would not be noticed: give --log-mark");
            None
        }
    };
    if let Ok(client) = chain.client() {
        check_role(client, &account, study).await?;
    }

    let bound = server.bind().await?;
    let issuer = issuer(auth, &bound)?;
    let key_secret = auth.key_secret()?;
    let proofs = Proofs::new(
        vec![issuer.clone()],
        &key_secret,
        auth.clock_skew,
        clock.clone(),
    );
    let own = Key(account.public_key());
    let login = Login::from_options(&auth.login, &issuer, &key_secret)?;
    let failures = Failures::register(auth.failures, &ground.registry)?;
    let app = Arc::new(App {
        terms: terms(auth, &issuer, genesis, own, study),
        settings: RwLock::new(Arc::new(Settings::of(auth)?)),
        proofs,
        orders: OrderBook::new(store.clone()),
        keys: KeyRing::new(store.clone(), &key_secret),
        login,
        failed_logins: failures.apart(),
        failures,
        metrics: Metrics::register(&ground.registry)?,
        store,
        chain,
        clock,
        stop: stop.clone(),
    });
    let keys = app.keys.prepare(app.now()).await;
    keys.map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
    know_credentials(&app).await?;
    let shared = Shared::new(app.clone());
    let (public, staff) = routes::routers(shared.clone());
    let readiness = ready::parts(Readiness::register(&ground.registry)?, &app, server)?;
    let marked = app.store.clone();
    let marking = {
        let stop = stop.clone();
        async move {
            match mark {
                Some(mark) => mark.keep(marked, stop).await,
                None => stop.cancelled().await,
            }
        }
    };
    Ok(ground
        .server("mhealth-auth", DESCRIPTION, bound)
        .routes(public)
        .staff_routes(staff)
        .ready(move || {
            let readiness = readiness.clone();
            async move { readiness.look().await }
        })
        .staff(routes::STAFF)
        .machines(routes::RELAYS)
        .background("reloading", reload_settings(app.clone()))
        .background("desk", with_reserve(work(app, account)))
        .background("mark", marking)
        .background("cleaning", remove_expired(shared)))
}

fn issuer(auth: &AuthOptions, bound: &Bound) -> anyhow::Result<BaseAddress> {
    let named = auth.issuer.iter().cloned().collect();
    let mut known_as = bound.known_as(named, "--issuer")?.into_iter();
    known_as.next().context("the server has no address")
}

fn terms(
    auth: &AuthOptions,
    issuer: &BaseAddress,
    chain: Hash,
    server: Key,
    study: StudyId,
) -> Terms {
    Terms {
        issuer: issuer.to_string(),
        chain,
        server,
        study,
        token_lifetime: auth.token_lifetime,
        clock_skew: auth.clock_skew,
        patience: Duration::from_secs(auth.patience),
    }
}

/// Takes up what the options say otherwise when they are read anew.
async fn reload_settings(app: Arc<App>) {
    let stop = app.stop.clone();
    reload_until(stop, |options: Options| app.take_up(&options.auth)).await;
}

/// Does what is ordered on the chain, as soon as the node is there.
async fn work(app: Arc<App>, account: Account) {
    let chain = tokio::select! {
        biased;
        chain = reached(&app, &account) => chain,
        () = count_orders(&app) => None,
    };
    let Some(chain) = chain else { return };
    let options = SubmitterOptions {
        in_flight: desk::UNDER_WAY.into(),
        ..SubmitterOptions::default()
    };
    let submitter = chain.submitter_with(account, options);
    desk::work(app.clone(), submitter).await;
}

/// The chain with the study on it. A node that is late may not have come as far as that yet.
async fn reached<'a>(app: &'a App, account: &Account) -> Option<&'a ChainClient> {
    if let Ok(chain) = app.chain.client() {
        return Some(chain);
    }
    let chain = app.chain.wait(&app.stop).await?;
    tracing::info!("the node is there");
    while let Err(error) = check_role(chain, account, app.terms.study).await {
        tracing::error!(%error, "the account's role cannot be looked up; orders wait");
        tokio::select! {
            () = app.stop.cancelled() => return None,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    Some(chain)
}

/// Counts what waits while nothing is done of it.
async fn count_orders(app: &App) {
    loop {
        match app.store.count_pending_orders().await {
            Ok(pending) => app.metrics.orders_pending.set(pending),
            Err(error) => tracing::warn!(%error, "orders cannot be counted"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn check_role(chain: &ChainClient, account: &Account, study: StudyId) -> anyhow::Result<()> {
    let (_, view) = chain.at_finalised().await?;
    if view.study(study).await?.is_none() {
        bail!("the chain has no study {study}");
    }
    let servers = view.roster(study).await?.authentication_servers;
    if !servers.contains(&account.id()) {
        tracing::warn!(
            account = %account.id(),
            %study,
            "the account is no authentication server of the study yet; the sponsor has to add it"
        );
    }
    Ok(())
}

async fn remove_expired(shared: Shared) {
    let app = &shared.app;
    // Processes that were started together do not do so together.
    let mut pause = CLEANING.mul_f64(rand::random());
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        shared.forget();
        let (store, now) = (&app.store, app.now());
        if let Err(error) = store.forget_proofs(now).await {
            tracing::warn!(%error, "old proofs cannot be removed yet");
        }
        if let Err(error) = store.forget_sessions(now).await {
            tracing::warn!(%error, "old sessions cannot be removed yet");
        }
        if let Err(error) = store.end_approvals(now).await {
            tracing::warn!(%error, "requests for approval cannot be ended yet");
        }
        if let Err(error) = know_credentials(app).await {
            tracing::warn!(%error, "credentials that others made cannot be read yet");
        }
        pause = CLEANING;
    }
}

/// Who has a credential or a session is known before anybody comes with one: also if it was made by another process, or before
/// this one was started.
async fn know_credentials(app: &App) -> Result<(), StoreError> {
    let hashes = app.store.hashes_of_credentials(app.now()).await?;
    app.failures.know(hashes);
    Ok(())
}
