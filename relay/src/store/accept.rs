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
use std::time::Duration;

use hashchain::{DataDigest, DeviceId};
use mhealth_api::{Code, Hash, Head, Problem, Refusal, RunState, RunStatus};
use mhealth_server::WriteTransaction;

use super::changes::{Changes, NewRun};
use super::history;
use super::position::{judge, link_to_compare, ChainAnswers, Position, Question};
use super::quotas::{Quotas, Usage};
use super::rows::unsigned;
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
    /// Not stored, because that much of the device is; and when to come again, if that helps.
    OverQuota(Code, Option<Duration>),
}

/// What became of an upload; or what the chain has to be asked before that can be told, and nothing is stored until then.
pub type Decision = Result<Acceptance, Question>;

impl Store {
    /// Stores a group of uploads, all in one transaction. Returns after the commit, so that whatever is said to be accepted
    /// then is durable. Of a device no more is kept than its quotas allow.
    ///
    /// Decisions come in the order of the candidates, later ones having seen the earlier ones.
    pub async fn accept(
        &self,
        candidates: &[Candidate],
        quotas: &Quotas,
    ) -> Result<Vec<Decision>, StoreError> {
        let mut transaction = self.own.begin().await?;
        // First of all.
        let before = lock(&mut transaction, candidates.len()).await?;
        let now = self.clock.now_millis();
        let mut group = Group::find(&mut transaction, candidates, quotas, now).await?;
        let first_turn = history::first_turn(&mut transaction).await?;
        group.clock = first_turn.unwrap_or(before.turn).max(before.clock);
        group.changes.clock = group.clock;
        group.changes.turn = before.turn;
        let mut decisions = Vec::with_capacity(candidates.len());
        for (candidate, id) in candidates.iter().zip(before.first_id..) {
            let decision = group.decide(&mut transaction, candidate, id).await?;
            decisions.push(decision);
        }
        if group.changes.is_empty() {
            transaction.rollback().await?;
            return Ok(decisions);
        }
        group.changes.write(&mut transaction, now).await?;
        transaction.commit().await?;
        Ok(decisions)
    }
}

/// What whoever stores runs begins with.
pub(super) struct Before {
    /// The first of the ids that were taken.
    first_id: i64,
    /// The turn after all that were given.
    turn: u64,
    /// Where the clock of turns stood last.
    clock: u64,
}

/// Takes the lock of those who store runs, and so many ids: see the migration.
pub(super) async fn lock(
    transaction: &mut WriteTransaction,
    ids: usize,
) -> Result<Before, StoreError> {
    let (next, turn, clock): (i64, i64, i64) = sqlx::query_as(
        "UPDATE relay SET next_run = next_run + $1 WHERE id = 1 RETURNING next_run, turn, clock",
    )
    .bind(ids as i64)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Before {
        first_id: next - ids as i64,
        turn: unsigned(turn)?,
        clock: unsigned(clock)?,
    })
}

/// Uploads that are decided together: what is stored of their devices, and what they change.
struct Group<'a> {
    quotas: &'a Quotas,
    /// In milliseconds since 1970.
    now: u64,
    /// The turn of the first run that waits, or of the next one if none does; or where the clock stood before, if that is later.
    clock: u64,
    /// Their runs as far as they are stored, with those of this group.
    known: HashMap<Hash, RunStatus>,
    /// The relay's own heads of their devices, as this group leaves them.
    heads: HashMap<DeviceId, Head>,
    /// What their devices take, as this group leaves it.
    usage: HashMap<DeviceId, Usage>,
    changes: Changes<'a>,
}

impl<'a> Group<'a> {
    async fn find(
        transaction: &mut WriteTransaction,
        candidates: &[Candidate],
        quotas: &'a Quotas,
        now: u64,
    ) -> Result<Self, StoreError> {
        let runs: Vec<_> = candidates.iter().map(|candidate| &*candidate.run).collect();
        Ok(Self {
            quotas,
            now,
            clock: 0,
            usage: history::usage(transaction, &runs).await?,
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
            // What is stored of an erased device goes on to the chain without its data; nothing new comes to that.
            (None, Ok(())) if self.is_erased(device) => {
                return Ok(Ok(Acceptance::Refused(Code::DeviceErased.into())));
            }
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
        let turn = match self.turn_of(checked, is_known) {
            Ok(turn) => turn,
            Err((code, wait)) => return Ok(Ok(Acceptance::OverQuota(code, wait))),
        };
        // What comes again is not to come after what follows it, which leads nowhere without it.
        let first = checked.run.first_sequence;
        let next = match is_known {
            true => history::turn_after(transaction, device, first).await?,
            false => None,
        };
        let turn = next.map_or(turn, |next| turn.min(next));
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
            self.changes.requeued.push((checked.id, turn));
        } else {
            let new = NewRun {
                id,
                checked,
                is_rival,
                turn,
            };
            self.changes.new.push(new);
        }
        if let Some((sequence, digest)) = candidate.record {
            let record = (device, sequence, digest, checked.id);
            self.changes.records.push(record);
        }
        Ok(Ok(Acceptance::Accepted(status)))
    }

    /// Whether the device's envelopes were ordered to be erased. Read under the lock under which that was written.
    fn is_erased(&self, device: DeviceId) -> bool {
        let usage = self.usage.get(&device);
        usage.is_some_and(|usage| usage.is_erased)
    }

    /// The turn of a run, which from now on counts for its device; of one that is known its entries alone.
    fn turn_of(
        &mut self,
        checked: &CheckedRun,
        is_known: bool,
    ) -> Result<u64, (Code, Option<Duration>)> {
        let device = checked.run.device;
        let usage = self.usage.entry(device).or_default();
        let before = *usage;
        let turn = match is_known {
            true => usage.take_again(checked, self.quotas, self.clock),
            false => usage.take(checked, self.quotas, self.now, self.clock),
        };
        // Also of a run that is not taken: a time that lay ahead was set right.
        if *usage != before {
            self.changes.usage.insert(device, *usage);
            self.changes.turn = self.changes.turn.max(usage.turn);
        }
        turn
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
        let most = self.quotas.rivals;
        let unsigned = most - most.div_ceil(4);
        let has_place = rivals.all < u64::from(most);
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
