// SPDX-License-Identifier: Apache-2.0

//! What an included batch did to each of its runs.

use std::collections::HashMap;

use mhealth_api::Refusal;
use mhealth_chain_client::{ChainEvent, Effect};

use super::leader::Leader;
use super::Trouble;
use crate::store::{Fate, LiveBatch, RunRef};

impl Leader<'_> {
    /// A fate for every run of the batch, in its order.
    pub(super) async fn fates(
        &self,
        batch: &LiveBatch,
        effect: Option<&Effect>,
    ) -> Result<Vec<(i64, Fate)>, Trouble> {
        let mut fates = Vec::with_capacity(batch.runs.len());
        let effect = match effect {
            Some(effect) => effect,
            None => {
                // The node has dropped the events. What stands registered tells who got through; the others get another
                // chance, and with it a reason.
                for run in &batch.runs {
                    let registered = self.is_registered(run).await? == Some(true);
                    let fate = if registered {
                        Fate::Registered
                    } else {
                        Fate::Again
                    };
                    fates.push((run.id, fate));
                }
                return Ok(fates);
            }
        };
        if let Err(refusal) = &effect.result {
            tracing::error!(refusal = refusal.name(), "the chain refused a whole batch");
            return Ok(batch.runs.iter().map(|run| (run.id, Fate::Again)).collect());
        }
        let (mut refused, mut known) = (HashMap::new(), HashMap::new());
        for event in &effect.events {
            match event {
                ChainEvent::RunRefused {
                    position, reason, ..
                } => {
                    refused.insert(*position, reason);
                }
                ChainEvent::RunAlreadyRecorded {
                    device,
                    sequence,
                    entries,
                } => {
                    *known.entry((*device, *sequence, *entries)).or_insert(0) += 1;
                }
                _ => {}
            }
        }
        for (run, position) in batch.runs.iter().zip(0..) {
            let fate = match refused.get(&position) {
                Some(reason) => self.fate_of_refused(run, reason).await?,
                None => match known.get_mut(&(run.device, run.sequence, run.entries)) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        Fate::RegisteredBefore
                    }
                    _ => Fate::Registered,
                },
            };
            fates.push((run.id, fate));
        }
        Ok(fates)
    }

    async fn fate_of_refused(&self, run: &RunRef, reason: &Refusal) -> Result<Fate, Trouble> {
        let why = reason.clone();
        Ok(match reason {
            Refusal::Fork | Refusal::PreviousIsNotHead => Fate::Conflicting(why),
            // The run was overtaken by others that were accepted before it, or they got through meanwhile.
            Refusal::Gap if self.can_be_bridged(run).await? => Fate::Again,
            Refusal::BeyondReach => match self.is_registered(run).await? {
                Some(true) => Fate::RegisteredBefore,
                Some(false) => Fate::Conflicting(why),
                None => Fate::Refused(why),
            },
            _ => Fate::Refused(why),
        })
    }

    async fn can_be_bridged(&self, run: &RunRef) -> Result<bool, Trouble> {
        if self
            .outbox
            .store
            .has_open_run_before(run.device, run.sequence)
            .await?
        {
            return Ok(true);
        }
        let device = self.outbox.ledger.device(run.device).await?;
        Ok(device.is_some_and(|(device, _)| device.length + 1 >= run.sequence))
    }

    /// Whether the chain has this run's last link at its place; none if it has nothing there to compare with.
    async fn is_registered(&self, run: &RunRef) -> Result<Option<bool>, Trouble> {
        let entries = self
            .outbox
            .ledger
            .entries(run.device, run.last(), 1)
            .await?;
        let entry = entries.first().filter(|entry| entry.sequence == run.last());
        Ok(entry.map(|entry| entry.hash.0 == run.head.0))
    }
}
