// SPDX-License-Identifier: Apache-2.0

//! Tells the desk that there is something to do, and those who wait what became of it.

use std::time::Duration;

use mhealth_api::Code;
use mhealth_server::{ApiError, CancellationToken};
use tokio::sync::{broadcast, Notify};

use crate::orders::Outcome;
use crate::store::Store;

/// How often an order that another process may be doing is looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// Finished orders that a waiting request may not have seen yet; whoever falls behind looks into the database.
const BACKLOG: usize = 1_024;

/// News of orders within this process.
pub struct OrderBook {
    store: Store,
    /// There is a new order.
    pub(crate) placed: Notify,
    finished: broadcast::Sender<u64>,
}

impl OrderBook {
    /// The orders of this store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            placed: Notify::new(),
            finished: broadcast::channel(BACKLOG).0,
        }
    }

    /// Makes this process look for orders. Call it once one is stored.
    pub fn wake(&self) {
        self.placed.notify_one();
    }

    /// Tells those who wait in this process that an order is finished.
    pub fn announce(&self, id: u64) {
        // Nobody may be waiting.
        let _ = self.finished.send(id);
    }

    /// Waits until it is known what became of an order, whichever process does it. `chain_unavailable` when that takes too
    /// long; the order stays.
    pub async fn outcome(
        &self,
        id: u64,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<Outcome, ApiError> {
        let mut finished = self.finished.subscribe();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if let Some(outcome) = self.store.outcome(id).await? {
                return Ok(outcome);
            }
            let news = async {
                loop {
                    match finished.recv().await {
                        Ok(other) if other != id => {}
                        _ => return,
                    }
                }
            };
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(GLANCE) => {}
                () = tokio::time::sleep_until(deadline) => return Err(Code::ChainUnavailable.into()),
                () = stop.cancelled() => return Err(Code::ShuttingDown.into()),
            }
        }
    }
}
