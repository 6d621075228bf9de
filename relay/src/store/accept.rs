// SPDX-License-Identifier: Apache-2.0

//! Uploads on their way into the database: many in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use mhealth_api::{Code, Hash, Head, Problem, RunState, RunStatus};
use mhealth_server::WriteTransaction;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::position::{judge, Position};
use super::rows::{self, hash, placeholders, signed, unsigned, PENDING, REFUSED, STATUS_COLUMNS};
use super::{Store, StoreError};
use crate::run::{CheckedRun, ENTRY_BYTES};

/// Rows of one statement. SQLite takes 32,766 parameters at most, PostgreSQL 65,535.
const CHUNK: usize = 128;

/// Refusals that pass: the same run may be accepted later.
const PASSING: [&str; 4] = [
    "Gap",
    "DeviceSuspended",
    "StudyClosed",
    "NotARelayOfThisStudy",
];

/// What the chain was seen to have of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Its finalised head.
    pub head: Option<Head>,
    /// The link registered at a sequence; none there if the chain does not have it in state.
    pub link: Option<(u64, Option<Hash>)>,
}

impl Sight {
    pub(super) fn link_at(&self, sequence: u64) -> Option<Hash> {
        self.link.filter(|(seen, _)| *seen == sequence)?.1
    }

    pub(super) fn looked_at(&self, sequence: u64) -> bool {
        self.link.is_some_and(|(seen, _)| seen == sequence)
    }
}

/// An upload that holds in itself.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The run.
    pub run: Arc<CheckedRun>,
    /// What is known of the chain by now.
    pub sight: Sight,
    /// Whether new entries of this device are taken at all: not if it is suspended, its study closed, or the queue full.
    /// What is stored already is answered all the same.
    pub taken: Result<(), Code>,
    /// The device's own count, for a record that is chained here on its behalf.
    pub record: Option<(u64, Hash)>,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored now, or given another chance.
    Accepted(RunStatus),
    /// Stored before; this is where it stands.
    Known(RunStatus),
    /// Not stored.
    Refused(Problem),
    /// Not stored yet: ask again with the chain's finalised head.
    NeedHead,
    /// Not stored yet: ask again with the link that the chain has at this sequence.
    NeedLink(u64),
}

/// Everything that one group changes, gathered before it is written.
#[derive(Default)]
struct Changes<'a> {
    new: Vec<(i64, &'a CheckedRun, bool)>,
    requeued: Vec<Hash>,
    heads: HashMap<u32, Head>,
    records: Vec<(u32, u64, Hash, Hash)>,
}

impl Store {
    /// Stores a group of uploads, all in one transaction. Returns after the commit, so that whatever is said to be accepted
    /// then is durable. At most `max_rivals` runs that contradict its history are kept of a device.
    ///
    /// Verdicts come in the order of the candidates, later ones having seen the earlier ones.
    pub async fn accept(
        &self,
        group: &[Candidate],
        max_rivals: u32,
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut transaction = self.database.begin().await?;
        // First of all the lock on this row: see the migration.
        let (next,): (i64,) = sqlx::query_as(
            "UPDATE relay SET next_run = next_run + $1 WHERE id = 1 RETURNING next_run",
        )
        .bind(group.len() as i64)
        .fetch_one(&mut *transaction)
        .await?;
        let first_id = next - group.len() as i64;
        let mut known = load_known(&mut transaction, group).await?;
        let mut heads = load_heads(&mut transaction, group).await?;
        let mut changes = Changes::default();
        let mut verdicts = Vec::with_capacity(group.len());
        for (candidate, id) in group.iter().zip(first_id..) {
            let run = &*candidate.run;
            if let Some(status) = known.get(&run.id) {
                if !is_passing(status) || candidate.taken.is_err() {
                    verdicts.push(Verdict::Known(status.clone()));
                    continue;
                }
            } else if let Err(code) = candidate.taken {
                verdicts.push(Verdict::Refused(code.into()));
                continue;
            }
            let own = heads.get(&run.device).copied();
            let stored = match common_before(run, own, &candidate.sight) {
                Some(sequence) => stored_link(&mut transaction, run.device, sequence).await?,
                None => None,
            };
            let position = judge(run, own, &candidate.sight, |_| stored);
            let rival = position == Position::Rival;
            match position {
                Position::NeedHead => {
                    verdicts.push(Verdict::NeedHead);
                    continue;
                }
                Position::NeedLink(sequence) => {
                    verdicts.push(Verdict::NeedLink(sequence));
                    continue;
                }
                Position::Gap(head) => {
                    verdicts.push(Verdict::Refused(gap(head)));
                    continue;
                }
                Position::Rival if !known.contains_key(&run.id) => {
                    let here = changes
                        .new
                        .iter()
                        .filter(|(_, new, rival)| *rival && new.device == run.device);
                    let there = rivals(&mut transaction, run.device).await?;
                    if there + here.count() as u64 >= u64::from(max_rivals) {
                        verdicts.push(Verdict::Refused(Code::TooManyConflicts.into()));
                        continue;
                    }
                }
                Position::Follows => {
                    let head = Head {
                        length: run.last(),
                        hash: run.head(),
                    };
                    heads.insert(run.device, head);
                    changes.heads.insert(run.device, head);
                }
                Position::Rival | Position::Covered => {}
            }
            let status = pending(run);
            match known.insert(run.id, status.clone()) {
                Some(_) => changes.requeued.push(run.id),
                None => changes.new.push((id, run, rival)),
            }
            if let Some((sequence, digest)) = candidate.record {
                changes.records.push((run.device, sequence, digest, run.id));
            }
            verdicts.push(Verdict::Accepted(status));
        }
        if changes.new.is_empty() && changes.requeued.is_empty() {
            transaction.rollback().await?;
            return Ok(verdicts);
        }
        self.write(&mut transaction, &changes).await?;
        transaction.commit().await?;
        Ok(verdicts)
    }

