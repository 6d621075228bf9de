// SPDX-License-Identifier: Apache-2.0

//! What a group of uploads changes in the database.

use std::collections::HashMap;

use hashchain::{DataDigest, DeviceId, RunEntry};
use mhealth_api::{Hash, Head};
use mhealth_server::WriteTransaction;
use sqlx::AssertSqlSafe;

use super::quotas::Usage;
use super::rows::{signed, CHUNK, PENDING, REFUSED, SIGNED_RIVAL, UNSIGNED_RIVAL};
use super::StoreError;
use crate::run::CheckedRun;

/// A run that is to be stored.
pub(super) struct NewRun<'a> {
    /// The row's id.
    pub(super) id: i64,
    pub(super) checked: &'a CheckedRun,
    /// Whether it contradicts the history of its device.
    pub(super) is_rival: bool,
    /// When it goes to the chain.
    pub(super) turn: u64,
}

impl NewRun<'_> {
    /// What the column `rival` says of it.
    pub(super) fn rival(&self) -> i64 {
        match (self.is_rival, self.checked.is_signed) {
            (false, _) => 0,
            (true, false) => UNSIGNED_RIVAL,
            (true, true) => SIGNED_RIVAL,
        }
    }
}

/// Everything that one group changes, gathered before it is written.
#[derive(Default)]
pub(super) struct Changes<'a> {
    pub(super) new: Vec<NewRun<'a>>,
    /// Runs that were refused and get another chance, each with its new turn.
    pub(super) requeued: Vec<(Hash, u64)>,
    /// New heads of devices.
    pub(super) heads: HashMap<DeviceId, Head>,
    /// What devices take.
    pub(super) usage: HashMap<DeviceId, Usage>,
    /// The turn after all that were given to runs.
    pub(super) turn: u64,
    /// Where the clock of turns stands.
    pub(super) clock: u64,
    /// Device, its own count, digest, and the run that the record became.
    pub(super) records: Vec<(DeviceId, u64, DataDigest, Hash)>,
}

impl Changes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.requeued.is_empty() && self.usage.is_empty()
    }

    /// Writes them, with the time in milliseconds since 1970.
    pub(super) async fn write(
        &self,
        transaction: &mut WriteTransaction,
        now: u64,
    ) -> Result<(), StoreError> {
        for chunk in self.new.chunks(CHUNK) {
            insert_runs(transaction, chunk, now).await?;
            insert_payloads(transaction, chunk).await?;
        }
        for (run, turn) in &self.requeued {
            sqlx::query(
                "UPDATE runs SET state = $1, turn = $4, batch = NULL, block_number = NULL, block_hash = NULL, \
                 extrinsic_index = NULL, reason = NULL, settled_at = NULL WHERE run = $2 AND state = $3",
            )
            .bind(PENDING)
            .bind(run.0.to_vec())
            .bind(REFUSED)
            .bind(signed(*turn))
            .execute(&mut **transaction)
            .await?;
        }
        let heads: Vec<_> = self
            .heads
            .iter()
            .map(|(device, head)| (*device, *head))
            .collect();
        for chunk in heads.chunks(CHUNK) {
            write_heads(transaction, chunk).await?;
        }
        let usage: Vec<_> = self.usage.iter().collect();
        for chunk in usage.chunks(CHUNK) {
            write_usage(transaction, chunk).await?;
        }
        sqlx::query(
            "UPDATE relay SET turn = $1, clock = $2 WHERE id = 1 AND (turn < $1 OR clock < $2)",
        )
        .bind(signed(self.turn))
        .bind(signed(self.clock))
        .execute(&mut **transaction)
        .await?;
        for (device, sequence, digest, run) in &self.records {
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
}

async fn insert_runs(
    transaction: &mut WriteTransaction,
    chunk: &[NewRun<'_>],
    now: u64,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO runs (id, run, device, study, sequence, entries, previous, head, signature, rival, received_at, \
         state, entries_bytes, turn) VALUES {}",
        transaction.parameters().rows(chunk.len(), 14)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
    for new in chunk {
        let (checked, run) = (new.checked, &new.checked.run);
        let entries: Vec<_> = run.entries.iter().map(RunEntry::to_bytes).collect();
        query = query
            .bind(new.id)
            .bind(checked.id.0.to_vec())
            .bind(i64::from(run.device))
            .bind(i64::from(checked.study))
            .bind(signed(run.first_sequence))
            .bind(entries.len() as i64)
            .bind(run.previous.0.to_vec())
            .bind(checked.head().0.to_vec())
            .bind(run.signature.map(|signature| signature.to_vec()))
            .bind(new.rival())
            .bind(signed(now))
            .bind(PENDING)
            .bind(entries.into_flattened())
            .bind(signed(new.turn));
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn insert_payloads(
    transaction: &mut WriteTransaction,
    chunk: &[NewRun<'_>],
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO payloads (id, envelopes) VALUES {}",
        transaction.parameters().rows(chunk.len(), 2)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
    for NewRun { id, checked, .. } in chunk {
        query = query.bind(*id).bind(checked.envelopes.clone());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn write_heads(
    transaction: &mut WriteTransaction,
    chunk: &[(DeviceId, Head)],
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO heads (device, length, hash) VALUES {} \
         ON CONFLICT (device) DO UPDATE SET length = excluded.length, hash = excluded.hash",
        transaction.parameters().rows(chunk.len(), 3)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for (device, head) in chunk {
        query = query
            .bind(i64::from(*device))
            .bind(signed(head.length))
            .bind(head.hash.0.to_vec());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn write_usage(
    transaction: &mut WriteTransaction,
    chunk: &[(&DeviceId, &Usage)],
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO device_usage (device, bytes, day, day_at, turn) VALUES {} ON CONFLICT (device) DO UPDATE SET \
         bytes = excluded.bytes, day = excluded.day, day_at = excluded.day_at, turn = excluded.turn",
        transaction.parameters().rows(chunk.len(), 5)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for (device, usage) in chunk {
        query = query
            .bind(i64::from(**device))
            .bind(signed(usage.bytes))
            .bind(signed(usage.day))
            .bind(signed(usage.day_at))
            .bind(signed(usage.turn));
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}
