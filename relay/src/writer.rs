// SPDX-License-Identifier: Apache-2.0

//! Group commit: uploads that arrive while a commit is under way go into the next one together.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mhealth_api::Code;
use mhealth_server::{ApiError, BodyShare};
use tokio::sync::{mpsc, oneshot, Notify};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::store::{Acceptance, Candidate, Decision, Quotas, Store};

/// Uploads that wait for the next commit. One more is answered with `overloaded`.
const WAITING: usize = 4_096;
/// Most uploads of one commit, and most bytes of their envelopes, so that nobody waits long for the others'.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

struct Job {
    candidate: Candidate,
    /// What the upload takes of the memory for bodies, until it is stored.
    share: BodyShare,
    answer: oneshot::Sender<Result<Decision, ApiError>>,
}

/// Stores uploads. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    level: Level,
    storing: Storing,
}

/// About how many entries wait to be settled: counted now and then, and added to in between. Cheap to clone.
#[derive(Clone, Default)]
pub struct Level(Arc<AtomicU64>);

impl Level {
    /// What was counted.
    pub fn set(&self, entries: u64) {
        self.0.store(entries, Ordering::Release);
    }

    /// The count by now.
    pub fn entries(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Since when the group that is under way is being stored. Cheap to clone.
#[derive(Clone, Default)]
struct Storing(Arc<Mutex<Option<Instant>>>);

impl Storing {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().expect("no holder of this lock panics; qed") = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().expect("no holder of this lock panics; qed")
    }
}

impl Writer {
    /// A writer, and the task that stores for it, which somebody has to do. It ends when the last clone is dropped, after
    /// everything that was handed to it. `stored` is notified when there is something new to submit. As the queue fills up to
    /// `max_queued_entries`, fewer of one device's entries may wait in it.
    pub fn new(
        store: Store,
        quotas: Quotas,
        max_queued_entries: u64,
        stored: Arc<Notify>,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, queue) = mpsc::channel(WAITING);
        let (level, storing) = (Level::default(), Storing::default());
        let desk = Desk {
            store,
            quotas,
            max_queued_entries,
            stored,
            level: level.clone(),
            storing: storing.clone(),
            metrics,
        };
        let writer = Self {
            jobs,
            level,
            storing,
        };
        (writer, work(queue, desk))
    }

    /// About how many entries wait to be settled.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// How long the uploads that are under way have been waiting for the database.
    pub fn storing_for(&self) -> Duration {
        let since = self.storing.since();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Stores an upload; returns when it is durable, or is not stored. When the database does not answer, it may be stored all the
    /// same, and is known when it comes again.
    pub async fn accept(
        &self,
        candidate: Candidate,
        share: BodyShare,
    ) -> Result<Decision, ApiError> {
        let (answer, decision) = oneshot::channel();
        let job = Job {
            candidate,
            share,
            answer,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApiError::from(Code::Overloaded),
            mpsc::error::TrySendError::Closed(_) => ApiError::from(Code::ShuttingDown),
        })?;
        decision
            .await
            .unwrap_or_else(|_| Err(Code::ShuttingDown.into()))
    }
}

/// What the task that stores works with.
struct Desk {
    store: Store,
    quotas: Quotas,
    max_queued_entries: u64,
    stored: Arc<Notify>,
    level: Level,
    storing: Storing,
    metrics: Metrics,
}

async fn work(mut queue: mpsc::Receiver<Job>, desk: Desk) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.candidate.run.envelopes.len();
        let (mut group, mut answers) = (vec![first.candidate], vec![first.answer]);
        let mut shares = vec![first.share];
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.candidate.run.envelopes.len();
            group.push(job.candidate);
            answers.push(job.answer);
            shares.push(job.share);
        }
        desk.metrics.grouped(group.len());
        let quotas = desk
            .quotas
            .at(desk.level.entries(), desk.max_queued_entries);
        desk.storing.set(Some(Instant::now()));
        let accepted = desk.store.accept(&group, &quotas).await;
        desk.storing.set(None);
        drop((group, shares));
        match accepted {
            Ok(decisions) => {
                for (decision, answer) in decisions.into_iter().zip(answers) {
                    if let Ok(Acceptance::Accepted(status)) = &decision {
                        desk.level
                            .0
                            .fetch_add(status.entries.into(), Ordering::AcqRel);
                    }
                    // A client that has gone will ask again and find its run known.
                    let _ = answer.send(Ok(decision));
                }
                desk.stored.notify_one();
            }
            Err(error) => {
                let error = ApiError::from(error);
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
