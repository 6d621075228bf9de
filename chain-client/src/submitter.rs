// SPDX-License-Identifier: Apache-2.0

//! One account's way of writing to the chain.

use std::sync::Arc;
use std::time::Duration;

use subxt::config::substrate::SubstrateExtrinsicParamsBuilder;
use subxt::utils::{AccountId32, H256};
use tokio::sync::oneshot;

use crate::block::extrinsic_hash;
use crate::call::Call;
use crate::flights::{Flight, Flights};
use crate::nonce::Line;
use crate::rpc::{Config, Handed};
use crate::submission::Submission;
use crate::tracker::{Checkpoint, Tracker};
use crate::{Account, ChainClient, Error, PoolRefusal};

/// Attempts to find a nonce or a checkpoint that the node takes. Each follows a refusal that proves that the one before
/// will not be included.
const ATTEMPTS: u32 = 3;

/// How a submitter behaves.
#[derive(Clone, Copy, Debug)]
pub struct SubmitterOptions {
    /// For how many blocks a transaction is valid; a power of two from 4 to 4,096.
    pub era: u64,
    /// How many transactions of the account may be under way at a time; more wait.
    pub in_flight: usize,
    /// After how long without a block a transaction is handed to the node again.
    pub resend_after: Duration,
}

impl Default for SubmitterOptions {
    fn default() -> Self {
        SubmitterOptions {
            era: 64,
            in_flight: 64,
            resend_after: Duration::from_secs(12),
        }
    }
}

/// Signs and submits the transactions of one account.
///
/// It asks the node once for the account's nonce and counts from there, so that many transactions can be under way.
/// Once signed, a transaction is sent again only byte for byte: it is included once or never. Cheap to clone; several
/// tasks can share one, and all submitters that a client makes for one account stand in the same line.
///
/// An account should submit through one program at a time. Should two do it all the same, each recovers when the node
/// says that a nonce is taken; a transaction that lost its nonce ends with [`Error::Superseded`].
#[derive(Clone)]
pub struct Submitter {
    client: ChainClient,
    account: Arc<Account>,
    line: Arc<Line>,
    tracker: Tracker,
}

/// A transaction that is ready to be sent.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    /// Its bytes, which are all that ever goes to a node.
    pub bytes: Arc<[u8]>,
    /// Its hash, by which it is known again in a block.
    pub hash: H256,
    /// Number of the block from which it counts its era. It can be in no block up to this one.
    pub birth: u64,
    /// Number of the first block in which it is not valid any more. Once this block is finalised without it, it never
    /// will be included.
    pub death: u64,
}

/// Signs a call for a nonce, with an era that counts from a checkpoint.
pub(crate) fn sign(
    call: &Call,
    account: &Account,
    nonce: u64,
    era: u64,
    checkpoint: &Checkpoint,
) -> Result<SignedTransaction, Error> {
    let era = era.clamp(4, 4096).next_power_of_two();
    let birth = checkpoint.block.number;
    let params = SubstrateExtrinsicParamsBuilder::<Config>::new()
        .nonce(nonce)
        .mortal_from_unchecked(era, birth, checkpoint.block.hash)
        .build();
    let bytes = call.sign(&checkpoint.runtime, account, params)?;
    Ok(SignedTransaction {
        hash: extrinsic_hash(&bytes),
        bytes: bytes.into(),
        birth,
        death: birth + era,
    })
}

impl Submitter {
    pub(crate) fn new(
        client: ChainClient,
        account: Account,
        line: Arc<Line>,
        tracker: Tracker,
    ) -> Self {
        Submitter {
            client,
            account: Arc::new(account),
            line,
            tracker,
        }
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
        let mut permit = self.line.room().await?;
        let mut counter = self.line.turn().await;
        let flights = self.tracker.flights();
        let mut attempt = 1;
        loop {
            let rpc = self.client.rpc();
            let nonce = counter.next(rpc, self.line.account(), flights).await?;
            let checkpoint = self.tracker.checkpoint(&self.client).await?;
            let era = self.line.options().era;
            let signed = sign(&call, &self.account, nonce, era, &checkpoint)?;
            let hash = signed.hash;
            let (answer, waiting) = oneshot::channel();
            let generation = self.client.generation().current();
            let flight = Flight {
                hash,
                nonce,
                bytes: signed.bytes.clone(),
                birth: signed.birth,
                death: signed.death,
                line: self.line.clone(),
                answer,
                permit,
            };
            flights.board(flight, generation);
            let mut handing_over = HandingOver::new(flights, hash, generation);
            self.tracker.wake();
            let handed = rpc.submit(&signed.bytes).await;
            let error = match handed {
                Ok(Handed::Taken | Handed::Unknown) => {
                    drop(handing_over);
                    counter.spent(nonce);
                    return Ok(Submission::new(self.client.clone(), hash, nonce, waiting));
                }
                Ok(Handed::Refused(refusal)) => Error::Refused(refusal),
                Err(error) => error,
            };
            permit = match handing_over.withdraw() {
                Some(permit) => permit,
                // The tracker gave it up in the meantime and has said why.
                None => return Ok(Submission::new(self.client.clone(), hash, nonce, waiting)),
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
            tracing::info!(account = %self.account(), nonce, %error, "signing anew");
            attempt += 1;
        }
    }

    /// Submits the call and waits until it is finalised and succeeded.
    pub async fn submit_and_wait(&self, call: Call) -> Result<crate::Outcome, Error> {
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
struct HandingOver<'a> {
    flights: &'a Flights,
    hash: H256,
    generation: u64,
    withdrawn: bool,
}

impl<'a> HandingOver<'a> {
    fn new(flights: &'a Flights, hash: H256, generation: u64) -> Self {
        HandingOver {
            flights,
            hash,
            generation,
            withdrawn: false,
        }
    }

    fn withdraw(&mut self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.withdrawn = true;
        self.flights.withdraw(self.hash)
    }
}

impl Drop for HandingOver<'_> {
    fn drop(&mut self) {
        if !self.withdrawn {
            self.flights.sent(self.hash, self.generation);
        }
    }
}
