// SPDX-License-Identifier: Apache-2.0

//! Relays that bring the batches of an entry file: as fast as the node's pool empties, or at a given rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mhealth_chain_client::{ChainClient, H256};
use mhealth_runtime::{AccountId, Runtime};
use mhealth_testing::rpc::JsonRpc;
use sp_runtime::traits::{BlakeTwo256, Hash};
use tokio::sync::{mpsc, Semaphore};
use tokio::task::JoinHandle;

use crate::extrinsic::{send, Signer};
use crate::state::values;
use crate::tally::Sent;
use crate::workload::{EntryFile, RELAYS};

/// Entries that wait in the node's pool at least and at most, when they come as fast as it takes them. In between it is twice
/// as much as the fullest of the last blocks took: enough for the next block, even before anything is sent anew.
const WAITING: [usize; 2] = [65_536, 524_288];
/// How many of the last blocks that is about.
const BLOCKS: usize = 4;
/// How often the generator looks whether there is room again.
pub(crate) const LOOK: Duration = Duration::from_millis(40);

/// The relays at work.
pub(crate) struct Generator {
    rpc: JsonRpc,
    accounts: [AccountId; RELAYS],
    permits: Arc<Semaphore>,
    relays: [JoinHandle<Result<Signer>>; RELAYS],
    /// Batches that were let go.
    released: usize,
    /// Transactions of the relays' accounts that stood on the chain before.
    before: usize,
    /// How many stood there when this was looked at last.
    included: usize,
    /// How many each of the last blocks took.
    blocks: Vec<usize>,
    /// Entries of a batch.
    batch: usize,
    /// Entries a second, if not as many as possible.
    rate: Option<f64>,
    began: Instant,
}

impl Generator {
    /// Begins; what is sent, and when, goes into the channel.
    pub(crate) fn start(
        client: &ChainClient,
        rpc: &JsonRpc,
        relays: [Signer; RELAYS],
        file: &EntryFile,
        rate: Option<f64>,
        sent: &mpsc::UnboundedSender<Sent>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let accounts = relays.each_ref().map(|relay| relay.account().clone());
        let before = relays.iter().map(|relay| relay.nonce as usize).sum();
        let mut number = 0;
        let relays = relays.map(|signer| {
            let relay = Relay {
                client: client.clone(),
                signer,
                permits: permits.clone(),
                sent: sent.clone(),
            };
            let (file, place) = (file.clone(), number);
            number += 1;
            tokio::spawn(relay.bring(file, place))
        });
        Generator {
            rpc: rpc.clone(),
            accounts,
            permits,
            relays,
            released: 0,
            before,
            included: 0,
            blocks: Vec::new(),
            batch: (file.entries / file.batches.max(1)).max(1),
            rate,
            began: Instant::now(),
        }
    }

    /// Lets go what may be sent by now.
    pub(crate) async fn release(&mut self) -> Result<()> {
        let allowed = match self.rate {
            Some(rate) => (self.began.elapsed().as_secs_f64() * rate) as usize / self.batch,
            None => {
                let included = self.included().await?.saturating_sub(self.before);
                if included > self.included {
                    self.blocks.push(included - self.included);
                    self.included = included;
                }
                let fullest = self.blocks.iter().rev().take(BLOCKS).max().copied();
                let waiting = fullest.unwrap_or_default() * 2 * self.batch;
                included + waiting.clamp(WAITING[0], WAITING[1]) / self.batch
            }
        };
        self.permits
            .add_permits(allowed.saturating_sub(self.released));
        self.released = self.released.max(allowed);
        Ok(())
    }

    /// Whether all was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.relays.iter().all(JoinHandle::is_finished)
    }

    /// Gives the relays' accounts back, or says what went wrong.
    pub(crate) async fn end(self) -> Result<[Signer; RELAYS]> {
        let mut signers = Vec::with_capacity(RELAYS);
        for relay in self.relays {
            signers.push(relay.await.context("a relay broke off")??);
        }
        let signers: Result<[Signer; RELAYS], _> = signers.try_into();
        signers.ok().context("a relay is missing")
    }

    /// Transactions of the relays' accounts in the best block and before: of all accounts in the same block, so that what one
    /// block took is not seen in parts.
    async fn included(&self) -> Result<usize> {
        let accounts = self.accounts.iter();
        let keys: Vec<_> = accounts
            .map(frame_system::Account::<Runtime>::hashed_key_for)
            .collect();
        let mut included = 0;
        for account in values(&self.rpc, &keys).await? {
            let nonce = account
                .first_chunk()
                .context("an account begins with its nonce")?;
            included += u32::from_le_bytes(*nonce) as usize;
        }
        Ok(included)
    }
}

struct Relay {
    client: ChainClient,
    signer: Signer,
    permits: Arc<Semaphore>,
    sent: mpsc::UnboundedSender<Sent>,
}

impl Relay {
    /// Sends every batch that this relay serves, as it is let go.
    async fn bring(mut self, file: EntryFile, place: usize) -> Result<Signer> {
        for batch in file.batches()?.skip(place).step_by(RELAYS) {
            self.permits.acquire().await?.forget();
            let batch = batch?;
            let transaction = self.signer.batch(&batch);
            // Nobody listens any more after an error.
            let _ = self.sent.send(Sent {
                hash: H256(BlakeTwo256::hash(&transaction).0),
                at: Instant::now(),
                bytes: transaction.len(),
            });
            send(&self.client, &transaction).await?;
        }
        Ok(self.signer)
    }
}
