// SPDX-License-Identifier: Apache-2.0

//! What an included batch did to each of its runs.

use std::collections::HashMap;

use hashchain::DeviceId;
use mhealth_api::Refusal;
use mhealth_chain_client::{ChainEvent, Effect};

use super::leader::Leader;
use super::OutboxError;
use crate::store::{Fate, LiveBatch, RunRef};

/// What the events of a batch say of its runs. Of those that no event names each was registered.
struct Told {
    /// By place in the batch.
    refused: HashMap<u32, Refusal>,
    /// How many were known already, by device, first sequence and number of entries.
    known: HashMap<(DeviceId, u64, u32), u32>,
}

impl Told {
    fn by(events: &[ChainEvent]) -> Self {
        let (mut refused, mut known) = (HashMap::new(), HashMap::new());
        for event in events {
            match event {
                ChainEvent::RunRefused {
                    position, reason, ..
                } => {
                    refused.insert(*position, reason.clone());
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
        Self { refused, known }
    }

    /// Whether an event says that such a run was known already. Each event says so of one run.
    fn takes_known(&mut self, run: &RunRef) -> bool {
        let left = self.known.get_mut(&(run.device, run.sequence, run.entries));
        match left {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Leader<'_> {
    /// A fate for every run of the batch, in its order.
    pub(super) async fn fates(
        &self,
        batch: &LiveBatch,
        effect: Option<&Effect>,
    ) -> Result<Vec<(i64, Fate)>, OutboxError> {
        let Some(effect) = effect else {
            return self.fates_without_events(batch).await;
        };
        if let Err(refusal) = &effect.result {
            tracing::error!(refusal = refusal.name(), "the chain refused a whole batch");
            return Ok(batch.runs.iter().map(|run| (run.id, Fate::Again)).collect());
        }
        let mut told = Told::by(&effect.events);
        let mut fates = Vec::with_capacity(batch.runs.len());
        for (run, position) in batch.runs.iter().zip(0..) {
            let fate = match told.refused.remove(&position) {
                Some(reason) => self.fate_of_refused(run, reason).await?,
                None if told.takes_known(run) => Fate::RegisteredBefore,
                None => Fate::Registered,
            };
            fates.push((run.id, fate));
        }
        Ok(fates)
    }

    /// The node has dropped the events. What stands registered tells who got through; the others get another chance,
    /// and with it a reason.
    async fn fates_without_events(
        &self,
        batch: &LiveBatch,
    ) -> Result<Vec<(i64, Fate)>, OutboxError> {
        let mut fates = Vec::with_capacity(batch.runs.len());
        for run in &batch.runs {
            let fate = if self.is_registered(run).await? == Some(true) {
                Fate::Registered
            } else {
                Fate::Again
            };
            fates.push((run.id, fate));
        }
        Ok(fates)
    }

    async fn fate_of_refused(&self, run: &RunRef, reason: Refusal) -> Result<Fate, OutboxError> {
        Ok(match reason {
            Refusal::Fork | Refusal::PreviousIsNotHead => Fate::Conflicting(reason),
            // The run was overtaken by others that were accepted before it, or they got through meanwhile.
            Refusal::Gap if self.can_be_bridged(run).await? => Fate::Again,
            Refusal::BeyondReach => match self.is_registered(run).await? {
                Some(true) => Fate::RegisteredBefore,
                Some(false) => Fate::Conflicting(reason),
                None => Fate::Refused(reason),
            },
            _ => Fate::Refused(reason),
        })
    }

    async fn can_be_bridged(&self, run: &RunRef) -> Result<bool, OutboxError> {
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
    async fn is_registered(&self, run: &RunRef) -> Result<Option<bool>, OutboxError> {
        let entries = self
            .outbox
            .ledger
            .entries(run.device, run.last(), 1)
            .await?;
        let entry = entries.first().filter(|entry| entry.sequence == run.last());
        Ok(entry.map(|entry| entry.hash == run.head))
    }
}
