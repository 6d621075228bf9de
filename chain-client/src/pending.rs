// SPDX-License-Identifier: Apache-2.0

//! The transactions that are under way: handed to the node, and neither finalised nor given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use subxt::utils::{AccountId32, H256};
use tokio::sync::{oneshot, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::block::FinalisedBlock;
use crate::error::Error;
use crate::nonce::NonceQueue;
use crate::pool::PoolRefusal;
use crate::submission::Inclusion;

/// One transaction under way.
pub(crate) struct Pending {
    pub(crate) hash: H256,
    pub(crate) nonce: u64,
    /// The signed bytes. Whatever happens, these and no others are sent again.
    pub(crate) bytes: Arc<[u8]>,
    /// The block from which the era counts.
    pub(crate) birth: u64,
    /// Number of the first block in which the transaction is not valid any more.
    pub(crate) death: u64,
    pub(crate) queue: Arc<NonceQueue>,
    /// After how long without a block it is handed over again.
    pub(crate) resend_after: Duration,
    pub(crate) answer: oneshot::Sender<Result<Inclusion, Error>>,
    /// Counts against the limit of the account for as long as it is under way.
    pub(crate) permit: OwnedSemaphorePermit,
}

struct Tracked {
    pending: Pending,
    /// When it was last handed to the node; none while the submitter itself is doing that for the first time.
    sent: Option<Instant>,
    /// The connection over which it was last handed over.
    generation: u64,
    doubt: Option<Doubt>,
}

/// The pool refused a transaction that was sent again. It may be in a block already, so this decides nothing until all
/// blocks up to the node's best one of that moment are finalised and were looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    refusal: PoolRefusal,
    best: u64,
}

/// A transaction whose doubt can be settled now.
#[derive(Clone, Debug)]
pub(crate) struct Doubtful {
    pub(crate) hash: H256,
    pub(crate) nonce: u64,
    pub(crate) account: AccountId32,
    pub(crate) refusal: PoolRefusal,
}

/// All transactions that one client has under way, of whatever account.
#[derive(Clone, Default)]
pub(crate) struct PendingSet(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    by_hash: HashMap<H256, Tracked>,
    by_nonce: BTreeMap<([u8; 32], u64), H256>,
}

