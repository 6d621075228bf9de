// SPDX-License-Identifier: Apache-2.0

//! An upload from the token's holder to the answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hashchain::{data_digest, DataDigest, DeviceId, Native, StudyId, Tag};
use mhealth_api::{
    BareRecord, BlockRef, ChainHead, Code, DeviceStatus, Head, Key, Policy, Problem, RunEntry,
    RunStatus, RunUpload,
};
use mhealth_server::shares::Shares;
use mhealth_server::{ApiError, BodyShare};
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use crate::directory::{Device, Directory, Found};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::run::{CheckedRun, Rules};
use crate::store::{Acceptance, Candidate, ChainAnswers, Question, Store};
use crate::token::Holder;
use crate::writer::Writer;

/// From this size on, an upload is checked beside the threads that answer others.
const LARGE: usize = 64 * 1024;
/// How often an upload may ask the chain for what the store needs to know: the head, a link, and once more because the
/// store has changed in between.
const QUESTIONS: u32 = 4;
/// Devices whose bare records are chained at the same time.
const RECORD_LOCKS: usize = 64;
/// Tag of an entry that was chained on a device's behalf: nobody's secret went into it, and everybody can see that.
const NO_TAG: Tag = Tag([0; 32]);

/// Bounds on what a device may send.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Most bytes of one envelope.
    pub max_envelope: usize,
    /// Most entries that wait to be settled before uploads are answered with `overloaded`.
    pub max_queued_entries: u64,
    /// Uploads a second that one device may send for long.
    pub uploads_per_second: NonZeroU32,
    /// Uploads that one device may send in a burst.
    pub burst: NonZeroU32,
    /// Uploads of one device that may be under way at a time.
    pub at_once: NonZeroU32,
}

/// An answered upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Where the run stands.
    pub status: RunStatus,
    /// Whether it was stored just now.
    pub new: bool,
}

/// Takes uploads.
pub struct Intake {
    store: Store,
    ledger: Arc<dyn Ledger>,
    directory: Directory,
    writer: Writer,
    metrics: Metrics,
    limits: IntakeLimits,
    rates: DefaultKeyedRateLimiter<DeviceId>,
    under_way: Shares<DeviceId>,
    record_locks: Vec<Mutex<()>>,
}