    async fn write(
        &self,
        transaction: &mut WriteTransaction,
        changes: &Changes<'_>,
    ) -> Result<(), StoreError> {
        let now = signed(self.clock.now_millis());
        for chunk in changes.new.chunks(CHUNK) {
            insert_runs(transaction, chunk, now).await?;
        }
        for run in &changes.requeued {
            sqlx::query(
                "UPDATE runs SET state = $1, batch = NULL, block_number = NULL, block_hash = NULL, \
                 extrinsic_index = NULL, reason = NULL WHERE run = $2 AND state = $3",
            )
            .bind(PENDING)
            .bind(run.0.to_vec())
            .bind(REFUSED)
            .execute(&mut **transaction)
            .await?;
        }
        let heads: Vec<_> = changes.heads.iter().collect();
        for chunk in heads.chunks(CHUNK) {
            let rows: Vec<_> = (0..chunk.len())
                .map(|row| format!("({})", placeholders(3 * row + 1, 3)))
                .collect();
            let sql = format!(
                "INSERT INTO heads (device, length, hash) VALUES {} \
                 ON CONFLICT (device) DO UPDATE SET length = excluded.length, hash = excluded.hash",
                rows.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for (device, head) in chunk {
                query = query
                    .bind(i64::from(**device))
                    .bind(signed(head.length))
                    .bind(head.hash.0.to_vec());
            }
            query.execute(&mut **transaction).await?;
        }
        for (device, sequence, digest, run) in &changes.records {
            sqlx::query(
                "INSERT INTO records (device, sequence, digest, run) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(i64::from(*device))
            .bind(signed(*sequence))
            .bind(digest.0.to_vec())
            .bind(run.0.to_vec())
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }

    /// What a device's record became that was chained here: its digest and its run. None if it was never stored.
    pub async fn record(
        &self,
        device: u32,
        sequence: u64,
    ) -> Result<Option<(Hash, Hash)>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT digest, run FROM records WHERE device = $1 AND sequence = $2")
                .bind(i64::from(device))
                .bind(signed(sequence))
                .fetch_optional(self.database.pool())
                .await?;
        row.map(|(digest, run)| Ok((hash(digest)?, hash(run)?)))
            .transpose()
    }
}

async fn insert_runs(
    transaction: &mut WriteTransaction,
    chunk: &[(i64, &CheckedRun, bool)],
    now: i64,
) -> Result<(), StoreError> {
    const COLUMNS: usize = 13;
    let rows: Vec<_> = (0..chunk.len())
        .map(|row| format!("({})", placeholders(COLUMNS * row + 1, COLUMNS)))
        .collect();
    let sql = format!(
        "INSERT INTO runs (id, run, device, study, sequence, entries, previous, head, signature, rival, received_at, \
         state, entries_bytes) VALUES {}",
        rows.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
    for (id, run, rival) in chunk {
        query = query
            .bind(*id)
            .bind(run.id.0.to_vec())
            .bind(i64::from(run.device))
            .bind(i64::from(run.study))
            .bind(signed(run.sequence))
            .bind(run.links.len() as i64)
            .bind(run.previous.0.to_vec())
            .bind(run.head().0.to_vec())
            .bind(run.signature.map(|signature| signature.to_vec()))
            .bind(i64::from(*rival))
            .bind(now)
            .bind(PENDING)
            .bind(run.digests_and_tags.clone());
    }
    query.execute(&mut **transaction).await?;

    let rows: Vec<_> = (0..chunk.len())
        .map(|row| format!("({})", placeholders(2 * row + 1, 2)))
        .collect();
    let sql = format!(
        "INSERT INTO payloads (id, envelopes) VALUES {}",
        rows.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
    for (id, run, _) in chunk {
        query = query.bind(*id).bind(run.envelopes.clone());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn load_known(
    transaction: &mut WriteTransaction,
    group: &[Candidate],
) -> Result<HashMap<Hash, RunStatus>, StoreError> {
    let mut known = HashMap::new();
    for chunk in group.chunks(CHUNK) {
        let sql = format!(
            "SELECT {STATUS_COLUMNS} FROM runs WHERE run IN ({})",
            placeholders(1, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
        for candidate in chunk {
            query = query.bind(candidate.run.id.0.to_vec());
        }
        for row in query.fetch_all(&mut **transaction).await? {
            let status = rows::status(&row)?;
            known.insert(status.run, status);
        }
    }
    Ok(known)
}

async fn load_heads(
    transaction: &mut WriteTransaction,
    group: &[Candidate],
) -> Result<HashMap<u32, Head>, StoreError> {
    let mut devices: Vec<_> = group.iter().map(|candidate| candidate.run.device).collect();
    devices.sort_unstable();
    devices.dedup();
    let mut heads = HashMap::new();
    for chunk in devices.chunks(CHUNK) {
        let sql = format!(
            "SELECT device, length, hash FROM heads WHERE device IN ({})",
            placeholders(1, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
        for device in chunk {
            query = query.bind(i64::from(*device));
        }
        for row in query.fetch_all(&mut **transaction).await? {
            let head = Head {
                length: unsigned(row.try_get("length")?)?,
                hash: hash(row.try_get("hash")?)?,
            };
            heads.insert(unsigned(row.try_get("device")?)?, head);
        }
    }
    Ok(heads)
}

/// The sequence whose link has to be looked up among the stored runs; none if the head alone decides.
fn common_before(run: &CheckedRun, own: Option<Head>, sight: &Sight) -> Option<u64> {
    let own = own.map_or(0, |head| head.length);
    let length = own.max(sight.head.map_or(0, |head| head.length));
    (run.last() < length).then(|| run.last())
}

/// The link at a sequence in a run that is on its way or finalised; none if no such run is stored.
async fn stored_link(
    transaction: &mut WriteTransaction,
    device: u32,
    sequence: u64,
) -> Result<Option<Hash>, StoreError> {
    let row: Option<AnyRow> = sqlx::query(
        "SELECT sequence, previous, entries_bytes FROM runs WHERE device = $1 AND sequence <= $2 \
         AND sequence + entries > $2 AND state < $3 AND rival = 0 ORDER BY id LIMIT 1",
    )
    .bind(i64::from(device))
    .bind(signed(sequence))
    .bind(REFUSED)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let first: u64 = unsigned(row.try_get("sequence")?)?;
    let previous = hashchain::LinkHash(hash(row.try_get("previous")?)?.0);
    let entries: Vec<u8> = row.try_get("entries_bytes")?;
    let count = (sequence - first + 1) as usize;
    let link = entries
        .chunks_exact(ENTRY_BYTES)
        .zip(first..)
        .take(count)
        .fold(previous, |previous, (entry, sequence)| {
            let [mut digest, mut tag] = [[0; 32]; 2];
            digest.copy_from_slice(&entry[..32]);
            tag.copy_from_slice(&entry[32..]);
            hashchain::link::<hashchain::Native>(sequence, &previous, &digest.into(), &tag.into())
        });
    Ok(Some(Hash(link.0)))
}

async fn rivals(transaction: &mut WriteTransaction, device: u32) -> Result<u64, StoreError> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM runs WHERE device = $1 AND rival = 1")
            .bind(i64::from(device))
            .fetch_one(&mut **transaction)
            .await?;
    unsigned(count)
}

fn is_passing(status: &RunStatus) -> bool {
    let reason = status.reason.as_deref().unwrap_or_default();
    status.state == RunState::Refused && PASSING.contains(&reason)
}

fn pending(run: &CheckedRun) -> RunStatus {
    RunStatus {
        run: run.id,
        device: run.device,
        sequence: run.sequence,
        entries: run.links.len() as u32,
        head: run.head(),
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
