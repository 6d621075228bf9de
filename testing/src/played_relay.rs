// SPDX-License-Identifier: Apache-2.0

//! A relay that is played here, such as one in the hands of an attacker: it has a relay's account, brings to the chain what
//! it wants, and shows an auditor the store that it wants.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{anyhow, bail, Context, Result};
use hashchain::{data_digest, Native, Run, StudyId};
use mhealth_api::{BlockRef, ExportedRun, Hash, Key, Refusal, RunState, RunUpload};
use mhealth_chain_client::{
    calls, Account, ChainClient, ChainEvent, Error, PoolRefusal, Submission, Submitter,
};
use tokio::sync::oneshot;

use crate::export::Signer;
use crate::handset;
use crate::phone::exported;

/// Most runs of one transaction.
const MOST_A_BATCH: usize = 64;
/// How often it hands a transaction over to a pool that is behind.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// The relay.
pub struct PlayedRelay {
    /// Its account.
    pub account: Key,
    /// Signs with it.
    pub submitter: Submitter,
    /// The chain, as its node tells it.
    chain: ChainClient,
    /// Its account with the secret.
    signer: Account,
    study: StudyId,
    /// Runs that wait for a transaction.
    waiting: Mutex<Vec<Waiting>>,
    /// Who holds it takes along all that wait.
    turn: tokio::sync::Mutex<()>,
    store: Mutex<Vec<ExportedRun>>,
}

/// What became of a run on the chain.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The block.
    pub block: u64,
    /// Its hash.
    pub hash: Hash,
    /// The extrinsic in it.
    pub extrinsic: u32,
    /// Why the chain refused it.
    pub refused: Option<Refusal>,
}

impl PlayedRelay {
    /// Takes a relay's place: the sponsor of the study has appointed the account.
    pub async fn appoint(
        chain: &ChainClient,
        study: StudyId,
        sponsor: &str,
        account: &str,
    ) -> Result<Self> {
        let account = Account::from_secret_uri(account)?;
        let sponsor = chain.submitter(Account::from_secret_uri(sponsor)?);
        let appointment = calls::add_relay(study, account.id());
        let appointed = sponsor.submit_and_wait(appointment).await?.succeeded();
        appointed.context("the sponsor could not appoint the relay")?;
        Ok(PlayedRelay {
            account: Key(account.public_key()),
            study,
            chain: chain.clone(),
            signer: account.clone(),
            submitter: chain.submitter(account),
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            store: Mutex::default(),
        })
    }

    /// Brings a run to the chain, in one transaction with all others that are brought meanwhile.
    pub async fn bring(&self, run: &RunUpload) -> Result<Brought> {
        let (answer, brought) = oneshot::channel();
        let run = run.run();
        lock(&self.waiting).push(Waiting { run, answer });
        {
            let _turn = self.turn.lock().await;
            let batch: Vec<Waiting> = {
                let mut waiting = lock(&self.waiting);
                let most = waiting.len().min(MOST_A_BATCH);
                waiting.drain(..most).collect()
            };
            // Whoever had the turn before may have taken everything.
            if !batch.is_empty() {
                let (runs, answers): (Vec<Run>, Vec<_>) =
                    batch.into_iter().map(|it| (it.run, it.answer)).unzip();
                tokio::spawn(settle(self.submit(runs).await?, answers));
            }
        }
        brought.await.context("the transaction got lost")?
    }

    /// On a busy machine the pool may be behind the block from which a transaction counts its era, and does not take it.
    async fn submit(&self, runs: Vec<Run>) -> Result<Submission> {
        for _ in 0..TRIES {
            match self
                .submitter
                .submit(calls::submit_batch(runs.clone()))
                .await
            {
                Err(Error::Refused(PoolRefusal::Ancient | PoolRefusal::BadSignature)) => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return Ok(other?),
            }
        }
        bail!("the pool does not catch up");
    }

    /// Keeps a run in its store, as one that it brought.
    pub fn keep(&self, run: &RunUpload, brought: Brought) {
        let state = match brought.refused {
            None => RunState::Finalised,
            Some(_) => RunState::Refused,
        };
        self.add(run, state, handset::now(), Some(brought));
    }

    /// Keeps a run in its store, as one that stands registered.
    pub fn keep_settled(&self, run: &RunUpload) {
        self.add(run, RunState::Finalised, handset::now(), None);
    }

    /// Keeps a run in its store that it has not brought, and that it got at this time, in seconds since 1970.
    pub fn keep_back(&self, run: &RunUpload, received_at: u64) {
        self.add(run, RunState::Pending, received_at, None);
    }

    /// Brings and keeps a run, as an honest relay does.
    pub async fn relay(&self, run: &RunUpload) -> Result<Brought> {
        let brought = self.bring(run).await?;
        self.keep(run, brought.clone());
        Ok(brought)
    }

    /// Writes what it shows to auditors, signed by its account as of the latest finalised block.
    pub async fn export(&self, file: &Path) -> Result<()> {
        let signer = Signer::now(&self.chain, self.study, self.signer.clone()).await?;
        std::fs::write(file, signer.export(&self.store()))?;
        Ok(())
    }

    fn add(&self, run: &RunUpload, state: RunState, received_at: u64, brought: Option<Brought>) {
        let mut store = self.store();
        let cursor = store.len() as u64 + 1;
        let mut run = exported(run, cursor, self.study, state);
        if let Some(brought) = brought {
            run.status.block = Some(BlockRef {
                number: brought.block,
                hash: brought.hash,
            });
            run.status.extrinsic_index = Some(brought.extrinsic);
            run.status.reason = brought.refused;
        }
        run.received_at = received_at;
        store.push(run);
    }

    fn store(&self) -> MutexGuard<'_, Vec<ExportedRun>> {
        lock(&self.store)
    }
}

/// A run that waits for a transaction, and who waits for what becomes of it.
struct Waiting {
    run: Run,
    answer: oneshot::Sender<Result<Brought>>,
}

/// Tells each what became of its run.
async fn settle(submission: Submission, answers: Vec<oneshot::Sender<Result<Brought>>>) {
    let outcome = async { submission.finalised().await?.succeeded() }.await;
    for (place, answer) in answers.into_iter().enumerate() {
        let brought = match &outcome {
            Ok(outcome) => Ok(Brought {
                block: outcome.block_number,
                hash: Hash(outcome.block_hash.0),
                extrinsic: outcome.extrinsic_index,
                refused: outcome.events.iter().find_map(|event| match event {
                    ChainEvent::RunRefused {
                        position, reason, ..
                    } if *position as usize == place => Some(reason.clone()),
                    _ => None,
                }),
            }),
            Err(error) => Err(anyhow!("{error}")),
        };
        // Who asked may have gone away.
        let _ = answer.send(brought);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder of this lock panics; qed")
}

/// Changes the data of an entry of a run, so that they fit their own digest.
pub fn alter(run: &mut RunUpload, entry: usize, data: Vec<u8>) {
    run.entries[entry].digest = data_digest::<Native>(&data);
    run.entries[entry].envelope.0 = data;
}
