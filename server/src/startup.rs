// SPDX-License-Identifier: Apache-2.0

//! The way in which every server starts.

use std::future::Future;
use std::time::Duration;

use clap::Parser;
use mhealth_api::Code;
use prometheus::Registry;

use crate::{install_crypto, read_options, ApiError, Bound, Database, Server, ServerOptions};

/// How long the chain may take to answer when an operator asks whether a server is ready.
const READY_PATIENCE: Duration = Duration::from_secs(3);

/// The program of a server: reads its options, starts logging, and does the rest. Ends the process with a message when the
/// options are wrong.
pub async fn program<O, F>(run: impl FnOnce(O) -> F) -> anyhow::Result<()>
where
    O: Parser + AsRef<ServerOptions>,
    F: Future<Output = anyhow::Result<()>>,
{
    let options: O = read_options();
    options.as_ref().start_logging();
    run(options).await
}

/// What a server is built on.
pub struct Ground {
    /// Its database.
    pub database: Database,
    /// Its metrics.
    pub registry: Registry,
}

impl Ground {
    /// Opens the database.
    pub async fn lay(options: &ServerOptions) -> anyhow::Result<Self> {
        install_crypto();
        Ok(Self {
            database: Database::open(&options.database).await?,
            registry: Registry::new(),
        })
    }

    /// A server on this ground, without routes of its own.
    pub fn server(self, name: &'static str, description: &'static str, bound: Bound) -> Server {
        Server::new(name, description, bound)
            .registry(self.registry)
            .database(self.database)
    }
}

/// Whether database and chain answer. `chain` is any question to the chain.
pub async fn is_ready<T, E>(
    database: &Database,
    chain: impl Future<Output = Result<T, E>>,
) -> Result<(), ApiError> {
    database.check().await?;
    match tokio::time::timeout(READY_PATIENCE, chain).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Code::ChainUnavailable.into()),
    }
}
