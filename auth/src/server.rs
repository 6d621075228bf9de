// SPDX-License-Identifier: Apache-2.0

//! How the server starts: options, database, chain, keys, routes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context};
use mhealth_api::Hash;
use mhealth_chain_client::{Account, ChainClient, Submitter, SubmitterOptions};
use mhealth_server::{
    install_crypto, Bound, CancellationToken, ChainOptions, Database, Server, ServerOptions,
    SharedClock, SystemClock,
};
use prometheus::Registry;
use rand::RngCore;

use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::office::{Office, Terms};
use crate::orders::OrderBook;
use crate::routes::{self, Shared};
use crate::{desk, schema, tokens};

const DESCRIPTION: &str = "The authentication server of mHealth Chain: enrols devices and issues their authentication keys.";
/// How often is tidied up.
const TIDYING: Duration = Duration::from_secs(60);

/// Options of the authentication server.
#[derive(Clone, Debug, clap::Args)]
pub struct AuthOptions {
    #[command(flatten)]
    #[allow(missing_docs)]
    // clap would take a doc comment here for the text above all options.
    pub chain: ChainOptions,

    /// Number of the study on the chain.
    #[arg(long, value_name = "NUMBER", env = "MHEALTH_STUDY")]
    pub study: Option<u32>,

    /// Base address of this server as devices and relays know it, such as `https://auth.example.org`. It stands in every
    /// token. Without it: the address that the server listens on.
    #[arg(long, value_name = "URL", env = "MHEALTH_ISSUER")]
    pub issuer: Option<String>,

    /// Base address of a relay of the study, which devices are told with their tokens. May be given several times.
    #[arg(
        long = "relay",
        value_name = "URL",
        env = "MHEALTH_RELAYS",
        value_delimiter = ','
    )]
    pub relays: Vec<String>,

    /// Seconds that a token is good.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_TOKEN_LIFETIME", default_value = "600",
        value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub token_lifetime: u64,

    /// Seconds that a device's clock may be off.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_CLOCK_SKEW", default_value = "120",
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub clock_skew: u64,

    /// Seconds that a request waits for the chain before it is told to ask again.
    #[arg(long, value_name = "SECONDS", env = "MHEALTH_PATIENCE", default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,

    /// Requests that one address may send each second; ten times as many at once.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "MHEALTH_REQUESTS_PER_SECOND",
        default_value = "200"
    )]
    pub requests_per_second: NonZeroU32,

    /// Secret under which signing keys are encrypted in the database. Without it, the secret of the account serves.
    #[arg(
        long,
        value_name = "SECRET",
        env = "MHEALTH_AUTH_KEY",
        hide_env_values = true
    )]
    pub key_secret: Option<mhealth_server::SecretText>,
}

/// Runs the server until it is told to stop.
pub async fn serve(
    server: &ServerOptions,
    auth: &AuthOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let prepared = Prepared::new(server, auth, Arc::new(SystemClock), stop).await?;
    prepared.serve().await
}

/// A server whose address is bound, and which has not begun to answer.
pub struct Prepared {
    bound: Bound,
    office: Arc<Office>,
    submitter: Submitter,
    registry: Registry,
    requests_per_second: NonZeroU32,
}

impl Prepared {
    /// Opens database and chain, and sees that they belong together.
    pub async fn new(
        server: &ServerOptions,
        auth: &AuthOptions,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        install_crypto();
        let study = auth
            .study
            .context("the server needs the number of its study: --study or MHEALTH_STUDY")?;
        let account = auth.chain.account()?;
        let database = Database::open(&server.database).await?;
        schema::migrate(&database).await?;
        let chain = auth.chain.connect().await?;
        let genesis = Hash(chain.genesis_hash().0);
        schema::claim(&database, genesis, study).await?;
        check_role(&chain, &account, study).await?;

        let bound = server.bind().await?;
        let registry = Registry::new();
        let secret = match &auth.key_secret {
            Some(secret) => secret.clone(),
            None => auth.chain.account_secret()?,
        };
        let options = SubmitterOptions {
            in_flight: desk::UNDER_WAY,
            ..SubmitterOptions::default()
        };
        let submitter = chain.submitter_with(account, options);
        let office = Arc::new(Office {
            terms: terms(auth, &bound, genesis, study),
            orders: OrderBook::new(database.clone()),
            keys: KeyRing::new(database.clone(), &secret),
            metrics: Metrics::register(&registry)?,
            database,
            chain,
            clock,
            stop,
        });
        let prepared = office.keys.prepare(office.now()).await;
        prepared.map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
        Ok(Self {
            bound,
            office,
            submitter,
            registry,
            requests_per_second: auth.requests_per_second,
        })
    }

    /// The server's base address as this machine reaches it.
    pub fn base_url(&self) -> String {
        self.bound.base_url()
    }

    /// Answers until the server is told to stop.
    pub async fn serve(self) -> anyhow::Result<()> {
        let office = self.office;
        let desk = tokio::spawn(desk::work(office.clone(), self.submitter));
        let shared = Shared::new(office.clone(), self.requests_per_second);
        let tidying = tokio::spawn(tidy(shared.clone()));
        let readiness = office.clone();
        let served = Server::new("mhealth-auth", DESCRIPTION, self.bound)
            .routes(routes::router(shared))
            .registry(self.registry)
            .ready(move || {
                let office = readiness.clone();
                async move {
                    office.database.check().await?;
                    office.chain.finalised().await?;
                    Ok(())
                }
            })
            .serve(office.stop.clone())
            .await;
        office.stop.cancel();
        tidying.abort();
        desk.await?;
        office.database.close().await;
        served
    }
}

fn terms(auth: &AuthOptions, bound: &Bound, chain: Hash, study: u32) -> Terms {
    let base = |url: &str| url.trim_end_matches('/').to_owned();
    Terms {
        issuer: base(&auth.issuer.clone().unwrap_or_else(|| bound.base_url())),
        chain,
        study,
        relays: auth.relays.iter().map(|relay| base(relay)).collect(),
        token_lifetime: auth.token_lifetime,
        clock_skew: auth.clock_skew,
        patience: Duration::from_secs(auth.patience),
    }
}

async fn check_role(chain: &ChainClient, account: &Account, study: u32) -> anyhow::Result<()> {
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

async fn tidy(shared: Shared) {
    // Processes that were started together do not tidy up together.
    let offset = u64::from(rand::rng().next_u32()) % TIDYING.as_secs();
    tokio::time::sleep(Duration::from_secs(offset)).await;
    loop {
        shared.forget();
        let office = &shared.office;
        if let Err(error) = tokens::forget_nonces(&office.database, office.now()).await {
            tracing::warn!(%error, "old nonces cannot be dropped yet");
        }
        tokio::time::sleep(TIDYING).await;
    }
}
