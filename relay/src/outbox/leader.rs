// SPDX-License-Identifier: Apache-2.0

//! The process that holds the lease.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use mhealth_api::Hash;
use mhealth_chain_client::{Error, FinalisedBlock};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Outbox, OutboxError};
use crate::ledger::LedgerError;
use crate::store::{Lease, LiveBatch, StoreError};

/// How often the leader looks for work without being told to.
const TICK: Duration = Duration::from_millis(100);
/// How long it leaves a node alone that does not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// So many blocks it may be behind the node for a moment and is still told of every change soon: half a minute.
const NEAR: u64 = 15;

/// How often it looks, while the node lacks blocks that were followed, whether it has others.
const LOOK: Duration = Duration::from_secs(10);

pub(super) type Blocks = BoxStream<'static, Result<FinalisedBlock, LedgerError>>;

/// A transaction that may still get into a block.
pub(super) struct Flight {
    pub(super) batch: LiveBatch,
    /// When it was handed to the node last; none if it was not since this process leads, or the node has not answered.
    pub(super) sent_at: Option<Instant>,
}

pub(super) struct Leader<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) lease: Lease,
    /// By nonce.
    pub(super) flights: BTreeMap<u64, Flight>,
    /// The account's next nonce, finalised.
    pub(super) nonce: u64,
    /// The latest block that was worked off.
    pub(super) followed: mhealth_api::BlockRef,
    /// Number of the latest block that the node was seen to have finalised.
    pub(super) finalised: u64,
    /// Whether the node is not as far as that block, so that it may have lost some and nonces with them. Nothing new is
    /// signed meanwhile.
    pub(super) is_ahead: bool,
    /// Whether the transactions on their way are those of the account whose place this relay's took. Nothing is signed until
    /// the last of them is in a block or has expired.
    pub(super) winds_up: bool,
    /// When the latest batch was made.
    pub(super) made_at: Option<Instant>,
    /// Entries of a batch that the node has room for; less than configured after it said that one was too heavy.
    pub(super) room: u32,
}

impl<'a> Leader<'a> {
    pub(super) fn new(outbox: &'a Outbox, lease: Lease) -> Self {
        Self {
            outbox,
            lease,
            flights: BTreeMap::new(),
            nonce: 0,
            followed: mhealth_api::BlockRef {
                number: 0,
                hash: outbox.ledger.genesis(),
            },
            finalised: 0,
            is_ahead: false,
            winds_up: false,
            made_at: None,
            room: outbox.options.max_batch_entries,
        }
    }

    /// Leads until it is told to stop, or the store says that another process does.
    pub(super) async fn lead(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            let error = match self.begin().await {
                Ok(blocks) => match self.work(blocks, stop).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error {
                OutboxError::Store(error) => return Err(error),
                OutboxError::Diverged => tracing::warn!("{error}"),
                OutboxError::Ledger(error) => {
                    tracing::warn!(%error, code = error.code(), "the chain does not answer");
                    self.outbox.store.renew_lease(self.lease).await?;
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes up what the store says is on its way.
    async fn begin(&mut self) -> Result<Blocks, OutboxError> {
        // Of one moment: with the nonce of a history that the node has only begun, one could be signed that is spent in
        // the history that was followed. If the node loses this block meanwhile, it does not know its nonce any more.
        let finalised = self.outbox.ledger.finalised().await?;
        self.followed = self.common_history(finalised).await?;
        let live = self.outbox.store.live_batches().await?;
        self.flights = live
            .into_iter()
            .map(|batch| {
                (
                    batch.transaction.nonce,
                    Flight {
                        batch,
                        sent_at: None,
                    },
                )
            })
            .collect();
        self.nonce = self.outbox.ledger.nonce_after(finalised.hash).await?;
        self.winds_up = self.owner_is_former().await?;
        let behind = self.followed.number.saturating_sub(finalised.number);
        self.is_ahead = behind > 0;
        if !self.winds_up {
            self.compare_nonces().await?;
        }
        self.outbox.metrics.node_is_behind(behind);
        self.finalised = finalised.number;
        self.watch();
        Ok(self.outbox.ledger.follow(self.followed.number + 1))
    }

    /// Lets what is known of devices count for long where blocks tell of every change at once, and no longer than without them while
    /// old ones are worked off or the node lacks some.
    pub(super) fn watch(&self) {
        let behind = self.finalised.saturating_sub(self.followed.number);
        if self.is_ahead || behind > NEAR {
            self.outbox.directory.watch(false);
        } else if behind == 0 {
            self.outbox.directory.watch(true);
        }
    }

    /// Says so when the account has sent what this database does not know. A transaction is stored before it is sent, so then the
    /// database is an old copy, or somebody else has the account's secret.
    pub(super) async fn compare_nonces(&self) -> Result<(), OutboxError> {
        let next = self.outbox.store.next_nonce().await?;
        let unknown = next.map_or(0, |next| self.nonce.saturating_sub(next));
        self.outbox.metrics.unknown_transactions(unknown);
        if unknown > 0 {
            tracing::error!(
                unknown,
                "the account has sent transactions that are not in this database: it is an old copy, or somebody else has the \
                 account's secret"
            );
        }
        Ok(())
    }

    /// Whether the database is still that of the account whose place this relay's took; an error if it is anybody else's, such
    /// as the account's that took the place of this one meanwhile.
    async fn owner_is_former(&self) -> Result<bool, StoreError> {
        let account = self.outbox.ledger.account();
        match self.outbox.store.account().await? {
            Some(owner) if owner == account => Ok(false),
            Some(owner) if Some(owner) == self.outbox.options.former => Ok(true),
            Some(owner) => Err(StoreError::Foreign {
                what: "account",
                found: Hash(owner).to_string(),
                expected: Hash(account).to_string(),
            }),
            None => Ok(false),
        }
    }

    /// Binds the database to this relay's account once nothing of the former one is on its way any more.
    async fn take_over(&mut self) -> Result<(), OutboxError> {
        let account = self.outbox.ledger.account();
        let is_over =
            self.flights.is_empty() && self.outbox.store.hand_over(self.lease, &account).await?;
        if is_over {
            tracing::info!("the database is taken over from the former account");
            self.winds_up = false;
        }
        Ok(())
    }

    async fn work(
        &mut self,
        mut blocks: Blocks,
        stop: &CancellationToken,
    ) -> Result<(), OutboxError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed_at = Instant::now();
        let mut looked_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                block = blocks.next() => match block {
                    Some(Ok(block)) => self.work_off(block).await?,
                    Some(Err(LedgerError::Client(Error::Diverged { .. }))) => return Err(OutboxError::Diverged),
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err(LedgerError::Interrupted.into()),
                },
                _ = tick.tick() => {
                    if renewed_at.elapsed() > self.outbox.options.lease / 3 {
                        self.outbox.store.renew_lease(self.lease).await?;
                        renewed_at = Instant::now();
                    }
                    if self.is_ahead && looked_at.elapsed() > LOOK {
                        looked_at = Instant::now();
                        let number = self.outbox.ledger.finalised().await?.number;
                        if self.shows_another(number).await? {
                            return Err(OutboxError::Diverged);
                        }
                    }
                    if self.winds_up {
                        self.take_over().await?;
                    }
                    self.send_again().await?;
                    self.submit().await?;
                }
                () = self.outbox.stored.notified() => if !self.is_early() {
                    self.submit().await?;
                },
            }
        }
    }
}
