// SPDX-License-Identifier: Apache-2.0

//! Follows what is under way until it is finalised: one follower for all transactions of a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use subxt::ext::codec::{Decode, Encode};
use subxt::tx::TransactionInvalid;
use subxt::utils::H256;
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};

use crate::client::WeakClient;
use crate::flights::{Doubtful, Flights};
use crate::rpc::Handed;
use crate::runtime::Runtime;
use crate::types::BlockId;
use crate::{ChainClient, Error, PoolRefusal};

/// How often the tracker looks for transactions to send again.
const TICK: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });
/// How long the follower goes on when nothing is under way, so that the next transaction finds it running.
const LINGER: Duration = Duration::from_secs(10);
/// Finalised blocks for which one checkpoint serves to sign.
const CHECKPOINT_BLOCKS: u64 = 8;
/// The number of no block.
const NONE: u64 = u64::MAX;

/// From where transactions count their era, and the runtime that they are signed for.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    pub(crate) block: BlockId,
    pub(crate) runtime: Runtime,
}

impl Checkpoint {
    pub(crate) async fn fetch(client: &ChainClient) -> Result<Self, Error> {
        let block = client.finalised().await?;
        // The pool checks the version at the best block, which may be past an upgrade that is not finalised yet.
        let best = client.rpc().best_hash().await?;
        let runtime = client.runtime(best).await?;
        Ok(Checkpoint { block, runtime })
    }
}

/// The part of a client that looks after transactions under way.
#[derive(Clone)]
pub(crate) struct Tracker(Arc<Shared>);

