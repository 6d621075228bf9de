// SPDX-License-Identifier: Apache-2.0

//! From the store to the chain and back: submits what waits, and writes down what became of it.
//!
//! Of all processes on one database, the holder of the lease does so. A transaction is stored before it is sent, and only
//! sent again byte for byte. It ends in one of three ways, each told by finalised blocks alone: a block has it; its nonce
//! went to another; or the block came in which it is not valid any more. Only then may its runs go into another one.
//!
//! # Why this is not the submitter of chain-client
//!
//! [`Submitter`](mhealth_chain_client::Submitter) does the same for programs that wait for the answer: it spends nonces,
//! signs with an era, hands the same bytes over again, and lets finalised blocks decide. What the two have in common is
//! in chain-client once: how to sign and when that expires
//! ([`SignedTransaction`](mhealth_chain_client::SignedTransaction)), how to hand over and what a pool says to it
//! ([`PoolAnswer`](mhealth_chain_client::PoolAnswer)), how to follow finalised blocks without a gap. Beyond that they keep the
//! truth in different places, memory and database, and so each step differs:
//!
//! - **Before sending.** A device has its 202 and does not ask again, so a transaction must outlive the process that signed
//!   it: bytes and runs are committed first. When a submitter's process dies, its caller is gone as well.
//! - **When a pool refuses.** A submitter whose first attempt is refused signs anew. Here a refusal
//!   decides nothing: an earlier process may have handed the same bytes to this node or to another, and who signed anew
//!   might bring the runs twice.
//! - **Who else sends.** A submitter asks the node for its nonce and counts on. Here several processes share one account:
//!   the nonce comes from finalised blocks and from what is stored, and the fence of the lease is checked before each send
//!   and locked in each write.
//! - **In the end.** A submitter gives the outcome to its caller and forgets it. Here outcomes are stored together with the
//!   number of their block, so that none is missed or read twice after a crash, and are taken back when a node has lost
//!   blocks that were final.
//!
//! One engine for both would have to be told each of these; the loop that is left over is shorter than that.

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

/// How the outbox behaves. What a relay does that is told nothing stands in its default alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxOptions {
    /// Most entries of one batch.
    pub max_batch_entries: u32,
    /// Most runs of one batch.
    pub max_batch_runs: u32,
    /// How long a batch may wait to be filled.
    pub gather: Duration,
    /// Most transactions that are on their way at a time.
    pub in_flight: u16,
    /// After how long a transaction that is in no block is handed to the node again.
    pub resend_after: Duration,
    /// How long the lease lasts without being renewed.
    pub lease: Duration,
    /// The account that the relay's took the place of, as the chain says: its database is taken over.
    pub former: Option<[u8; 32]>,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            max_batch_entries: 4_096,
            max_batch_runs: MAX_BATCH_RUNS,
            gather: Duration::from_millis(250),
            in_flight: 64,
            resend_after: Duration::from_secs(6),
            lease: Duration::from_secs(6),
            former: None,
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
                    let ended = leader::Leader::new(&self, lease).lead(&stop).await;
                    self.directory.watch(false);
                    self.metrics.leading(false);
                    // Who leads next knows that of its own node.
                    self.metrics.node_is_behind(0);
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
                        Err(error @ StoreError::Foreign { .. }) => {
                            tracing::error!(%error, "this process submits nothing any more");
                            // Whoever it belongs to now goes on.
                            let _ = self.store.give_lease_back(lease).await;
                            return;
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
