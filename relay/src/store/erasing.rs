// SPDX-License-Identifier: Apache-2.0

//! Envelopes that are erased: those of devices on the holder's order, and those that are older than their study's rule.
//!
//! The run stays, with digests, tags, links, signature and receipt, so everything can be checked as before. Its envelopes become
//! nothing, and what lies where they were is overwritten, and then leaves the database's files ([`Store::scrub`]).

use std::collections::{BTreeMap, BTreeSet};

use hashchain::{DeviceId, StudyId};
use mhealth_api::ErasureOrder;
use mhealth_server::WriteTransaction;
use sqlx::AssertSqlSafe;

use super::accept::lock;
use super::outbox::list;
use super::rows::{signed, unsigned, CONFLICTING, FINALISED};
use super::{Store, StoreError};

/// Runs that are emptied in one transaction, for which uploads have to wait, and bytes of their envelopes, at most.
const GROUP: i64 = 256;
const GROUP_BYTES: i64 = 16 * 1024 * 1024;

/// What is erased of devices, and what is not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Envelopes that are kept.
    pub kept: u64,
    /// Runs that are on their way to the chain.
    pub on_their_way: u64,
}

/// When the bytes of emptied runs are to leave the files.
#[derive(Clone, Copy)]
enum Leave {
    /// As soon as possible. Whoever ordered it asks whether they have.
    Ordered,
    /// As soon as possible: what was too old, where nobody has to wait for that.
    Soon,
    /// When the hour has come for what was too old.
    Later,
}

/// Id, device, entries and bytes of a run whose envelopes go.
type Found = (i64, i64, i64, i64);

const COLUMNS: &str =
    "runs.id, runs.device, runs.entries, CAST(length(payloads.envelopes) AS BIGINT) \
                       FROM runs JOIN payloads ON payloads.id = runs.id";

