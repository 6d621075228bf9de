// SPDX-License-Identifier: Apache-2.0

//! Follows what is under way until it is finalised: one follower for all transactions of a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use subxt::ext::codec::{Decode, Encode};
use subxt::tx::TransactionInvalid;
use subxt::utils::H256;
use tokio::sync::{mpsc, Mutex};
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};

use crate::connection::Connection;
use crate::error::Error;
use crate::follower::Follower;
use crate::pending::{Doubtful, PendingSet};
use crate::pool::{PoolAnswer, PoolRefusal};
use crate::signing::Checkpoint;
use crate::types::BlockId;

/// How often the tracker looks for transactions to send again.
const TICK: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });
/// How long the follower goes on when nothing is under way, so that the next transaction finds it running.
const LINGER: Duration = Duration::from_secs(10);
/// Finalised blocks for which one checkpoint serves to sign.
const CHECKPOINT_BLOCKS: u64 = 8;
/// The number of no block.
const NONE: u64 = u64::MAX;

/// The part of a client that looks after transactions under way. Its task ends by itself, when all clones of the tracker are
/// gone and nothing is under way any more.
#[derive(Clone)]
pub(crate) struct Tracker {
    connection: Connection,
    pending: PendingSet,
    wake: mpsc::Sender<()>,
    /// The finalised block that was looked through last; `NONE` while nobody follows.
    seen: Arc<AtomicU64>,
    checkpoint: Arc<Mutex<Option<Checkpoint>>>,
}

impl Tracker {
    pub(crate) fn start(connection: Connection) -> Self {
        let (wake, woken) = mpsc::channel(1);
        let tracker = Tracker {
            connection: connection.clone(),
            pending: PendingSet::default(),
            wake,
            seen: Arc::new(AtomicU64::new(NONE)),
            checkpoint: Arc::default(),
        };
        let (pending, seen) = (tracker.pending.clone(), tracker.seen.clone());
        tokio::spawn(run(connection, pending, woken, seen));
        tracker
    }

    pub(crate) fn pending(&self) -> &PendingSet {
        &self.pending
    }

    /// Something is under way.
    pub(crate) fn wake(&self) {
        // Whoever finds the channel full was called before the task has looked.
        let _ = self.wake.try_send(());
    }

    /// A recent finalised block to sign from.
    pub(crate) async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let mut slot = self.checkpoint.lock().await;
        let seen = self.seen.load(Ordering::Acquire);
        if let Some(checkpoint) = slot.as_ref() {
            if seen != NONE && seen < checkpoint.block.number + CHECKPOINT_BLOCKS {
                return Ok(checkpoint.clone());
            }
        }
        let checkpoint = Checkpoint::fetch(&self.connection).await?;
        Ok(slot.insert(checkpoint).clone())
    }

    /// The checkpoint turned out not to serve any more.
    pub(crate) async fn forget_checkpoint(&self) {
        *self.checkpoint.lock().await = None;
    }
}

async fn run(
    connection: Connection,
    pending: PendingSet,
    mut woken: mpsc::Receiver<()>,
    seen: Arc<AtomicU64>,
) {
    while !pending.is_empty() || woken.recv().await.is_some() {
        if let Err(error) = follow(&connection, &pending, &seen).await {
            tracing::warn!(%error, "stopped following the transactions under way");
            match error {
                // The node came back without its last blocks. What is under way can still be included, so look again
                // from the start.
                Error::Diverged { .. } => sleep(TICK).await,
                error => pending.fail_all(&error),
            }
        }
        seen.store(NONE, Ordering::Release);
    }
}

/// Follows finalised blocks until nothing has been under way for a while.
async fn follow(
    connection: &Connection,
    pending: &PendingSet,
    seen: &AtomicU64,
) -> Result<(), Error> {
    let Some(first) = pending.first_block() else {
        return Ok(());
    };
    let mut blocks = std::pin::pin!(Follower::new(connection.clone(), first).into_stream());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let mut busy = Instant::now();
    while busy.elapsed() < LINGER {
        tokio::select! {
            block = blocks.next() => match block {
                Some(Ok(block)) => {
                    pending.settle(&block);
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
            _ = tick.tick() => send_again(connection, pending).await?,
        }
        if let Some(block) = last {
            for doubtful in pending.doubtful(block.number) {
                resolve(connection, pending, doubtful, block).await?;
            }
        }
        if !pending.is_empty() {
            busy = Instant::now();
        }
    }
    Ok(())
}

/// Hands over again, byte for byte, what has not been seen in a block for a while.
async fn send_again(connection: &Connection, pending: &PendingSet) -> Result<(), Error> {
    let generation = connection.generation();
    for (hash, bytes) in pending.due(generation) {
        tracing::debug!(?hash, "handing the same transaction over again");
        let refusal = match connection.rpc().submit(&bytes).await? {
            PoolAnswer::Taken => None,
            PoolAnswer::Unknown => return Ok(()),
            PoolAnswer::Refused(
                PoolRefusal::PoolFull | PoolRefusal::TooMuchRefused | PoolRefusal::TooManyWaiting,
            ) => None,
            PoolAnswer::Refused(PoolRefusal::Banned) => why_invalid(connection, &bytes).await?,
            PoolAnswer::Refused(refusal) => Some(refusal),
        };
        match refusal {
            None => pending.sent(hash, generation),
            Some(refusal) => {
                let best = connection.best().await?.number;
                pending.doubt(hash, refusal, best, generation);
            }
        }
    }
    Ok(())
}

/// A pool bans what it removed without saying why, be it included or invalid. The runtime says.
async fn why_invalid(connection: &Connection, bytes: &[u8]) -> Result<Option<PoolRefusal>, Error> {
    const FUNCTION: &str = "TaggedTransactionQueue_validate_transaction";
    const EXTERNAL_SOURCE: u8 = 2;
    let best = connection.rpc().best_hash().await?;
    let mut arguments = vec![EXTERNAL_SOURCE];
    arguments.extend_from_slice(bytes);
    best.encode_to(&mut arguments);
    let answer = connection.rpc().call(FUNCTION, &arguments, best).await?;
    // Result<ValidTransaction, TransactionValidityError>: the second error, "unknown", decides nothing.
    match answer.as_slice() {
        [1, 0, reason @ ..] => TransactionInvalid::decode(&mut &reason[..])
            .map(|reason| Some(PoolRefusal::from_validity(&reason)))
            .map_err(|error| Error::protocol(FUNCTION, error)),
        _ => Ok(None),
    }
}

/// All blocks that the refusal could be about were looked through and the transaction is in none of them.
async fn resolve(
    connection: &Connection,
    pending: &PendingSet,
    doubtful: Doubtful,
    block: BlockId,
) -> Result<(), Error> {
    let Doubtful {
        hash,
        nonce,
        account,
        refusal,
    } = doubtful;
    if account_nonce(connection, &account.0, block.hash).await? > nonce {
        pending.fail(hash, Error::Superseded { hash, nonce });
    } else if refusal.is_about_the_nonce() {
        pending.trust(hash);
    } else {
        pending.fail(hash, Error::Refused(refusal));
    }
    Ok(())
}

async fn account_nonce(
    connection: &Connection,
    account: &[u8; 32],
    at: H256,
) -> Result<u64, Error> {
    const FUNCTION: &str = "AccountNonceApi_account_nonce";
    let answer = connection.rpc().call(FUNCTION, account, at).await?;
    let nonce = u32::decode(&mut &answer[..]).map_err(|error| Error::protocol(FUNCTION, error))?;
    Ok(nonce.into())
}
