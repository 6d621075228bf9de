// SPDX-License-Identifier: Apache-2.0

//! The queue in which one account's transactions wait for their nonces, so that none is given twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use subxt::utils::AccountId32;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::rpc::Rpc;

/// What all submitters of one account share.
pub(crate) struct NonceQueue {
    account: AccountId32,
    counter: Mutex<Counter>,
    /// Set when something happened to an earlier transaction that makes the local count doubtful.
    doubtful: AtomicBool,
    room: Arc<Semaphore>,
}

/// The next nonce as counted here; none when the node has to be asked.
#[derive(Debug, Default)]
pub(crate) struct Counter(Option<u64>);

impl NonceQueue {
    fn new(account: AccountId32, in_flight: usize) -> Self {
        NonceQueue {
            account,
            counter: Mutex::default(),
            doubtful: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(in_flight.max(1))),
        }
    }

    pub(crate) fn account(&self) -> &AccountId32 {
        &self.account
    }

    /// Waits until fewer transactions are under way than the limit.
    pub(crate) async fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        let room = self.room.clone().acquire_owned().await;
        room.map_err(|_| Error::Closed)
    }

    /// Waits until it is this caller's turn to take a nonce and send.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, Counter> {
        let mut counter = self.counter.lock().await;
        if self.doubtful.swap(false, Ordering::AcqRel) {
            counter.forget();
        }
        counter
    }

    /// Makes the next caller ask the node for the nonce.
    pub(crate) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
    }
}

impl Counter {
    /// The nonce for the next transaction: the one counted here, or else the node's answer, skipping those that are
    /// under way, which the node may have lost with its pool.
    pub(crate) async fn next(
        &mut self,
        rpc: &Rpc,
        account: &AccountId32,
        under_way: impl Fn(u64) -> bool,
    ) -> Result<u64, Error> {
        let mut nonce = match self.0 {
            Some(nonce) => nonce,
            None => rpc.next_index(account).await?,
        };
        while under_way(nonce) {
            nonce += 1;
        }
        self.0 = Some(nonce);
        Ok(nonce)
    }

    /// This nonce was given to a transaction that may be included.
    pub(crate) fn spent(&mut self, nonce: u64) {
        self.0 = Some(nonce + 1);
    }

    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }
}

/// The queues of a client's accounts, each for as long as somebody uses it.
#[derive(Default)]
pub(crate) struct NonceQueues(std::sync::Mutex<HashMap<[u8; 32], Weak<NonceQueue>>>);

impl NonceQueues {
    /// The account's queue; a new one, with room for so many transactions, if it has none yet.
    pub(crate) fn of(&self, account: AccountId32, in_flight: usize) -> Arc<NonceQueue> {
        let mut queues = self.0.lock().expect("no holder of this lock panics; qed");
        let known = queues.get(&account.0).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            queues.retain(|_, queue| queue.strong_count() > 0);
            let queue = Arc::new(NonceQueue::new(account, in_flight));
            queues.insert(account.0, Arc::downgrade(&queue));
            queue
        })
    }
}