struct Shared {
    flights: Flights,
    wake: Arc<Notify>,
    /// The finalised block that was looked through last; `NONE` while nobody follows.
    seen: Arc<AtomicU64>,
    checkpoint: Mutex<Option<Checkpoint>>,
    task: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tracker {
    pub(crate) fn start(client: &ChainClient) -> Self {
        let flights = Flights::default();
        let wake = Arc::new(Notify::new());
        let seen = Arc::new(AtomicU64::new(NONE));
        let task = tokio::spawn(run(
            client.downgrade(),
            flights.clone(),
            wake.clone(),
            seen.clone(),
        ));
        Tracker(Arc::new(Shared {
            flights,
            wake,
            seen,
            checkpoint: Mutex::default(),
            task: task.abort_handle(),
        }))
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.0.flights
    }

    /// Something is under way.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// A recent finalised block to sign from.
    pub(crate) async fn checkpoint(&self, client: &ChainClient) -> Result<Checkpoint, Error> {
        let mut slot = self.0.checkpoint.lock().await;
        let seen = self.0.seen.load(Ordering::Acquire);
        if let Some(checkpoint) = slot.as_ref() {
            if seen != NONE && seen < checkpoint.block.number + CHECKPOINT_BLOCKS {
                return Ok(checkpoint.clone());
            }
        }
        Ok(slot.insert(Checkpoint::fetch(client).await?).clone())
    }

    /// The checkpoint turned out not to serve any more.
    pub(crate) async fn forget_checkpoint(&self) {
        *self.0.checkpoint.lock().await = None;
    }
}

async fn run(client: WeakClient, flights: Flights, wake: Arc<Notify>, seen: Arc<AtomicU64>) {
    loop {
        if flights.is_empty() {
            wake.notified().await;
        }
        let Some(client) = client.upgrade() else {
            flights.fail_all(&Error::Closed);
            return;
        };
        if let Err(error) = voyage(&client, &flights, &seen).await {
            tracing::warn!(%error, "stopped following the transactions under way");
            match error {
                // The node came back without its last blocks. What is under way can still be included, so look again
                // from the start.
                Error::Diverged { .. } => sleep(TICK).await,
                error => flights.fail_all(&error),
            }
        }
        seen.store(NONE, Ordering::Release);
    }
}

/// Follows finalised blocks until nothing has been under way for a while.
async fn voyage(client: &ChainClient, flights: &Flights, seen: &AtomicU64) -> Result<(), Error> {
    let Some(first) = flights.first_block() else {
        return Ok(());
    };
    let mut blocks = std::pin::pin!(client.follow_from(first).into_stream());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let mut busy = Instant::now();
    while busy.elapsed() < LINGER {
        tokio::select! {
            block = blocks.next() => match block {
                Some(Ok(block)) => {
                    flights.land(&block);
                    seen.store(block.number, Ordering::Release);
                    last = Some(BlockId { number: block.number, hash: block.hash });
                }
                // A node that lost its last blocks when it was killed makes others in their place.
                Some(Err(error @ Error::UnknownBlock { .. })) => {
                    tracing::warn!(%error, "the node has gone back; waiting for it");
                    sleep(TICK).await;
                }
                Some(Err(error)) => return Err(error),
                None => return Err(Error::Closed),
            },
            _ = tick.tick() => send_again(client, flights).await?,
        }
        if let Some(block) = last {
            for doubtful in flights.doubtful(block.number) {
                settle(client, flights, doubtful, block).await?;
            }
        }
        if !flights.is_empty() {
            busy = Instant::now();
        }
    }
    Ok(())
}

/// Hands over again, byte for byte, what has not been seen in a block for a while.
async fn send_again(client: &ChainClient, flights: &Flights) -> Result<(), Error> {
    let generation = client.generation().current();
    for (hash, bytes) in flights.due(generation) {
        tracing::debug!(?hash, "handing the same transaction over again");
        let refusal = match client.rpc().submit(&bytes).await? {
            Handed::Taken => None,
            Handed::Unknown => return Ok(()),
            Handed::Refused(PoolRefusal::PoolFull) => None,
            Handed::Refused(PoolRefusal::Banned) => why_invalid(client, &bytes).await?,
            Handed::Refused(refusal) => Some(refusal),
        };
        match refusal {
            None => flights.sent(hash, generation),
            Some(refusal) => {
                let best = client.rpc().best_number().await?;
                flights.doubt(hash, refusal, best, generation);
            }
        }
    }
    Ok(())
}

/// A pool bans what it removed without saying why, be it included or invalid. The runtime says.
async fn why_invalid(client: &ChainClient, bytes: &[u8]) -> Result<Option<PoolRefusal>, Error> {
    const FUNCTION: &str = "TaggedTransactionQueue_validate_transaction";
    const EXTERNAL_SOURCE: u8 = 2;
    let best = client.rpc().best_hash().await?;
    let mut arguments = vec![EXTERNAL_SOURCE];
    arguments.extend_from_slice(bytes);
    best.encode_to(&mut arguments);
    let answer = client.rpc().call(FUNCTION, &arguments, best).await?;
    // Result<ValidTransaction, TransactionValidityError>: the second error, "unknown", decides nothing.
    match answer.as_slice() {
        [1, 0, reason @ ..] => TransactionInvalid::decode(&mut &reason[..])
            .map(|reason| Some(PoolRefusal::from_validity(&reason)))
            .map_err(|error| Error::protocol(FUNCTION, error)),
        _ => Ok(None),
    }
}

/// All blocks that the refusal could be about were looked through and the transaction is in none of them.
async fn settle(
    client: &ChainClient,
    flights: &Flights,
    doubtful: Doubtful,
    block: BlockId,
) -> Result<(), Error> {
    let Doubtful {
        hash,
        nonce,
        account,
        refusal,
    } = doubtful;
    if account_nonce(client, &account.0, block.hash).await? > nonce {
        flights.fail(hash, Error::Superseded { hash, nonce });
    } else if refusal.is_about_the_nonce() {
        flights.trust(hash);
    } else {
        flights.fail(hash, Error::Refused(refusal));
    }
    Ok(())
}

async fn account_nonce(client: &ChainClient, account: &[u8; 32], at: H256) -> Result<u64, Error> {
    const FUNCTION: &str = "AccountNonceApi_account_nonce";
    let answer = client.rpc().call(FUNCTION, account, at).await?;
    let nonce = u32::decode(&mut &answer[..]).map_err(|error| Error::protocol(FUNCTION, error))?;
    Ok(nonce.into())
}
