// SPDX-License-Identifier: Apache-2.0

//! Uploads on their way into the database: many in one transaction.
//!
//! What is stored of their devices is found ([`super::history`]), each upload is decided, and what they change is written
//! ([`super::changes`]).
//!
//! An upload is judged here, under the lock that puts all that is stored into an order, and not before on a connection
//! that only reads. What a reader sees may have changed when the writer comes to it, so the writer would have to judge
//! again, and its answer "judge again" would be the same to-and-fro as a [`Question`] is now. Every upload would pay for
//! it with two or three statements more (is the run known, the device's head, perhaps a link), although nearly all uploads
//! are the next run of their device, which is decided at once and without the chain. Only what seems to be a gap, a
//! rival or a part of history that is not stored here brings up a question. The chain is asked while no lock is held; the
//! group of an upload that is asked about goes on without it.

use std::collections::HashMap;
use std::sync::Arc;

use hashchain::{DataDigest, DeviceId};
use mhealth_api::{Code, Hash, Head, Problem, Refusal, RunState, RunStatus};
use mhealth_server::WriteTransaction;

use super::changes::{Changes, NewRun};
use super::history;
use super::position::{judge, link_to_compare, ChainAnswers, Position, Question};
use super::{Store, StoreError};
use crate::run::CheckedRun;

/// An upload that holds in itself.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The run.
    pub run: Arc<CheckedRun>,
    /// What is known of the chain by now.
    pub answers: ChainAnswers,
    /// Whether new entries of this device are taken at all: not if it is suspended, its study closed, or the queue full.
    /// What is stored already is answered all the same.
    pub admission: Result<(), Code>,
    /// The device's own count, for a record that is chained here on its behalf.
    pub record: Option<(u64, DataDigest)>,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored now, or given another chance.
    Accepted(RunStatus),
    /// Stored before; this is where it stands.
    Known(RunStatus),
    /// Not stored.
    Refused(Problem),
}

/// What became of an upload; or what the chain has to be asked before that can be told, and nothing is stored until then.
pub type Decision = Result<Acceptance, Question>;

impl Store {
    /// Stores a group of uploads, all in one transaction. Returns after the commit, so that whatever is said to be accepted
    /// then is durable. At most `max_rivals` runs that contradict its history are kept of a device.
    ///
    /// Decisions come in the order of the candidates, later ones having seen the earlier ones.
    pub async fn accept(
        &self,
        candidates: &[Candidate],
        max_rivals: u32,
    ) -> Result<Vec<Decision>, StoreError> {
        let mut transaction = self.database.begin().await?;
        // First of all the lock on this row: see the migration.
        let (next,): (i64,) = sqlx::query_as(
            "UPDATE relay SET next_run = next_run + $1 WHERE id = 1 RETURNING next_run",
        )
        .bind(candidates.len() as i64)
        .fetch_one(&mut *transaction)
        .await?;
        let first_id = next - candidates.len() as i64;
        let mut group = Group::find(&mut transaction, candidates, max_rivals).await?;
        let mut decisions = Vec::with_capacity(candidates.len());
        for (candidate, id) in candidates.iter().zip(first_id..) {
            let decision = group.decide(&mut transaction, candidate, id).await?;
            decisions.push(decision);
        }
        if group.changes.is_empty() {
            transaction.rollback().await?;
            return Ok(decisions);
        }
        let now = self.clock.now_millis();
        group.changes.write(&mut transaction, now).await?;
        transaction.commit().await?;
        Ok(decisions)
    }
}

/// Uploads that are decided together: what is stored of their devices, and what they change.
struct Group<'a> {
    max_rivals: u32,
    /// Their runs as far as they are stored, with those of this group.
    known: HashMap<Hash, RunStatus>,
    /// The relay's own heads of their devices, as this group leaves them.
    heads: HashMap<DeviceId, Head>,
    changes: Changes<'a>,
}

