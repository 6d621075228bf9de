// SPDX-License-Identifier: Apache-2.0

//! Transactions that are stored before they are sent.

use std::sync::Arc;

use hashchain::{DeviceId, LinkHash, Run};
use mhealth_api::Hash;
use mhealth_server::WriteTransaction;
use sqlx::{AssertSqlSafe, Row};

use super::rows::{self, hash, signed, unsigned, DEAD, LIVE, PENDING, SUBMITTED};
use super::{Lease, Store, StoreError};

/// A run that waits to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRun {
    /// What the submission keeps of it.
    pub run: RunRef,
    /// The same, as the chain takes it.
    pub for_chain: Run,
}

/// A run of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRef {
    /// The row's id, in the order of which runs are submitted.
    pub id: i64,
    /// Whose it is.
    pub device: DeviceId,
    /// Sequence of its first entry.
    pub sequence: u64,
    /// How many entries.
    pub entries: u32,
    /// Link of its last entry.
    pub head: LinkHash,
    /// When it was stored, in milliseconds since 1970.
    pub received_at: u64,
}

impl RunRef {
    /// Sequence of its last entry.
    pub fn last(&self) -> u64 {
        self.sequence + u64::from(self.entries) - 1
    }
}

/// A signed transaction that is to be stored.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Hash of its bytes.
    pub hash: Hash,
    /// The nonce that it spends.
    pub nonce: u64,
    /// First block in which it is not valid any more.
    pub death: u64,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// A transaction that may still get into a block.
#[derive(Clone, Debug)]
pub struct LiveBatch {
    /// The row's id.
    pub id: i64,
    /// The transaction.
    pub transaction: NewBatch,
    /// Its runs in their order in the batch. A run that is in another batch by now, after the chain was rolled back, is
    /// still named here, and not touched.
    pub runs: Vec<RunRef>,
}

const RUN_REF: &str = "id, device, sequence, entries, head, received_at";

impl Store {
    /// Runs that wait, in the order of their turns, at most so many.
    pub async fn pending_runs(&self, limit: u32) -> Result<Vec<PendingRun>, StoreError> {
        let sql = format!(
            "SELECT {RUN_REF}, previous, signature, entries_bytes FROM runs WHERE state = {PENDING} ORDER BY turn, id LIMIT $1"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::from(limit))
            .fetch_all(self.own.pool())
            .await?;
        let pending = rows.iter().map(|row| {
            let run = run_ref(row)?;
            let entries: Vec<u8> = row.try_get("entries_bytes")?;
            let for_chain = Run {
                device: run.device,
                first_sequence: run.sequence,
                previous: hash(row.try_get("previous")?)?,
                entries: rows::entries(&entries).collect(),
                signature: rows::signature(row)?,
            };
            Ok(PendingRun { run, for_chain })
        });
        pending.collect()
    }

    /// Puts pending runs into a signed transaction. Only when this has returned the batch may it be sent: then, and not
    /// before, its runs are in no other. None if a run has changed since it was read; then the transaction must never be
    /// sent.
    pub async fn store_batch(
        &self,
        lease: Lease,
        batch: NewBatch,
        runs: Vec<RunRef>,
    ) -> Result<Option<LiveBatch>, StoreError> {
        let mut transaction = self.own.begin().await?;
        self.hold(&mut transaction, lease).await?;
        let id = next_batch(&mut transaction, batch.nonce).await?;
        let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
        let sql = format!(
            "UPDATE runs SET state = {SUBMITTED}, batch = $1 WHERE state = {PENDING} AND id IN ({})",
            list(&ids)
        );
        let marked = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        if marked.rows_affected() != ids.len() as u64 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let id_bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        sqlx::query(
            "INSERT INTO batches (id, hash, nonce, death, bytes, runs, created_at, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(batch.hash.0.to_vec())
        .bind(signed(batch.nonce))
        .bind(signed(batch.death))
        .bind(batch.bytes.to_vec())
        .bind(id_bytes)
        .bind(signed(self.clock.now_millis()))
        .bind(LIVE)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(LiveBatch {
            id,
            transaction: batch,
            runs,
        }))
    }

