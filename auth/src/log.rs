// SPDX-License-Identifier: Apache-2.0

//! Who did what, when and why. The database refuses to change or delete a line, and each line's hash covers the one before
//! it, so that a line that was changed behind the database's back shows.

use hashchain::encoding::hash;
use hashchain::Native;
use mhealth_api::Hash;
use mhealth_server::{ApiError, Database, WriteTransaction};
use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// From 1, without gaps.
    pub id: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Who: an administrator's name, `device`, or `server`.
    pub actor: String,
    /// What, such as `code issued`.
    pub action: String,
    /// To what, such as `code 3` or `device 12`.
    pub subject: String,
    /// Why, in the actor's words.
    pub why: String,
    /// `H("log", u64 id, u64 at, actor, action, subject, why, hash of the line before)`; 32 zero bytes before the first.
    pub hash: Hash,
}

/// What is to be logged.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// Seconds since 1970.
    pub at: u64,
    /// Who.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// Why.
    pub why: &'a str,
}

/// Where the chain of hashes does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the log is missing or was changed")]
pub struct Tampered(pub u64);

impl LogLine {
    fn computed(&self, previous: &Hash) -> Hash {
        Hash(hash::<Native>(
            "log",
            &[
                &self.id.to_be_bytes(),
                &self.at.to_be_bytes(),
                self.actor.as_bytes(),
                self.action.as_bytes(),
                self.subject.as_bytes(),
                self.why.as_bytes(),
                &previous.0,
            ],
        ))
    }
}

/// Waits until no other transaction that writes to the log is under way, so that what follows is committed in its order.
/// SQLite's writers wait for each other anyway.
pub async fn take_turn(
    database: &Database,
    transaction: &mut WriteTransaction,
) -> Result<(), sqlx::Error> {
    if database.is_postgres() {
        sqlx::query("LOCK TABLE log IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Appends a line, together with whatever else the transaction does. Writers of the log wait for each other until they
/// commit, so this is the transaction's last step.
pub async fn append(
    database: &Database,
    transaction: &mut WriteTransaction,
    note: Note<'_>,
) -> Result<(), sqlx::Error> {
    take_turn(database, transaction).await?;
    let last: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT id, hash FROM log ORDER BY id DESC LIMIT 1")
            .fetch_optional(&mut **transaction)
            .await?;
    let (last, previous) = match last {
        Some((id, hash)) => (id as u64, hash_of(hash)?),
        None => (0, Hash([0; 32])),
    };
    let mut line = LogLine {
        id: last + 1,
        at: note.at,
        actor: note.actor.to_owned(),
        action: note.action.to_owned(),
        subject: note.subject.to_owned(),
        why: note.why.to_owned(),
        hash: previous,
    };
    line.hash = line.computed(&previous);
    sqlx::query("INSERT INTO log (id, at, actor, action, subject, why, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(line.id as i64)
        .bind(line.at as i64)
        .bind(line.actor)
        .bind(line.action)
        .bind(line.subject)
        .bind(line.why)
        .bind(line.hash.0.to_vec())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

type Row = (i64, i64, String, String, String, String, Vec<u8>);

/// Up to `limit` lines after line `after`.
pub async fn read(database: &Database, after: u64, limit: u32) -> Result<Vec<LogLine>, ApiError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, at, actor, action, subject, why, hash FROM log WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.min(i64::MAX as u64) as i64)
    .bind(i64::from(limit))
    .fetch_all(database.pool())
    .await?;
    let lines = rows
        .into_iter()
        .map(|(id, at, actor, action, subject, why, hash)| {
            let hash = hash_of(hash)?;
            Ok(LogLine {
                id: id as u64,
                at: at as u64,
                actor,
                action,
                subject,
                why,
                hash,
            })
        });
    Ok(lines.collect::<Result<_, sqlx::Error>>()?)
}

/// Checks that the log stands as it was written. `previous` is the hash of the line before the first of `lines`, and 32
/// zero bytes before line 1.
pub fn verify(mut previous: Hash, lines: &[LogLine]) -> Result<Hash, Tampered> {
    let first = lines.first().map_or(0, |line| line.id);
    for (expected, line) in (first..).zip(lines) {
        if line.id != expected || line.hash != line.computed(&previous) {
            return Err(Tampered(expected));
        }
        previous = line.hash;
    }
    Ok(previous)
}

pub(crate) fn hash_of(bytes: Vec<u8>) -> Result<Hash, sqlx::Error> {
    let bytes: Result<[u8; 32], _> = bytes.try_into();
    bytes
        .map(Hash)
        .map_err(|_| sqlx::Error::Decode("a hash does not have 32 bytes".into()))
}