impl Store {
    /// Writes down that the envelopes of these devices are to be erased. From then on nothing of them is stored.
    pub async fn order_erasure(&self, order: &ErasureOrder, by: &str) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction, 0).await?;
        let mut new = 0;
        for device in &order.devices {
            let ordered = sqlx::query(
                "INSERT INTO erasures (device, study, receipt, brought_by, ordered_at, done) VALUES ($1, $2, $3, $4, $5, 0) \
                 ON CONFLICT (device) DO NOTHING",
            )
            .bind(i64::from(*device))
            .bind(i64::from(order.study))
            .bind(order.receipt().0.to_vec())
            .bind(by.to_owned())
            .bind(signed(self.clock.now()))
            .execute(&mut *transaction)
            .await?;
            new += signed(ordered.rows_affected());
            sqlx::query(
                "INSERT INTO device_usage (device, bytes, day, day_at, turn, erased) VALUES ($1, 0, 0, 0, 0, 1) \
                 ON CONFLICT (device) DO UPDATE SET erased = 1",
            )
            .bind(i64::from(*device))
            .execute(&mut *transaction)
            .await?;
        }
        // Also of devices of which nothing is kept: what grew too old may still be in the files.
        want_scrub(&mut transaction, Leave::Ordered, new).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Erases everything that was ordered to be erased and is still there. How many envelopes that were.
    pub async fn erase(&self) -> Result<u64, StoreError> {
        let (open,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM erasures WHERE done = 0")
            .fetch_one(self.database.pool())
            .await?;
        if open == 0 {
            return Ok(0);
        }
        let sql = format!(
            "SELECT {COLUMNS} JOIN erasures ON erasures.device = runs.device \
             WHERE erasures.done = 0 AND runs.kept = 1 AND runs.id > $1 ORDER BY runs.id LIMIT $2"
        );
        let (mut after, mut erased) = (0, 0);
        loop {
            let found: Vec<Found> = sqlx::query_as(AssertSqlSafe(sql.as_str()))
                .bind(after)
                .bind(GROUP)
                .fetch_all(self.database.pool())
                .await?;
            let Some((last, found)) = group(&found) else {
                // Whatever was ordered meanwhile begins from the first run.
                sqlx::query(
                    "UPDATE erasures SET done = 1 WHERE done = 0 AND NOT EXISTS \
                     (SELECT 1 FROM runs WHERE runs.device = erasures.device AND runs.kept = 1)",
                )
                .execute(self.database.pool())
                .await?;
                return Ok(erased);
            };
            after = last;
            erased += self.empty(found, "kept = 1", Leave::Ordered).await?;
        }
    }

    /// Erases the envelopes of a study that are older than its rule: those of runs that were registered, or contradicted what
    /// was, before this time in milliseconds since 1970. What may still be registered is kept. How many envelopes that were.
    pub async fn expire(&self, study: StudyId, before: u64) -> Result<u64, StoreError> {
        let (sql, mut erased) = (expired(), 0);
        loop {
            let found: Vec<Found> = sqlx::query_as(AssertSqlSafe(sql.as_str()))
                .bind(i64::from(study))
                .bind(signed(before))
                .bind(GROUP)
                .fetch_all(self.database.pool())
                .await?;
            let Some((_, found)) = group(&found) else {
                return Ok(erased);
            };
            // PostgreSQL writes the whole table anew for that, and lets everybody wait.
            let leave = match self.database.is_postgres() {
                true => Leave::Later,
                false => Leave::Soon,
            };
            erased += self.empty(found, &settled(), leave).await?;
        }
    }

    /// Empties those of the runs that are as they were found, in one transaction, and writes down when their bytes are to leave the
    /// files. They were looked for without the lock, so uploads wait for what is written alone. How many envelopes that were.
    async fn empty(
        &self,
        found: &[Found],
        as_found: &str,
        leave: Leave,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction, 0).await?;
        let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
        let sql = format!(
            "UPDATE runs SET kept = 0 WHERE {as_found} AND id IN ({}) RETURNING id",
            list(&ids)
        );
        let ids: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut *transaction)
            .await?;
        let ids: BTreeSet<i64> = ids.into_iter().map(|(id,)| id).collect();
        if ids.is_empty() {
            transaction.rollback().await?;
            return Ok(0);
        }
        let (mut freed, mut envelopes) = (BTreeMap::<i64, i64>::new(), 0);
        for (_, device, entries, bytes) in found.iter().filter(|(id, ..)| ids.contains(id)) {
            *freed.entry(*device).or_default() += bytes;
            envelopes += unsigned::<u64>(*entries)?;
        }
        let sql = format!(
            "UPDATE payloads SET envelopes = {} WHERE id IN ({})",
            self.database.erased("envelopes"),
            list(&ids.into_iter().collect::<Vec<_>>())
        );
        sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        for (device, bytes) in freed {
            sqlx::query(
                "UPDATE device_usage SET bytes = CASE WHEN bytes > $1 THEN bytes - $1 ELSE 0 END WHERE device = $2",
            )
            .bind(bytes)
            .bind(device)
            .execute(&mut *transaction)
            .await?;
        }
        want_scrub(&mut transaction, leave, 1).await?;
        transaction.commit().await?;
        Ok(envelopes)
    }

    /// The hour has come for the bytes of what was too old to leave the database's files: [`scrub`](Self::scrub) sees to it. Whether
    /// there are any that have not.
    pub async fn scrub_the_old(&self) -> Result<bool, StoreError> {
        if !self.database.is_postgres() {
            return Ok(false);
        }
        let due = "UPDATE scrubbing SET due = later WHERE id = 1 AND due < later AND gone < later";
        let due = sqlx::query(due).execute(self.database.pool()).await?;
        Ok(due.rows_affected() > 0)
    }

    /// Makes the bytes of everything that was ordered to be erased leave the database's files, if they have not. What was too
    /// old leaves them, too; on PostgreSQL only then, or [when its hour has come](Self::scrub_the_old). False if that has to be
    /// tried again.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let (wanted, done, later, due, gone): (i64, i64, i64, i64, i64) =
            sqlx::query_as("SELECT wanted, done, later, due, gone FROM scrubbing WHERE id = 1")
                .fetch_one(self.database.pool())
                .await?;
        if done >= wanted && gone >= due {
            return Ok(true);
        }
        if !self.database.scrub("payloads").await? {
            return Ok(false);
        }
        // What grew too old meanwhile waits for its hour.
        sqlx::query(
            "UPDATE scrubbing SET done = CASE WHEN done < $1 THEN $1 ELSE done END, \
             gone = CASE WHEN gone < $2 THEN $2 ELSE gone END WHERE id = 1",
        )
        .bind(wanted)
        .bind(later)
        .execute(self.database.pool())
        .await?;
        Ok(true)
    }

    /// Lets new envelopes take the room of those that were too old, whose bytes leave the files later. Nobody waits for that.
    pub async fn give_room(&self) -> Result<(), StoreError> {
        self.database.give_room("payloads").await
    }

    /// Whether the bytes of everything that was ordered to be erased have left the database's files. What was too old does not count.
    pub async fn is_scrubbed(&self) -> Result<bool, StoreError> {
        let (open,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM scrubbing WHERE done < wanted")
            .fetch_one(self.database.pool())
            .await?;
        Ok(open == 0)
    }

    /// What is erased of these devices, and what is not yet.
    pub async fn erased(&self, devices: &[DeviceId]) -> Result<Erased, StoreError> {
        let devices: BTreeSet<i64> = devices.iter().map(|device| i64::from(*device)).collect();
        let devices = list(&devices.into_iter().collect::<Vec<_>>());
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(entries), 0) AS BIGINT) FROM runs WHERE device IN ({devices}) AND kept = 1"
        );
        let (kept,): (i64,) = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(self.database.pool())
            .await?;
        let sql = format!(
            "SELECT COUNT(*) FROM runs WHERE device IN ({devices}) AND state < {FINALISED}"
        );
        let (open,): (i64,) = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(self.database.pool())
            .await?;
        Ok(Erased {
            kept: unsigned(kept)?,
            on_their_way: unsigned(open)?,
        })
    }
}