impl Intake {
    /// Takes uploads for a store.
    pub fn new(
        store: Store,
        ledger: Arc<dyn Ledger>,
        directory: Directory,
        writer: Writer,
        metrics: Metrics,
        limits: IntakeLimits,
    ) -> Self {
        let quota = Quota::per_second(limits.uploads_per_second).allow_burst(limits.burst);
        Self {
            store,
            ledger,
            directory,
            writer,
            metrics,
            limits,
            rates: RateLimiter::keyed(quota),
            under_way: Shares::of(limits.at_once.get() as usize),
            record_locks: (0..RECORD_LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Checks a run and stores it. Returns after the commit.
    pub async fn upload(
        &self,
        found: Found,
        upload: RunUpload,
        share: BodyShare,
    ) -> Result<Answered, ApiError> {
        check_sender(&found, upload.device)?;
        let device = &found.device;
        let study = self.directory.study(device.study).await?;
        let rules = Rules {
            study: device.study,
            key: device.key,
            policy: study.policy,
            max_envelope: self.limits.max_envelope,
        };
        let size: usize = upload
            .entries
            .iter()
            .map(|entry| entry.envelope.0.len())
            .sum();
        let run = match size {
            0..LARGE => CheckedRun::check(upload, &rules),
            _ => {
                let share = share.clone();
                tokio::task::spawn_blocking(move || {
                    let _share = share;
                    CheckedRun::check(upload, &rules)
                })
                .await
                .map_err(ApiError::internal)?
            }
        }?;
        self.store_run(run, found, study.open, None, share).await
    }

    /// Chains a bare record on a device's behalf and stores it.
    pub async fn record(
        &self,
        found: Found,
        record: BareRecord,
        share: BodyShare,
    ) -> Result<Answered, ApiError> {
        check_sender(&found, record.device)?;
        if record.sequence == 0 || record.sequence > i64::MAX as u64 {
            return Err(Code::InvalidSequence.into());
        }
        if record.envelope.0.len() > self.limits.max_envelope {
            return Err(Code::BodyTooLarge.into());
        }
        let study = self.directory.study(found.device.study).await?;
        if study.policy == Policy::DeviceSigned {
            return Err(Code::MissingSignature.into());
        }
        let digest = data_digest::<Native>(&record.envelope.0);
        // One record after the other, so that each follows the one before.
        let _turn = self.record_locks[record.device.0 as usize % RECORD_LOCKS]
            .lock()
            .await;
        if let Some((known, run)) = self.store.record(record.device, record.sequence).await? {
            if known != digest {
                let detail = "Another record was stored under this sequence.";
                return Err(ApiError::new(Code::InvalidState, detail));
            }
            let status = self.store.status(&run).await?.ok_or(Code::Internal)?;
            return Ok(Answered { status, new: false });
        }
        let (head, _) = self.heads(record.device).await?;
        let count = record.sequence;
        let run = chained(record, digest, head, found.device.study)?;
        let record = Some((count, digest));
        self.store_run(run, found, study.open, record, share).await
    }

    /// A device's head as the relay has it, with everything that was accepted here or the chain's if that is ahead, and as
    /// the chain has it finalised.
    pub async fn heads(&self, device: DeviceId) -> Result<(Head, ChainHead), ApiError> {
        let (head, block) = self.chain_head(device).await?;
        let own = match self.store.head(device).await? {
            Some(own) if own.length > head.length => own,
            _ => head,
        };
        Ok((own, ChainHead { head, block }))
    }

    /// The chain's finalised head of a device.
    pub async fn chain_head(&self, device: DeviceId) -> Result<(Head, BlockRef), ApiError> {
        let view = self.ledger.device(device).await?;
        let (view, block) = view.ok_or_else(|| Problem::new(Code::UnknownDevice))?;
        Ok((
            Head {
                length: view.length,
                hash: view.head,
            },
            block,
        ))
    }

    /// How long the uploads that are being stored have been waiting for the database.
    pub fn storing_for(&self) -> Duration {
        self.writer.storing_for()
    }

    /// Forgets devices that have not sent anything for a while.
    pub fn forget_idle(&self) {
        self.rates.retain_recent();
        self.rates.shrink_to_fit();
    }

    /// Counts a request of a device that has proved to be it; `too_many_requests` if it sends too often.
    pub fn count(&self, device: DeviceId) -> Result<(), ApiError> {
        self.rates.check_key(&device).map_err(|early| {
            let wait: Duration = early.wait_time_from(DefaultClock::default().now());
            ApiError::from(Code::TooManyRequests).retry_after(wait)
        })
    }

    /// Lets a device send one more upload, until the value is dropped; `too_many_requests` if it has enough of them under way.
    pub fn begin(&self, device: DeviceId) -> Result<OwnedSemaphorePermit, ApiError> {
        self.under_way.take(device).ok_or_else(|| {
            let detail =
                "This device has too many uploads under way; wait as long as Retry-After says.";
            ApiError::new(Code::TooManyRequests, detail)
        })
    }

    /// Whether the chain has the holder's device with this study and this key.
    pub async fn admit(&self, holder: &Holder) -> Result<Found, ApiError> {
        let found = self.directory.device(holder.device).await?;
        if found.device.study != holder.study {
            return Err(Code::WrongStudy.into());
        }
        if found.device.key != holder.key {
            return Err(Code::WrongDevice.into());
        }
        Ok(found)
    }

    /// Whether new entries of a device are taken.
    fn admission(&self, device: &Device, is_open: bool) -> Result<(), Code> {
        let is_full = self.writer.level().entries() >= self.limits.max_queued_entries;
        match &device.status {
            _ if !is_open => Err(Code::StudyClosed),
            DeviceStatus::Suspended => Err(Code::DeviceSuspended),
            DeviceStatus::Retired => Err(Code::DeviceRetired),
            // A status of a newer chain: nothing can be said, and nothing is taken.
            DeviceStatus::Unknown(_) => Err(Code::InvalidState),
            DeviceStatus::Active if is_full => Err(Code::Overloaded),
            DeviceStatus::Active => Ok(()),
        }
    }

    async fn store_run(
        &self,
        run: CheckedRun,
        found: Found,
        is_open: bool,
        record: Option<(u64, DataDigest)>,
        share: BodyShare,
    ) -> Result<Answered, ApiError> {
        let mut candidate = Candidate {
            run: Arc::new(run),
            answers: ChainAnswers {
                head: found.head,
                link: None,
            },
            admission: self.admission(&found.device, is_open),
            record,
        };
        for _ in 0..QUESTIONS {
            let stored = self.writer.accept(candidate.clone(), share.clone()).await?;
            let (status, new) = match stored {
                Ok(Acceptance::Accepted(status)) => (status, true),
                Ok(Acceptance::Known(status)) => (status, false),
                Ok(Acceptance::Refused(problem)) => return Err(problem.into()),
                Ok(Acceptance::OverQuota(code, None)) => return Err(code.into()),
                Ok(Acceptance::OverQuota(code, Some(wait))) => {
                    return Err(ApiError::from(code).retry_after(wait));
                }
                Err(question) => {
                    let device = candidate.run.run.device;
                    self.ask(device, question, &mut candidate.answers).await?;
                    continue;
                }
            };
            let outcome = if new { "accepted" } else { "known" };
            self.metrics.uploaded(outcome, status.entries);
            return Ok(Answered { status, new });
        }
        // The device's history changes faster than it can be looked at.
        Err(Code::Overloaded.into())
    }

    /// Asks the chain about a device.
    async fn ask(
        &self,
        device: DeviceId,
        question: Question,
        answers: &mut ChainAnswers,
    ) -> Result<(), ApiError> {
        match question {
            Question::Head => answers.head = Some(self.chain_head(device).await?.0),
            Question::Link(sequence) => {
                let entries = self.ledger.entries(device, sequence, 1).await?;
                let entry = entries.first().filter(|entry| entry.sequence == sequence);
                answers.link = Some((sequence, entry.map(|entry| entry.hash)));
            }
        }
        Ok(())
    }
}

/// A device sends what is its own.
fn check_sender(found: &Found, device: DeviceId) -> Result<(), Code> {
    match found.number == device {
        true => Ok(()),
        false => Err(Code::WrongDevice),
    }
}

/// The run of one entry that a bare record becomes.
fn chained(
    record: BareRecord,
    digest: DataDigest,
    head: Head,
    study: StudyId,
) -> Result<CheckedRun, Problem> {
    let rules = Rules {
        study,
        // No signature is checked under this policy.
        key: Key([0; 32]),
        policy: Policy::HashchainOnly,
        max_envelope: usize::MAX,
    };
    let entry = RunEntry {
        digest,
        tag: NO_TAG,
        envelope: record.envelope,
    };
    let upload = RunUpload {
        device: record.device,
        sequence: head.length + 1,
        previous: head.hash,
        entries: vec![entry],
        signature: None,
    };
    CheckedRun::check(upload, &rules)
}