impl<'a> Group<'a> {
    async fn find(
        transaction: &mut WriteTransaction,
        candidates: &[Candidate],
        max_rivals: u32,
    ) -> Result<Self, StoreError> {
        let runs: Vec<_> = candidates.iter().map(|candidate| &*candidate.run).collect();
        Ok(Self {
            max_rivals,
            known: history::known(transaction, &runs).await?,
            heads: history::heads(transaction, &runs).await?,
            changes: Changes::default(),
        })
    }

    /// What becomes of one upload after those before it.
    async fn decide(
        &mut self,
        transaction: &mut WriteTransaction,
        candidate: &'a Candidate,
        id: i64,
    ) -> Result<Decision, StoreError> {
        let checked = &*candidate.run;
        let device = checked.run.device;
        let known = self.known.get(&checked.id);
        let is_known = known.is_some();
        match (known, candidate.admission) {
            (Some(status), admission) if admission.is_err() || !is_passing(status) => {
                return Ok(Ok(Acceptance::Known(status.clone())));
            }
            (None, Err(code)) => return Ok(Ok(Acceptance::Refused(code.into()))),
            _ => {}
        }
        let own = self.heads.get(&device).copied();
        let stored = match link_to_compare(checked, own, &candidate.answers) {
            Some(sequence) => history::link_at(transaction, device, sequence).await?,
            None => None,
        };
        let position = match judge(checked, own, &candidate.answers, |_| stored) {
            Ok(position) => position,
            Err(question) => return Ok(Err(question)),
        };
        let is_rival = position == Position::Rival;
        if let Position::Gap(head) = position {
            return Ok(Ok(Acceptance::Refused(gap(head))));
        }
        if is_rival && !is_known && !self.keeps_another_rival(transaction, checked).await? {
            return Ok(Ok(Acceptance::Refused(Code::TooManyConflicts.into())));
        }
        if position == Position::Follows {
            let head = Head {
                length: checked.last(),
                hash: checked.head(),
            };
            self.heads.insert(device, head);
            self.changes.heads.insert(device, head);
        }
        let status = pending(checked);
        if self.known.insert(checked.id, status.clone()).is_some() {
            self.changes.requeued.push(checked.id);
        } else {
            let new = NewRun {
                id,
                checked,
                is_rival,
            };
            self.changes.new.push(new);
        }
        if let Some((sequence, digest)) = candidate.record {
            let record = (device, sequence, digest, checked.id);
            self.changes.records.push(record);
        }
        Ok(Ok(Acceptance::Accepted(status)))
    }

    /// Whether there is room for one more run that contradicts the history of a device. A quarter of the places is for those
    /// that the device's key signed: whoever fills the others without it does not keep the phone's own run out, which is the
    /// evidence against them.
    async fn keeps_another_rival(
        &self,
        transaction: &mut WriteTransaction,
        checked: &CheckedRun,
    ) -> Result<bool, StoreError> {
        let mut rivals = history::rivals(transaction, checked.run.device).await?;
        let new = self.changes.new.iter();
        for new in new.filter(|new| new.is_rival && new.checked.run.device == checked.run.device) {
            rivals.all += 1;
            rivals.unsigned += u64::from(!new.checked.is_signed);
        }
        let unsigned = self.max_rivals - self.max_rivals.div_ceil(4);
        let has_place = rivals.all < u64::from(self.max_rivals);
        Ok(has_place && (checked.is_signed || rivals.unsigned < u64::from(unsigned)))
    }
}

fn is_passing(status: &RunStatus) -> bool {
    let passes = status
        .reason
        .as_ref()
        .is_some_and(Refusal::passes_by_itself);
    status.state == RunState::Refused && passes
}

fn pending(checked: &CheckedRun) -> RunStatus {
    RunStatus {
        run: checked.id,
        device: checked.run.device,
        sequence: checked.run.first_sequence,
        entries: checked.links.len() as u32,
        head: checked.head(),
        state: RunState::Pending,
        block: None,
        extrinsic_index: None,
        reason: None,
    }
}

fn gap(head: Head) -> Problem {
    let detail = format!(
        "Entries before this run are missing; send from {} on.",
        head.length + 1
    );
    Problem {
        head: Some(head),
        ..Problem::with_detail(Code::Gap, detail)
    }
}