/// What is true of a run whose envelopes grow too old, in the words of the index of these runs: what is younger, and what never
/// grows too old, costs nothing to whoever asks.
fn settled() -> String {
    format!("kept = 1 AND state IN ({FINALISED}, {CONFLICTING})")
}

/// The statement that finds runs of a study which were settled before some time, the oldest first.
pub(super) fn expired() -> String {
    let settled = settled();
    format!(
        "SELECT {COLUMNS} WHERE runs.study = $1 AND runs.settled_at < $2 AND {settled} ORDER BY runs.settled_at LIMIT $3"
    )
}

/// As many of the runs as go together, one at least, and the id of the last of them; none if there are none.
fn group(found: &[Found]) -> Option<(i64, &[Found])> {
    let mut bytes = 0;
    let mut fits = |(_, _, _, more): &&Found| {
        bytes += more;
        bytes <= GROUP_BYTES
    };
    let count = found.iter().take_while(|run| fits(run)).count().max(1);
    let group = found.get(..count)?;
    group.last().map(|(last, ..)| (*last, group))
}

/// So many times more the files have to be scrubbed.
async fn want_scrub(
    transaction: &mut WriteTransaction,
    leave: Leave,
    times: i64,
) -> Result<(), StoreError> {
    let sql = match leave {
        Leave::Ordered => "UPDATE scrubbing SET wanted = wanted + $1 WHERE id = 1",
        Leave::Soon => "UPDATE scrubbing SET later = later + $1, due = later + $1 WHERE id = 1",
        Leave::Later => "UPDATE scrubbing SET later = later + $1 WHERE id = 1",
    };
    sqlx::query(sql)
        .bind(times)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