    /// Every transaction that may still get into a block, by nonce.
    pub async fn live_batches(&self) -> Result<Vec<LiveBatch>, StoreError> {
        let sql = format!(
            "SELECT id, hash, nonce, death, bytes, runs FROM batches WHERE state = {LIVE} ORDER BY nonce"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(self.own.pool())
            .await?;
        let mut batches = Vec::with_capacity(rows.len());
        for row in &rows {
            let bytes: Vec<u8> = row.try_get("bytes")?;
            let ids: Vec<u8> = row.try_get("runs")?;
            let ids = ids
                .chunks_exact(8)
                .map(|id| i64::from_be_bytes(id.try_into().expect("chunks have eight bytes; qed")));
            batches.push(LiveBatch {
                id: row.try_get("id")?,
                transaction: NewBatch {
                    hash: hash(row.try_get("hash")?)?,
                    nonce: unsigned(row.try_get("nonce")?)?,
                    death: unsigned(row.try_get("death")?)?,
                    bytes: bytes.into(),
                },
                runs: self.run_refs(&ids.collect::<Vec<_>>()).await?,
            });
        }
        Ok(batches)
    }

    /// The nonce after all that were spent here for the account, however long ago that was; none if none was.
    pub async fn next_nonce(&self) -> Result<Option<u64>, StoreError> {
        let (next,): (Option<i64>,) = sqlx::query_as("SELECT next_nonce FROM sending WHERE id = 1")
            .fetch_one(self.own.pool())
            .await?;
        next.map(unsigned).transpose()
    }

    /// Gives a transaction up that cannot get into a block any more; its runs wait again.
    pub async fn discard(&self, lease: Lease, batch: i64) -> Result<(), StoreError> {
        let mut transaction = self.own.begin().await?;
        self.hold(&mut transaction, lease).await?;
        sqlx::query("UPDATE batches SET state = $1 WHERE id = $2 AND state = $3")
            .bind(DEAD)
            .bind(batch)
            .bind(LIVE)
            .execute(&mut *transaction)
            .await?;
        release(&mut transaction, batch).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// In the order of the ids given.
    async fn run_refs(&self, ids: &[i64]) -> Result<Vec<RunRef>, StoreError> {
        let sql = format!("SELECT {RUN_REF} FROM runs WHERE id IN ({})", list(ids));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(self.own.pool())
            .await?;
        let runs: Result<Vec<_>, _> = rows.iter().map(run_ref).collect();
        let mut runs = runs?;
        // Ids are few and the order matters: the chain names refused runs by their place.
        let places: std::collections::HashMap<_, _> = ids.iter().zip(0..).collect();
        runs.sort_by_key(|run| places.get(&run.id).copied().unwrap_or(usize::MAX));
        if runs.len() == ids.len() {
            Ok(runs)
        } else {
            Err(StoreError::Corrupt("a batch"))
        }
    }
}

/// The id of a new batch, which spends this nonce.
async fn next_batch(transaction: &mut WriteTransaction, nonce: u64) -> Result<i64, StoreError> {
    let (next,): (i64,) = sqlx::query_as(
        "UPDATE sending SET next_batch = next_batch + 1, \
         next_nonce = CASE WHEN next_nonce > $1 THEN next_nonce ELSE $1 END WHERE id = 1 RETURNING next_batch",
    )
    .bind(signed(nonce + 1))
    .fetch_one(&mut **transaction)
    .await?;
    Ok(next - 1)
}

/// Runs of a batch that wait again.
pub(super) async fn release(
    transaction: &mut WriteTransaction,
    batch: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET state = $1, batch = NULL WHERE batch = $2 AND state = $3")
        .bind(PENDING)
        .bind(batch)
        .bind(SUBMITTED)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn run_ref(row: &sqlx::any::AnyRow) -> Result<RunRef, StoreError> {
    Ok(RunRef {
        id: row.try_get("id")?,
        device: unsigned(row.try_get("device")?)?,
        sequence: unsigned(row.try_get("sequence")?)?,
        entries: unsigned(row.try_get("entries")?)?,
        head: hash(row.try_get("head")?)?,
        received_at: unsigned(row.try_get("received_at")?)?,
    })
}

/// Numbers of our own, written into the statement: there may be more than a statement takes parameters. An empty list
/// names no row.
pub(super) fn list(ids: &[i64]) -> String {
    match ids {
        [] => "-1".into(),
        ids => ids.iter().map(i64::to_string).collect::<Vec<_>>().join(","),
    }
}
