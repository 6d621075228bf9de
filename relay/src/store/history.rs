// SPDX-License-Identifier: Apache-2.0

//! What is stored of the devices of a group of uploads.

use std::collections::HashMap;

use hashchain::{entries, DeviceId, LinkHash, Native};
use mhealth_api::{Hash, Head, RunStatus};
use mhealth_server::WriteTransaction;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::quotas::Usage;
use super::rows::{
    self, hash, signed, unsigned, CHUNK, FINALISED, PENDING, REFUSED, STATUS_COLUMNS,
    UNSIGNED_RIVAL,
};
use super::StoreError;
use crate::run::CheckedRun;

/// Those of the runs that are stored, and where they stand.
pub(super) async fn known(
    transaction: &mut WriteTransaction,
    runs: &[&CheckedRun],
) -> Result<HashMap<Hash, RunStatus>, StoreError> {
    let mut known = HashMap::new();
    for chunk in runs.chunks(CHUNK) {
        let sql = format!(
            "SELECT {STATUS_COLUMNS} FROM runs WHERE run IN ({})",
            transaction.parameters().list(chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
        for run in chunk {
            query = query.bind(run.id.0.to_vec());
        }
        for row in query.fetch_all(&mut **transaction).await? {
            let status = rows::status(&row)?;
            known.insert(status.run, status);
        }
    }
    Ok(known)
}

/// The relay's own heads of the runs' devices.
pub(super) async fn heads(
    transaction: &mut WriteTransaction,
    runs: &[&CheckedRun],
) -> Result<HashMap<DeviceId, Head>, StoreError> {
    let mut heads = HashMap::new();
    for chunk in devices(runs).chunks(CHUNK) {
        let sql = format!(
            "SELECT device, length, hash FROM heads WHERE device IN ({})",
            transaction.parameters().list(chunk.len())
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

fn devices(runs: &[&CheckedRun]) -> Vec<DeviceId> {
    let mut devices: Vec<_> = runs.iter().map(|checked| checked.run.device).collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}

/// What the runs' devices take, as far as anything was stored of them.
pub(super) async fn usage(
    transaction: &mut WriteTransaction,
    runs: &[&CheckedRun],
) -> Result<HashMap<DeviceId, Usage>, StoreError> {
    let mut usage = HashMap::new();
    for chunk in devices(runs).chunks(CHUNK) {
        let sql = format!(
            "SELECT device, bytes, day, day_at, turn, erased FROM device_usage WHERE device IN ({})",
            transaction.parameters().list(chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
        for device in chunk {
            query = query.bind(i64::from(*device));
        }
        for row in query.fetch_all(&mut **transaction).await? {
            let of_device = Usage {
                bytes: unsigned(row.try_get("bytes")?)?,
                day: unsigned(row.try_get("day")?)?,
                day_at: unsigned(row.try_get("day_at")?)?,
                turn: unsigned(row.try_get("turn")?)?,
                is_erased: row.try_get::<i64, _>("erased")? != 0,
            };
            usage.insert(unsigned(row.try_get("device")?)?, of_device);
        }
    }
    Ok(usage)
}

/// The turn of the first run that waits; none if none does.
pub(super) async fn first_turn(
    transaction: &mut WriteTransaction,
) -> Result<Option<u64>, StoreError> {
    let sql = format!("SELECT turn FROM runs WHERE state = {PENDING} ORDER BY turn, id LIMIT 1");
    let row: Option<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(|(turn,)| unsigned(turn)).transpose()
}

/// The first turn of a device's runs after a sequence that wait or are on their way; none if there are none.
pub(super) async fn turn_after(
    transaction: &mut WriteTransaction,
    device: DeviceId,
    sequence: u64,
) -> Result<Option<u64>, StoreError> {
    let (turn,): (Option<i64>,) = sqlx::query_as(
        "SELECT MIN(turn) FROM runs WHERE device = $1 AND sequence > $2 AND state < $3",
    )
    .bind(i64::from(device))
    .bind(signed(sequence))
    .bind(FINALISED)
    .fetch_one(&mut **transaction)
    .await?;
    turn.map(unsigned).transpose()
}

/// The link at a sequence in a run that is on its way or finalised; none if no such run is stored.
pub(super) async fn link_at(
    transaction: &mut WriteTransaction,
    device: DeviceId,
    sequence: u64,
) -> Result<Option<LinkHash>, StoreError> {
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
    let previous = hash(row.try_get("previous")?)?;
    let bytes: Vec<u8> = row.try_get("entries_bytes")?;
    let mut entries = entries::<Native>(first, previous, rows::entries(&bytes));
    let entry = entries.find(|entry| entry.sequence == sequence);
    Ok(entry.map(|entry| entry.hash))
}

/// How many runs are kept that contradict the history of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rivals {
    /// All of them.
    pub(super) all: u64,
    /// Those that the device's key did not sign.
    pub(super) unsigned: u64,
}

/// How many runs are kept that contradict the history of a device.
pub(super) async fn rivals(
    transaction: &mut WriteTransaction,
    device: DeviceId,
) -> Result<Rivals, StoreError> {
    let kinds: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT rival, COUNT(*) FROM runs WHERE device = $1 AND rival > 0 GROUP BY rival",
    )
    .bind(i64::from(device))
    .fetch_all(&mut **transaction)
    .await?;
    let mut rivals = Rivals::default();
    for (kind, count) in kinds {
        let count: u64 = unsigned(count)?;
        rivals.all += count;
        if kind == UNSIGNED_RIVAL {
            rivals.unsigned += count;
        }
    }
    Ok(rivals)
}
