// SPDX-License-Identifier: Apache-2.0

//! The transactions that are under way: handed to the node, and neither finalised nor given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use subxt::utils::{AccountId32, H256};
use tokio::sync::{oneshot, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::block::FinalisedBlock;
use crate::nonce::Line;
use crate::submission::Outcome;
use crate::{Error, PoolRefusal};

/// One transaction under way.
pub(crate) struct Flight {
    pub(crate) hash: H256,
    pub(crate) nonce: u64,
    /// The signed bytes. Whatever happens, these and no others are sent again.
    pub(crate) bytes: Arc<[u8]>,
    /// The finalised block from which the era counts.
    pub(crate) birth: u64,
    /// Number of the first block in which the transaction is not valid any more.
    pub(crate) death: u64,
    pub(crate) line: Arc<Line>,
    pub(crate) answer: oneshot::Sender<Result<Outcome, Error>>,
    /// Counts against the limit of the account until the flight ends.
    pub(crate) permit: OwnedSemaphorePermit,
}

struct Aboard {
    flight: Flight,
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

/// A flight whose doubt can be settled now.
#[derive(Clone, Debug)]
pub(crate) struct Doubtful {
    pub(crate) hash: H256,
    pub(crate) nonce: u64,
    pub(crate) account: AccountId32,
    pub(crate) refusal: PoolRefusal,
}

/// All flights of one client, of whatever account.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    aboard: HashMap<H256, Aboard>,
    by_nonce: BTreeMap<([u8; 32], u64), H256>,
}

impl Flights {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics; qed")
    }

    /// Registers a transaction, before it is sent: its block may be finalised before the node's answer is read.
    pub(crate) fn board(&self, flight: Flight, generation: u64) {
        let mut inner = self.inner();
        let key = (flight.line.account().0, flight.nonce);
        inner.by_nonce.insert(key, flight.hash);
        let aboard = Aboard {
            sent: None,
            generation,
            doubt: None,
            flight,
        };
        inner.aboard.insert(aboard.flight.hash, aboard);
    }

    /// From now on it is looked after here: it was handed over, or at least may have been.
    pub(crate) fn sent(&self, hash: H256, generation: u64) {
        if let Some(aboard) = self.inner().aboard.get_mut(&hash) {
            aboard.sent = Some(Instant::now());
            aboard.generation = generation;
            aboard.doubt = None;
        }
    }

    /// The node refused it at the first attempt, so it is not under way. Gives its place in the line back.
    pub(crate) fn withdraw(&self, hash: H256) -> Option<OwnedSemaphorePermit> {
        self.inner().remove(hash).map(|flight| flight.permit)
    }

    pub(crate) fn has(&self, account: &AccountId32, nonce: u64) -> bool {
        self.inner().by_nonce.contains_key(&(account.0, nonce))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner().aboard.is_empty()
    }

    /// The first block that can include any of them.
    pub(crate) fn first_block(&self) -> Option<u64> {
        let inner = self.inner();
        let births = inner.aboard.values().map(|aboard| aboard.flight.birth);
        births.min().map(|birth| birth + 1)
    }

    /// Ends the flights that this block includes, and those that no later block can.
    pub(crate) fn land(&self, block: &FinalisedBlock) {
        let mut inner = self.inner();
        for extrinsic in &block.extrinsics {
            if let Some(flight) = inner.remove(extrinsic.hash) {
                let outcome = Outcome::of(block, extrinsic);
                if matches!(outcome, Err(Error::StatePruned { .. })) {
                    tracing::warn!(hash = ?extrinsic.hash, "included, but the node has dropped its events");
                }
                flight.end(outcome);
            }
        }
        let expired = inner.hashes(|aboard| block.number + 1 >= aboard.flight.death);
        for hash in expired {
            if let Some(flight) = inner.remove(hash) {
                flight.line.doubt();
                let death = flight.death;
                flight.end(Err(Error::Expired { hash, death }));
            }
        }
    }

    /// The flights to hand over again, in the order of their nonces: those that have waited for as long as their
    /// submitter wants, and all that went over an earlier connection.
    pub(crate) fn due(&self, generation: u64) -> Vec<(H256, Arc<[u8]>)> {
        let inner = self.inner();
        let hashes = inner.by_nonce.values();
        hashes
            .filter_map(|hash| inner.aboard.get(hash))
            .filter(|aboard| aboard.is_due(generation))
            .map(|aboard| (aboard.flight.hash, aboard.flight.bytes.clone()))
            .collect()
    }

    /// Remembers that the pool refused it when it was sent again.
    pub(crate) fn doubt(&self, hash: H256, refusal: PoolRefusal, best: u64, generation: u64) {
        if let Some(aboard) = self.inner().aboard.get_mut(&hash) {
            aboard.sent = Some(Instant::now());
            aboard.generation = generation;
            aboard.doubt = Some(Doubt { refusal, best });
        }
    }

    /// The doubts that can be settled once the blocks up to `finalised` were looked through.
    pub(crate) fn doubtful(&self, finalised: u64) -> Vec<Doubtful> {
        let inner = self.inner();
        let ripe = inner.aboard.values().filter_map(|aboard| {
            let doubt = aboard.doubt.as_ref()?;
            (doubt.best <= finalised).then(|| Doubtful {
                hash: aboard.flight.hash,
                nonce: aboard.flight.nonce,
                account: *aboard.flight.line.account(),
                refusal: doubt.refusal.clone(),
            })
        });
        ripe.collect()
    }

    /// The doubt was unfounded; it is still under way.
    pub(crate) fn trust(&self, hash: H256) {
        if let Some(aboard) = self.inner().aboard.get_mut(&hash) {
            aboard.doubt = None;
        }
    }

    /// Gives one up.
    pub(crate) fn fail(&self, hash: H256, error: Error) {
        if let Some(flight) = self.inner().remove(hash) {
            flight.line.doubt();
            flight.end(Err(error));
        }
    }

    /// Gives all up.
    pub(crate) fn fail_all(&self, error: &Error) {
        let mut inner = self.inner();
        for hash in inner.hashes(|_| true) {
            if let Some(flight) = inner.remove(hash) {
                flight.line.doubt();
                flight.end(Err(error.clone()));
            }
        }
    }
}

impl Inner {
    fn remove(&mut self, hash: H256) -> Option<Flight> {
        let flight = self.aboard.remove(&hash)?.flight;
        self.by_nonce
            .remove(&(flight.line.account().0, flight.nonce));
        Some(flight)
    }

    fn hashes(&self, which: impl Fn(&Aboard) -> bool) -> Vec<H256> {
        let chosen = self.aboard.values().filter(|aboard| which(aboard));
        chosen.map(|aboard| aboard.flight.hash).collect()
    }
}

impl Aboard {
    fn is_due(&self, generation: u64) -> bool {
        let patience = self.flight.line.options().resend_after;
        self.sent
            .is_some_and(|sent| self.generation != generation || sent.elapsed() >= patience)
    }
}

impl Flight {
    fn end(self, outcome: Result<Outcome, Error>) {
        // Nobody may be waiting any more; then the outcome is not wanted.
        let _ = self.answer.send(outcome);
    }
}
