// SPDX-License-Identifier: Apache-2.0

//! What finalised blocks say.

use mhealth_api::{BlockRef, Hash};
use mhealth_chain_client::{Error, FinalisedBlock};

use super::leader::Leader;
use super::Trouble;
use crate::store::Settlement;

impl Leader<'_> {
    /// The latest block that both this database and the node have. What was written down of later ones is taken back:
    /// a node that was cut off from power, or restored from a copy, may have lost them.
    pub(super) async fn common_history(&self) -> Result<BlockRef, Trouble> {
        let (store, ledger) = (&self.outbox.store, &self.outbox.ledger);
        let Some(latest) = store.followed().await? else {
            // A new database: nothing of it can be in a block that is final already.
            let finalised = ledger.finalised().await?;
            store.settle(self.lease, finalised, &[]).await?;
            return Ok(finalised);
        };
        let finalised = ledger.finalised().await?;
        if finalised.number < latest.number
            && store.followed_at(finalised.number).await? == Some(finalised.hash)
        {
            // It may only lag. When it has caught up, the next block tells whether it is the same history.
            return Ok(latest);
        }
        let mut number = latest.number.min(finalised.number);
        let common = loop {
            let Some(known) = store.followed_at(number).await? else {
                tracing::error!(
                    number,
                    "the node's history is another one than was followed"
                );
                break BlockRef {
                    number,
                    hash: self.block_hash(number).await?,
                };
            };
            if self.block_hash(number).await? == known {
                break BlockRef {
                    number,
                    hash: known,
                };
            }
            match number.checked_sub(1) {
                Some(before) => number = before,
                None => {
                    break BlockRef {
                        number,
                        hash: self.block_hash(number).await?,
                    }
                }
            }
        };
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

    async fn block_hash(&self, number: u64) -> Result<Hash, Error> {
        let hash = self.outbox.ledger.block_hash(number).await?;
        hash.ok_or_else(|| Error::UnknownBlock {
            block: number.to_string(),
        })
    }

    /// Writes down what a finalised block did.
    pub(super) async fn work_off(&mut self, block: FinalisedBlock) -> Result<(), Trouble> {
        if block.parent_hash.0 != self.followed.hash.0 {
            return Err(Trouble::Diverged);
        }
        self.outbox.directory.observe(&block);
        let reference = BlockRef {
            number: block.number,
            hash: Hash(block.hash.0),
        };
        let mut settled = Vec::new();
        for extrinsic in &block.extrinsics {
            let hash = Hash(extrinsic.hash.0);
            let flight = self
                .flights
                .values()
                .find(|flight| flight.batch.transaction.hash == hash);
            if let Some(flight) = flight {
                let fates = self.fates(&flight.batch, extrinsic.effect.as_ref()).await?;
                let batch = flight.batch.id;
                let settlement = Settlement {
                    batch,
                    extrinsic: extrinsic.index,
                    fates,
                };
                settled.push((flight.batch.transaction.nonce, settlement));
            }
        }
        let settlements: Vec<_> = settled
            .iter()
            .map(|(_, settlement)| settlement.clone())
            .collect();
        self.outbox
            .store
            .settle(self.lease, reference, &settlements)
            .await?;
        self.followed = reference;
        self.is_ahead = false;
        self.outbox.metrics.followed(block.number);
        let now = self.outbox.clock.now_millis();
        for (nonce, settlement) in settled {
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
        self.bury_the_dead(reference).await
    }

    /// Gives up transactions that cannot get into a block any more.
    async fn bury_the_dead(&mut self, block: BlockRef) -> Result<(), Trouble> {
        let next = match self.outbox.ledger.nonce_after(block.hash).await {
            Ok(nonce) => nonce,
            // The node catches up and no longer keeps this state; the next block tells.
            Err(Error::StatePruned { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.nonce = self.nonce.max(next);
        let dead: Vec<_> = self
            .flights
            .iter()
            .filter(|(nonce, flight)| {
                **nonce < next || flight.batch.transaction.death <= block.number + 1
            })
            .map(|(nonce, flight)| (*nonce, flight.batch.id, flight.batch.transaction.death))
            .collect();
        for (nonce, batch, death) in dead {
            let why = if nonce < next {
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
            self.outbox.store.bury(self.lease, batch).await?;
            self.flights.remove(&nonce);
        }
        Ok(())
    }
}
