// SPDX-License-Identifier: Apache-2.0

//! The line in which one account's transactions stand, so that each gets its nonce and none gets it twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use subxt::utils::AccountId32;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::flights::Flights;
use crate::rpc::Rpc;
use crate::{Error, SubmitterOptions};

/// What all submitters of one account share.
pub(crate) struct Line {
    account: AccountId32,
    options: SubmitterOptions,
    counter: Mutex<Counter>,
    /// Set when something happened to an earlier transaction that makes the local count doubtful.
    doubtful: AtomicBool,
    room: Arc<Semaphore>,
}

/// The next nonce as counted here; none when the node has to be asked.
#[derive(Debug, Default)]
pub(crate) struct Counter(Option<u64>);

impl Line {
    pub(crate) fn new(account: AccountId32, options: SubmitterOptions) -> Self {
        Line {
            account,
            options,
            counter: Mutex::default(),
            doubtful: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(options.in_flight.max(1))),
        }
    }

    pub(crate) fn account(&self) -> &AccountId32 {
        &self.account
    }

    pub(crate) fn options(&self) -> SubmitterOptions {
        self.options
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
        flights: &Flights,
    ) -> Result<u64, Error> {
        let mut nonce = match self.0 {
            Some(nonce) => nonce,
            None => rpc.next_index(account).await?,
        };
        while flights.has(account, nonce) {
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
