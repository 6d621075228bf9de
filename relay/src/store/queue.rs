// SPDX-License-Identifier: Apache-2.0

//! How much is on its way.

use sqlx::AssertSqlSafe;

use super::rows::{signed, unsigned, FINALISED, LIVE};
use super::{Store, StoreError};

/// What was accepted and is not settled yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Runs.
    pub runs: u64,
    /// Their entries.
    pub entries: u64,
    /// When the oldest of them was stored, in milliseconds since 1970.
    pub oldest: Option<u64>,
    /// Transactions that may still get into a block.
    pub batches: u64,
}

impl Store {
    /// Counts what is on its way.
    pub async fn queue(&self) -> Result<Queue, StoreError> {
        let open = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(entries), 0) AS BIGINT), MIN(received_at) FROM runs \
             WHERE state < {FINALISED}"
        );
        let (runs, entries, oldest): (i64, i64, Option<i64>) = sqlx::query_as(AssertSqlSafe(open))
            .fetch_one(self.own.pool())
            .await?;
        let live = format!("SELECT COUNT(*) FROM batches WHERE state = {LIVE}");
        let (batches,): (i64,) = sqlx::query_as(AssertSqlSafe(live))
            .fetch_one(self.own.pool())
            .await?;
        Ok(Queue {
            runs: unsigned(runs)?,
            entries: unsigned(entries)?,
            oldest: oldest.map(unsigned).transpose()?,
            batches: unsigned(batches)?,
        })
    }

    /// How many devices sent something new after a moment (milliseconds since 1970). Reads a row of each device.
    pub async fn devices_heard_of(&self, since: u64) -> Result<u64, StoreError> {
        let (devices,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM device_usage WHERE day_at > $1")
                .bind(signed(since))
                .fetch_one(self.own.pool())
                .await?;
        unsigned(devices)
    }
}
