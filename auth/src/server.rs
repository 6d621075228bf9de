// SPDX-License-Identifier: Apache-2.0

//! How the server starts: options, database, chain, keys, routes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context};
use hashchain::StudyId;
use mhealth_api::{Hash, Key};
use mhealth_chain_client::{Account, ChainClient, SubmitterOptions};
use mhealth_server::startup::is_ready;
use mhealth_server::{
    Bound, CancellationToken, ChainOptions, Ground, SecretText, Server, ServerOptions, SharedClock,
    SystemClock, LIST_DELIMITER,
};

use crate::app::{hash, App, Terms};
use crate::desk;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::order_book::OrderBook;
use crate::routes::{self, Shared};
use crate::store::Store;

const DESCRIPTION: &str = "The authentication server of mHealth Chain: enrols devices and issues their authentication keys.";
/// How often expired rows are removed.
const CLEANING: Duration = Duration::from_secs(60);

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
    /// token. Default: the address that the server listens on.
    #[arg(long, value_name = "URL", env = "MHEALTH_ISSUER")]
    pub issuer: Option<String>,

    /// Base address of a relay of the study, which devices get with their tokens. May be given several times; in the
    /// environment separated by spaces.
    #[arg(
        long = "relay",
        value_name = "URL",
        env = "MHEALTH_RELAYS",
        value_delimiter = LIST_DELIMITER
    )]
    pub relays: Vec<String>,

    /// Seconds that a token is valid.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_TOKEN_LIFETIME", default_value = "600",
        value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub token_lifetime: u64,

    /// Seconds that a device's clock may be off.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_CLOCK_SKEW", default_value = "120",
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub clock_skew: u64,

    /// Seconds that a request waits for the chain before the client has to ask again.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_PATIENCE", default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,

    /// Requests per second from one address; ten times as many in a burst.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "MHEALTH_REQUESTS_PER_SECOND",
        default_value = "200"
    )]
    pub requests_per_second: NonZeroU32,

    /// Secret under which signing keys are encrypted in the database. Default: the secret of the account.
    #[arg(
        long,
        value_name = "SECRET",
        env = "MHEALTH_AUTH_KEY",
        hide_env_values = true
    )]
    pub key_secret: Option<SecretText>,
}

impl AuthOptions {
    fn key_secret(&self) -> anyhow::Result<SecretText> {
        match &self.key_secret {
            Some(secret) => Ok(secret.clone()),
            None => self.chain.account_secret(),
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
    let account = auth.chain.account()?;
    let ground = Ground::lay(server).await?;
    let store = Store::open(ground.database.clone()).await?;
    let chain = auth.chain.connect().await?;
    let genesis = hash(chain.genesis_hash());
    store.bind_to(&genesis, study).await?;
    check_role(&chain, &account, study).await?;

    let bound = server.bind().await?;
    let options = SubmitterOptions {
        in_flight: desk::UNDER_WAY.into(),
        ..SubmitterOptions::default()
    };
    let own = Key(account.public_key());
    let submitter = chain.submitter_with(account, options);
    let app = Arc::new(App {
        terms: terms(auth, &bound, genesis, own, study),
        orders: OrderBook::new(store.clone()),
        keys: KeyRing::new(store.clone(), &auth.key_secret()?),
        metrics: Metrics::register(&ground.registry)?,
        store,
        chain,
        clock,
        stop: stop.clone(),
    });
    let keys = app.keys.prepare(app.now()).await;
    keys.map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
    let shared = Shared::new(app.clone(), auth.requests_per_second);
    let ready = app.clone();
    Ok(ground
        .server("mhealth-auth", DESCRIPTION, bound)
        .routes(routes::router(shared.clone()))
        .ready(move || {
            let app = ready.clone();
            async move { is_ready(app.store.database(), app.chain.finalised()).await }
        })
        .background(desk::work(app, submitter))
        .background(remove_expired(shared)))
}

fn terms(auth: &AuthOptions, bound: &Bound, chain: Hash, server: Key, study: StudyId) -> Terms {
    let base = |url: &str| url.trim_end_matches('/').to_owned();
    Terms {
        issuer: base(&auth.issuer.clone().unwrap_or_else(|| bound.base_url())),
        chain,
        server,
        study,
        relays: auth.relays.iter().map(|relay| base(relay)).collect(),
        token_lifetime: auth.token_lifetime,
        clock_skew: auth.clock_skew,
        patience: Duration::from_secs(auth.patience),
    }
}

async fn check_role(chain: &ChainClient, account: &Account, study: StudyId) -> anyhow::Result<()> {
    let (_, view) = chain.at_finalised().await?;
    if view.study(study).await?.is_none() {
        bail!("the chain has no study {study}");
    }
    if !view.has_role(&account.id()).await? {
        tracing::warn!(
            account = %account.id(),
            "the account holds no role on this chain yet; the sponsor has to add it as an authentication server"
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
        if let Err(error) = app.store.forget_nonces(app.now()).await {
            tracing::warn!(%error, "old nonces cannot be removed yet");
        }
        pause = CLEANING;
    }
}
