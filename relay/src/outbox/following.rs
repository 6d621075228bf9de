// SPDX-License-Identifier: Apache-2.0

//! What finalised blocks say.

use mhealth_api::{BlockRef, Hash};
use mhealth_chain_client::{Error, FinalisedBlock};

use super::leader::Leader;
use super::OutboxError;
use crate::ledger::LedgerError;
use crate::store::Settlement;

impl Leader<'_> {
    /// The latest block that both this database and the node have, which has finalised so far. What was written down of
    /// later ones is taken back: a node that was cut off from power, or restored from a copy, may have lost them.
    pub(super) async fn common_history(
        &self,
        finalised: BlockRef,
    ) -> Result<BlockRef, OutboxError> {
        let store = &self.outbox.store;
        let Some(latest) = store.followed().await? else {
            // A new database: nothing of it can be in a block that is final already.
            store.settle(self.lease, finalised, &[]).await?;
            return Ok(finalised);
        };
        if finalised.number < latest.number {
            // It may only lag, by however much. When it has caught up, the next block tells whether it is the same history.
            if !self.shows_another(finalised.number).await? {
                return Ok(latest);
            }
        }
        let common = self
            .latest_common(latest.number.min(finalised.number))
            .await?;
        if common != latest {
            tracing::warn!(
                from = latest.number,
                to = common.number,
                "taking back what lost blocks did"
            );
            store.roll_back(self.lease, common.number).await?;
            store.settle(self.lease, common, &[]).await?;
        }
        Ok(common)
    }

    /// Whether the node, which has come this far, has another block in the place of the latest one up to there that is remembered.
    pub(super) async fn shows_another(&self, number: u64) -> Result<bool, OutboxError> {
        let Some(known) = self.outbox.store.followed_up_to(number).await? else {
            return Ok(false);
        };
        let hash = self.outbox.ledger.block_hash(known.number).await?;
        Ok(hash.is_some_and(|hash| hash != known.hash))
    }

    /// The latest block up to a number that is remembered and that the node has as it was followed. If it has none of those, the
    /// one before them, as the node has it.
    async fn latest_common(&self, mut number: u64) -> Result<BlockRef, OutboxError> {
        loop {
            let known = self.outbox.store.followed_up_to(number).await?;
            let at = known.map_or(number, |known| known.number);
            let hash = self.outbox.ledger.block_hash(at).await?;
            let hash = hash.ok_or(LedgerError::NoBlock(at))?;
            if known.is_none() {
                tracing::error!(
                    number,
                    "the node's history is another one than was followed"
                );
            }
            if at == 0 || known.is_none_or(|known| known.hash == hash) {
                return Ok(BlockRef { number: at, hash });
            }
            number = at - 1;
        }
    }

    /// Writes down what a finalised block did.
    pub(super) async fn work_off(&mut self, block: FinalisedBlock) -> Result<(), OutboxError> {
        if block.parent_hash.0 != self.followed.hash.0 {
            return Err(OutboxError::Diverged);
        }
        self.outbox.directory.observe(&block);
        let reference = BlockRef {
            number: block.number,
            hash: Hash(block.hash.0),
        };
        let (nonces, settlements) = self.settlements(&block).await?;
        self.outbox
            .store
            .settle(self.lease, reference, &settlements)
            .await?;
        self.followed = reference;
        let has_caught_up = std::mem::take(&mut self.is_ahead);
        self.outbox.metrics.followed(block.number);
        let now = self.outbox.clock.now_millis();
        for (nonce, settlement) in nonces.into_iter().zip(settlements) {
            let Some(flight) = self.flights.remove(&nonce) else {
                continue;
            };
            for (run, (_, fate)) in flight.batch.runs.iter().zip(&settlement.fates) {
                self.outbox.metrics.settled(run, fate, now);
            }
            tracing::info!(
                block = block.number,
                nonce,
                runs = settlement.fates.len(),
                "a batch is finalised"
            );
        }
        self.discard_dead(reference).await?;
        if has_caught_up && !self.winds_up {
            // What was asked of the node before was asked of an old state.
            self.compare_nonces().await?;
        }
        if self.followed.number >= self.finalised {
            self.finalised = self.outbox.ledger.finalised().await?.number;
        }
        self.watch();
        Ok(())
    }

    /// What a block did to the batches on their way that it has: their nonces, and for each its settlement.
    async fn settlements(
        &self,
        block: &FinalisedBlock,
    ) -> Result<(Vec<u64>, Vec<Settlement>), OutboxError> {
        let (mut nonces, mut settlements) = (Vec::new(), Vec::new());
        let mut settled_at = None;
        for extrinsic in &block.extrinsics {
            let mut batches = self.flights.values().map(|flight| &flight.batch);
            let batch = batches.find(|batch| batch.transaction.hash.0 == extrinsic.hash.0);
            if let Some(batch) = batch {
                let fates = self.fates(batch, extrinsic.effect.as_ref()).await?;
                let now = match settled_at {
                    Some(now) => now,
                    None => self.later_time().await?,
                };
                settled_at = Some(now);
                nonces.push(batch.transaction.nonce);
                settlements.push(Settlement {
                    batch: batch.id,
                    extrinsic: extrinsic.index,
                    settled_at: now,
                    fates,
                });
            }
        }
        Ok((nonces, settlements))
    }

    /// The later of what this machine's clock says and the chain, in milliseconds since 1970: what is settled by a clock that
    /// is behind would be too old as soon as the clock is set right.
    async fn later_time(&self) -> Result<u64, LedgerError> {
        let own = self.outbox.clock.now_millis();
        let chain = self.outbox.ledger.finalised_time().await?;
        Ok(chain.map_or(own, |chain| own.max(chain.saturating_mul(1_000))))
    }

    /// Gives up transactions that cannot get into a block any more.
    async fn discard_dead(&mut self, block: BlockRef) -> Result<(), OutboxError> {
        let next = match self.outbox.ledger.nonce_after(block.hash).await {
            Ok(nonce) => nonce,
            // The node catches up and no longer keeps this state; the next block tells.
            Err(LedgerError::Client(Error::StatePruned { .. })) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.nonce = self.nonce.max(next);
        let dead: Vec<_> = self
            .flights
            .iter()
            .filter(|(nonce, flight)| {
                // Of a former account only time tells: the nonces are this one's.
                let is_spent = **nonce < next && !self.winds_up;
                is_spent || flight.batch.transaction.death <= block.number + 1
            })
            .map(|(nonce, flight)| (*nonce, flight.batch.id, flight.batch.transaction.death))
            .collect();
        for (nonce, batch, death) in dead {
            let why = if nonce < next && !self.winds_up {
                "its nonce went to another"
            } else {
                "it expired"
            };
            tracing::warn!(
                nonce,
                death,
                why,
                "a batch never will be included; its runs wait again"
            );
            self.outbox.store.discard(self.lease, batch).await?;
            self.flights.remove(&nonce);
        }
        Ok(())
    }
}
