// SPDX-License-Identifier: Apache-2.0

//! Batches on their way to the node.

use mhealth_api::Hash;
use mhealth_chain_client::{PoolAnswer, PoolRefusal};
use tokio::time::Instant;

use super::leader::{Flight, Leader};
use super::OutboxError;
use crate::ledger::LedgerError;
use crate::store::{NewBatch, PendingRun};

impl Leader<'_> {
    /// Makes batches of what waits, stores each and then sends it.
    pub(super) async fn submit(&mut self) -> Result<(), OutboxError> {
        if self.is_ahead || self.winds_up {
            return Ok(());
        }
        while self.flights.len() < usize::from(self.outbox.options.in_flight) {
            let Some(runs) = self.next_runs().await? else {
                return Ok(());
            };
            let Some(nonce) = self.store_batch(runs).await? else {
                return Ok(());
            };
            self.send(nonce).await?;
        }
        Ok(())
    }

    /// The runs of the next batch; none if nothing waits, or too little so soon after the batch before.
    async fn next_runs(&self) -> Result<Option<Vec<PendingRun>>, OutboxError> {
        let limit = self.outbox.options.max_batch_runs;
        let mut runs = self.outbox.store.pending_runs(limit).await?;
        let waiting = runs.len();
        runs.truncate(self.fitting(&runs));
        let is_full = runs.len() < waiting || waiting == limit as usize;
        let wait = runs.is_empty() || (self.is_early() && !is_full);
        Ok((!wait).then_some(runs))
    }

    /// Signs a batch and stores it, and gives its nonce; none if a run has changed since it was read.
    async fn store_batch(&mut self, runs: Vec<PendingRun>) -> Result<Option<u64>, OutboxError> {
        let nonce = self.free_nonce();
        let runs = runs.into_iter().map(|run| (run.run, run.for_chain));
        let (runs, for_chain): (Vec<_>, Vec<_>) = runs.unzip();
        let signed = self.outbox.ledger.sign(for_chain, nonce).await?;
        let batch = NewBatch {
            hash: Hash(signed.hash.0),
            nonce,
            death: signed.death,
            bytes: signed.bytes,
        };
        let store = &self.outbox.store;
        let Some(batch) = store.store_batch(self.lease, batch, runs).await? else {
            return Ok(None);
        };
        tracing::debug!(nonce, runs = batch.runs.len(), "a batch is on its way");
        self.made_at = Some(Instant::now());
        let flight = Flight {
            batch,
            sent_at: None,
        };
        self.flights.insert(nonce, flight);
        Ok(Some(nonce))
    }

    /// Hands transactions over again that are in no block after a while. One that is in a block already, even if that is
    /// not final, is left alone: the node would call it outdated and turn it away for half an hour.
    pub(super) async fn send_again(&mut self) -> Result<(), OutboxError> {
        if self.winds_up {
            // The chain turns the former account away.
            return Ok(());
        }
        let patience = self.outbox.options.resend_after;
        let is_due = |flight: &Flight| flight.sent_at.is_none_or(|at| at.elapsed() >= patience);
        let mut due: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| is_due(flight))
            .map(|(nonce, _)| *nonce)
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let best = self.outbox.ledger.best_nonce().await?;
        due.retain(|nonce| *nonce >= best);
        for nonce in due {
            self.send(nonce).await?;
        }
        Ok(())
    }

    async fn send(&mut self, nonce: u64) -> Result<(), OutboxError> {
        let Some(flight) = self.flights.get_mut(&nonce) else {
            return Ok(());
        };
        flight.sent_at = None;
        // Another process may have seen that this one is dead, and put its runs into another.
        self.outbox.store.check_lease(self.lease).await?;
        match self
            .outbox
            .ledger
            .send(&flight.batch.transaction.bytes)
            .await
        {
            Ok(PoolAnswer::Taken) => flight.sent_at = Some(Instant::now()),
            Ok(PoolAnswer::Refused(refusal)) => {
                // Whatever the pool thinks of it, the bytes are valid until they expire, so nothing is given up here.
                flight.sent_at = Some(Instant::now());
                if refusal == PoolRefusal::TooHeavy {
                    self.room = (self.room / 2).max(1);
                }
                tracing::warn!(nonce, %refusal, "the node did not take a batch");
            }
            Ok(PoolAnswer::Unknown) => return Err(LedgerError::Interrupted.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether a batch was made so shortly before that the next one should wait to be filled.
    pub(super) fn is_early(&self) -> bool {
        let gather = self.outbox.options.gather;
        self.made_at
            .is_some_and(|made_at| made_at.elapsed() < gather)
    }

    /// How many of the runs go into one batch: at least one.
    fn fitting(&self, runs: &[PendingRun]) -> usize {
        let mut entries = 0;
        let fits = runs.iter().take_while(|pending| {
            entries += pending.run.entries;
            entries <= self.room
        });
        fits.count().max(1).min(runs.len())
    }

    /// The first nonce that neither the chain nor a transaction on its way has used.
    fn free_nonce(&self) -> u64 {
        let mut nonce = self.nonce;
        while self.flights.contains_key(&nonce) {
            nonce += 1;
        }
        nonce
    }
}
