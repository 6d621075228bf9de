// SPDX-License-Identifier: Apache-2.0

//! Lines of the log.

use mhealth_api::Hash;
use mhealth_server::rows::{hash, signed, unsigned};
use mhealth_server::{StoreError, WriteTransaction};

use super::Store;
use crate::log::{LogLine, Note};

impl Store {
    /// Waits until no other transaction that writes to the log is under way, so that what follows is committed in its
    /// order. SQLite's writers wait for each other anyway.
    pub(super) async fn take_turn(
        &self,
        transaction: &mut WriteTransaction,
    ) -> Result<(), StoreError> {
        if self.database.is_postgres() {
            sqlx::query("LOCK TABLE log IN SHARE ROW EXCLUSIVE MODE")
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// Appends a line, together with whatever else the transaction does. Writers of the log wait for each other until they
    /// commit, so this is the transaction's last step.
    pub(super) async fn append(
        &self,
        transaction: &mut WriteTransaction,
        note: Note<'_>,
    ) -> Result<(), StoreError> {
        self.take_turn(transaction).await?;
        let last: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT id, hash FROM log ORDER BY id DESC LIMIT 1")
                .fetch_optional(&mut **transaction)
                .await?;
        let (last, previous) = match last {
            Some((id, bytes)) => (unsigned(id)?, hash(bytes)?),
            None => (0, Hash([0; 32])),
        };
        let line = LogLine::following(last, &previous, note);
        sqlx::query(
            "INSERT INTO log (id, at, actor, action, subject, why, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(signed(line.id))
        .bind(signed(line.at))
        .bind(line.actor)
        .bind(line.action)
        .bind(line.subject)
        .bind(line.why)
        .bind(line.hash.0.to_vec())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Number and hash of the last line; 0 and zeroes before the first.
    pub async fn log_head(&self) -> Result<(u64, Hash), StoreError> {
        let last: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT id, hash FROM log ORDER BY id DESC LIMIT 1")
                .fetch_optional(self.database.pool())
                .await?;
        match last {
            Some((id, bytes)) => Ok((unsigned(id)?, hash(bytes)?)),
            None => Ok((0, Hash([0; 32]))),
        }
    }

    /// Hash of a line; none if there is no such line.
    pub async fn log_hash(&self, line: u64) -> Result<Option<Hash>, StoreError> {
        let found: Option<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM log WHERE id = $1")
            .bind(signed(line))
            .fetch_optional(self.database.pool())
            .await?;
        found.map(|(bytes,)| hash(bytes)).transpose()
    }

    /// Up to `limit` lines after line `after`.
    pub async fn log(&self, after: u64, limit: u32) -> Result<Vec<LogLine>, StoreError> {
        type Row = (i64, i64, String, String, String, String, Vec<u8>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, at, actor, action, subject, why, hash FROM log WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let lines = rows
            .into_iter()
            .map(|(id, at, actor, action, subject, why, bytes)| {
                Ok(LogLine {
                    id: unsigned(id)?,
                    at: unsigned(at)?,
                    actor,
                    action,
                    subject,
                    why,
                    hash: hash(bytes)?,
                })
            });
        lines.collect()
    }
}
