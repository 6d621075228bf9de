// SPDX-License-Identifier: Apache-2.0

//! From the store to the chain and back: submits what waits, and writes down what became of it.
//!
//! Of all processes on one database, the holder of the lease does so. A transaction is stored before it is sent, and only
//! sent again byte for byte. It ends in one of three ways, each told by finalised blocks alone: a block has it; its nonce
//! went to another; or the block came in which it is not valid any more. Only then may its runs go into another one.

mod fates;
mod following;
mod leader;
mod submitting;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use mhealth_server::SharedClock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Most runs of a batch, as on chain.
pub const MAX_BATCH_RUNS: u32 = 1_024;

/// How the outbox behaves.
#[derive(Clone, Copy, Debug)]
pub struct OutboxOptions {
    /// Most entries of one batch.
    pub max_batch_entries: u32,
    /// Most runs of one batch.
    pub max_batch_runs: u32,
    /// How long a batch may wait to be filled.
    pub gather: Duration,
    /// Most transactions that are on their way at a time.
    pub in_flight: usize,
    /// After how long a transaction that is in no block is handed to the node again.
    pub resend_after: Duration,
    /// How long the lease lasts without being renewed.
    pub lease: Duration,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            max_batch_entries: 4_096,
            max_batch_runs: MAX_BATCH_RUNS,
            gather: Duration::from_millis(250),
            in_flight: 32,
            resend_after: Duration::from_secs(6),
            lease: Duration::from_secs(6),
        }
    }
}

/// Why the outbox stopped for a moment.
#[derive(Debug, thiserror::Error)]
enum OutboxError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The node's history is not the one that was followed.
    #[error("the node has lost finalised blocks that were worked off here")]
    Diverged,
}

/// What all parts of the outbox share.
pub struct Outbox {
    store: Store,
    ledger: Arc<dyn Ledger>,
    directory: Directory,
    metrics: Metrics,
    clock: SharedClock,
    options: OutboxOptions,
    /// Notified when something new waits.
    stored: Arc<Notify>,
    /// Names this process among those that share the database.
    holder: String,
}

impl Outbox {
    /// An outbox that is not running yet.
    pub fn new(
        store: Store,
        ledger: Arc<dyn Ledger>,
        directory: Directory,
        metrics: Metrics,
        clock: SharedClock,
        options: OutboxOptions,
        stored: Arc<Notify>,
    ) -> Self {
        let holder = format!("{:032x}", rand::random::<u128>());
        Self {
            store,
            ledger,
            directory,
            metrics,
            clock,
            options,
            stored,
            holder,
        }
    }

    /// Submits and follows whenever this process holds the lease, until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let pause = (self.options.lease / 4).max(Duration::from_millis(10));
        while !stop.is_cancelled() {
            match self
                .store
                .take_lease(&self.holder, self.options.lease)
                .await
            {
                Ok(Some(lease)) => {
                    tracing::info!("this process submits");
                    self.metrics.leading(true);
                    self.directory.watch(true);
                    let ended = leader::Leader::new(&self, lease).lead(&stop).await;
                    self.directory.watch(false);
                    self.metrics.leading(false);
                    match ended {
                        Ok(()) => {
                            if let Err(error) = self.store.give_lease_back(lease).await {
                                tracing::warn!(%error, "the lease is not given back");
                            }
                            return;
                        }
                        Err(StoreError::Fenced) => {
                            tracing::info!("another process submits");
                        }
                        Err(error) => tracing::warn!(%error, "the outbox starts again"),
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be taken"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
