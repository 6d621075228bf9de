// SPDX-License-Identifier: Apache-2.0

//! One account's way of writing to the chain.
//!
//! # Why the relay has another
//!
//! What is under way here is kept in memory. That serves whoever waits for the outcome in the same process, and after a
//! crash can look at the chain and submit anew: authentication servers, devices, tests. A relay has promised its devices
//! to keep their runs. Its outbox (`relay/src/outbox`) therefore stores each signed transaction with its runs before
//! sending it, settles both in one database transaction with the block that includes them, and is handed from one process
//! to another by a lease. Nonces and the pool's answers mean the same to both, and so do the rules: a transaction is sent
//! again only byte for byte, and is given up only when a finalised block shows that none can include it any more.

use std::sync::Arc;
use std::time::Duration;

use subxt::utils::{AccountId32, H256};
use tokio::sync::{oneshot, OwnedSemaphorePermit};

use crate::account::Account;
use crate::call::Call;
use crate::connection::Connection;
use crate::error::Error;
use crate::nonce::NonceQueue;
use crate::pending::{Pending, PendingSet};
use crate::pool::{PoolAnswer, PoolRefusal};
use crate::signing::{Birth, Checkpoint, ERA};
use crate::submission::{Inclusion, Submission};
use crate::tracker::Tracker;

/// Attempts to find a nonce or a checkpoint that the node takes. Each follows a refusal that proves that the one before
/// will not be included.
const ATTEMPTS: u32 = 3;

/// How a submitter behaves.
#[derive(Clone, Copy, Debug)]
pub struct SubmitterOptions {
    /// For how many blocks a transaction is valid; a power of two from 4 to 4,096.
    pub era: u64,
    /// From which block it counts them.
    pub birth: Birth,
    /// How many transactions of the account may be under way at a time; more wait. Submitters of one account share the
    /// limit of the first of them.
    pub in_flight: usize,
    /// After how long without a block a transaction is handed to the node again.
    pub resend_after: Duration,
}

impl Default for SubmitterOptions {
    fn default() -> Self {
        SubmitterOptions {
            era: ERA,
            birth: Birth::LastFinal,
            in_flight: 64,
            resend_after: Duration::from_secs(12),
        }
    }
}

/// Signs and submits the transactions of one account.
///
/// It asks the node once for the account's nonce and counts from there, so that many transactions can be under way.
/// Once signed, a transaction is sent again only byte for byte: it is included once or never. Cheap to clone; several
/// tasks can share one, and all submitters that a client makes for one account take their nonces from the same queue.
///
/// An account should submit through one program at a time. Should two do it all the same, each recovers when the node
/// says that a nonce is taken; a transaction that lost its nonce ends with [`Error::Superseded`].
#[derive(Clone)]
pub struct Submitter {
    connection: Connection,
    account: Arc<Account>,
    options: SubmitterOptions,
    queue: Arc<NonceQueue>,
    tracker: Tracker,
}

impl Submitter {
    pub(crate) fn new(
        connection: Connection,
        account: Account,
        options: SubmitterOptions,
        queue: Arc<NonceQueue>,
        tracker: Tracker,
    ) -> Self {
        Submitter {
            connection,
            account: Arc::new(account),
            options,
            queue,
            tracker,
        }
    }

    /// Hash of the chain's genesis block.
    pub fn genesis_hash(&self) -> H256 {
        self.connection.genesis()
    }

    /// The account that signs.
    pub fn account(&self) -> AccountId32 {
        self.account.id()
    }

    /// Signs the call and hands it to the node.
    ///
    /// Returns when the node's pool has taken it, or may have: a transaction whose connection broke is handed over again
    /// when the node is back. Fails when it certainly was not taken: [`Error::Refused`] with the pool's reason, or
    /// [`Error::Unreachable`] when no connection could be made in time. After [`Error::Refused`] and
    /// [`Error::Unreachable`] from here nothing is under way.
    pub async fn submit(&self, call: Call) -> Result<Submission, Error> {
        let mut permit = self.queue.room().await?;
        let mut counter = self.queue.turn().await;
        let rpc = self.connection.rpc();
        let pending = self.tracker.pending();
        let account = self.account();
        let mut attempt = 1;
        loop {
            let under_way = |nonce| pending.has(&account, nonce);
            let nonce = counter.next(rpc, &account, under_way).await?;
            let checkpoint = match self.options.birth {
                Birth::LastFinal => self.tracker.checkpoint().await?,
                Birth::Best => Checkpoint::fetch_best(&self.connection).await?,
            };
            let signed = checkpoint.sign(&self.account, &call, nonce, self.options.era)?;
            let hash = signed.hash;
            let (answer, waiting) = oneshot::channel();
            let submission = Submission::new(&signed, nonce, waiting);
            let generation = self.connection.generation();
            let transaction = Pending {
                hash,
                nonce,
                bytes: signed.bytes.clone(),
                birth: signed.birth,
                death: signed.death,
                queue: self.queue.clone(),
                resend_after: self.options.resend_after,
                answer,
                permit,
            };
            pending.register(transaction, generation);
            let mut first = FirstSend::new(pending, hash, generation);
            self.tracker.wake();
            let answer = rpc.submit(&signed.bytes).await;
            let error = match answer {
                Ok(PoolAnswer::Taken | PoolAnswer::Unknown) => {
                    drop(first);
                    counter.spent(nonce);
                    return Ok(submission);
                }
                Ok(PoolAnswer::Refused(refusal)) => Error::Refused(refusal),
                Err(error) => error,
            };
            permit = match first.withdraw() {
                Some(permit) => permit,
                // The tracker gave it up in the meantime and has said why.
                None => return Ok(submission),
            };
            match &error {
                Error::Refused(PoolRefusal::PoolFull) => return Err(error),
                Error::Refused(PoolRefusal::BadSignature | PoolRefusal::Ancient) => {
                    self.tracker.forget_checkpoint().await;
                }
                Error::Refused(refusal) if refusal.is_about_the_nonce() => counter.forget(),
                _ => {
                    counter.forget();
                    return Err(error);
                }
            }
            if attempt == ATTEMPTS {
                counter.forget();
                return Err(error);
            }
            tracing::info!(%account, nonce, %error, "signing anew");
            attempt += 1;
        }
    }

    /// Submits the call and waits until it is finalised and succeeded.
    pub async fn submit_and_wait(&self, call: Call) -> Result<Inclusion, Error> {
        self.submit(call).await?.finalised().await?.succeeded()
    }
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A transaction that is being handed over for the first time.
///
/// When the caller stops waiting in the middle, nobody knows whether the node took it, so it stays under way.
struct FirstSend<'a> {
    pending: &'a PendingSet,
    hash: H256,
    generation: u64,
    withdrawn: bool,
}

impl<'a> FirstSend<'a> {
    fn new(pending: &'a PendingSet, hash: H256, generation: u64) -> Self {
        FirstSend {
            pending,
            hash,
            generation,
            withdrawn: false,
        }
    }

    fn withdraw(&mut self) -> Option<OwnedSemaphorePermit> {
        self.withdrawn = true;
        self.pending.withdraw(self.hash)
    }
}

impl Drop for FirstSend<'_> {
    fn drop(&mut self) {
        if !self.withdrawn {
            self.pending.sent(self.hash, self.generation);
        }
    }
}