impl PendingSet {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics; qed")
    }

    /// Registers a transaction, before it is sent: its block may be finalised before the node's answer is read.
    pub(crate) fn register(&self, pending: Pending, generation: u64) {
        let mut inner = self.inner();
        let key = (pending.queue.account().0, pending.nonce);
        inner.by_nonce.insert(key, pending.hash);
        let tracked = Tracked {
            sent: None,
            generation,
            doubt: None,
            pending,
        };
        inner.by_hash.insert(tracked.pending.hash, tracked);
    }

    /// From now on it is looked after here: it was handed over, or at least may have been.
    pub(crate) fn sent(&self, hash: H256, generation: u64) {
        if let Some(tracked) = self.inner().by_hash.get_mut(&hash) {
            tracked.sent = Some(Instant::now());
            tracked.generation = generation;
            tracked.doubt = None;
        }
    }

    /// The node refused it at the first attempt, so it is not under way. Gives its permit back.
    pub(crate) fn withdraw(&self, hash: H256) -> Option<OwnedSemaphorePermit> {
        self.inner().remove(hash).map(|pending| pending.permit)
    }

    pub(crate) fn has(&self, account: &AccountId32, nonce: u64) -> bool {
        self.inner().by_nonce.contains_key(&(account.0, nonce))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner().by_hash.is_empty()
    }

    /// The first block that can include any of them.
    pub(crate) fn first_block(&self) -> Option<u64> {
        let inner = self.inner();
        let births = inner.by_hash.values().map(|tracked| tracked.pending.birth);
        births.min().map(|birth| birth + 1)
    }

    /// Ends those that this block includes, and those that no later block can.
    pub(crate) fn settle(&self, block: &FinalisedBlock) {
        let mut inner = self.inner();
        for extrinsic in &block.extrinsics {
            if let Some(pending) = inner.remove(extrinsic.hash) {
                let outcome = Inclusion::of(block, extrinsic);
                if matches!(outcome, Err(Error::StatePruned { .. })) {
                    tracing::warn!(hash = ?extrinsic.hash, "included, but the node has dropped its events");
                }
                pending.end(outcome);
            }
        }
        let expired = inner.hashes(|tracked| block.number + 1 >= tracked.pending.death);
        for hash in expired {
            if let Some(pending) = inner.remove(hash) {
                pending.queue.doubt();
                let death = pending.death;
                pending.end(Err(Error::Expired { hash, death }));
            }
        }
    }

    /// Those to hand over again, in the order of their nonces: those that have waited for as long as their
    /// submitter wants, and all that went over an earlier connection.
    pub(crate) fn due(&self, generation: u64) -> Vec<(H256, Arc<[u8]>)> {
        let inner = self.inner();
        let hashes = inner.by_nonce.values();
        hashes
            .filter_map(|hash| inner.by_hash.get(hash))
            .filter(|tracked| tracked.is_due(generation))
            .map(|tracked| (tracked.pending.hash, tracked.pending.bytes.clone()))
            .collect()
    }

    /// Remembers that the pool refused it when it was sent again.
    pub(crate) fn doubt(&self, hash: H256, refusal: PoolRefusal, best: u64, generation: u64) {
        if let Some(tracked) = self.inner().by_hash.get_mut(&hash) {
            tracked.sent = Some(Instant::now());
            tracked.generation = generation;
            tracked.doubt = Some(Doubt { refusal, best });
        }
    }

    /// The doubts that can be settled once the blocks up to `finalised` were looked through.
    pub(crate) fn doubtful(&self, finalised: u64) -> Vec<Doubtful> {
        let inner = self.inner();
        let ripe = inner.by_hash.values().filter_map(|tracked| {
            let doubt = tracked.doubt.as_ref()?;
            (doubt.best <= finalised).then(|| Doubtful {
                hash: tracked.pending.hash,
                nonce: tracked.pending.nonce,
                account: *tracked.pending.queue.account(),
                refusal: doubt.refusal.clone(),
            })
        });
        ripe.collect()
    }

    /// The doubt was unfounded; it is still under way.
    pub(crate) fn trust(&self, hash: H256) {
        if let Some(tracked) = self.inner().by_hash.get_mut(&hash) {
            tracked.doubt = None;
        }
    }

    /// Gives one up.
    pub(crate) fn fail(&self, hash: H256, error: Error) {
        if let Some(pending) = self.inner().remove(hash) {
            pending.queue.doubt();
            pending.end(Err(error));
        }
    }

    /// Gives all up.
    pub(crate) fn fail_all(&self, error: &Error) {
        let mut inner = self.inner();
        for hash in inner.hashes(|_| true) {
            if let Some(pending) = inner.remove(hash) {
                pending.queue.doubt();
                pending.end(Err(error.clone()));
            }
        }
    }
}

impl Inner {
    fn remove(&mut self, hash: H256) -> Option<Pending> {
        let pending = self.by_hash.remove(&hash)?.pending;
        self.by_nonce
            .remove(&(pending.queue.account().0, pending.nonce));
        Some(pending)
    }

    fn hashes(&self, which: impl Fn(&Tracked) -> bool) -> Vec<H256> {
        let chosen = self.by_hash.values().filter(|tracked| which(tracked));
        chosen.map(|tracked| tracked.pending.hash).collect()
    }
}

impl Tracked {
    fn is_due(&self, generation: u64) -> bool {
        let patience = self.pending.resend_after;
        self.sent
            .is_some_and(|sent| self.generation != generation || sent.elapsed() >= patience)
    }
}

impl Pending {
    fn end(self, outcome: Result<Inclusion, Error>) {
        // Nobody may be waiting any more; then the outcome is not wanted.
        let _ = self.answer.send(outcome);
    }
}
