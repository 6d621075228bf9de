// SPDX-License-Identifier: Apache-2.0

//! Sessions of staff who logged in by the provider, by the hashes of their credentials.

use mhealth_server::credentials::{self, hashed, random};
use mhealth_server::rows::{signed, unsigned};
use mhealth_server::{SecretText, StoreError};
use serde::{Deserialize, Serialize};

use super::{Admin, Store};
use crate::log::Note;
use crate::login::Person;

/// The role in the credential of a session.
pub const SESSION: &str = "session";
/// Sessions whose hashes are given out, the newest first.
const MOST_HASHES: i64 = 2_048;
/// How long a session is known as one that is over, in seconds.
const MEMORY: u64 = 24 * 3_600;

/// Somebody who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub person: Person,
    /// When it is over, in seconds since 1970.
    pub expires_at: u64,
}

/// A session that is not over, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// Its number.
    pub id: u64,
    /// Who logged in, as in the log.
    pub name: String,
    /// When, in seconds since 1970.
    pub since: u64,
    /// When it is over by itself, in seconds since 1970.
    pub expires_at: u64,
}

/// Which sessions a member of the staff ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichSessions<'a> {
    /// The one of this number.
    Number(u64),
    /// All of this person.
    Of(&'a str),
}

impl Store {
    /// Begins a session, and logs it; returns its credential, which nobody can read again.
    pub async fn begin_session(
        &self,
        session: &Session,
        now: u64,
    ) -> Result<SecretText, StoreError> {
        let credential = random(SESSION);
        let claims = serde_json::to_string(&session.person.values);
        let claims = claims.expect("texts have a JSON form; qed");
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO sessions (hash, name, claims, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(hashed(credential.expose()))
        .bind(session.person.name.clone())
        .bind(claims)
        .bind(signed(now))
        .bind(signed(session.expires_at))
        .execute(&mut *transaction)
        .await?;
        let note = Note {
            at: now,
            actor: &session.person.name,
            action: "logged in",
            subject: "session",
            why: "",
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(credential)
    }

    /// Whose session this is, also if it is over; none when nobody's.
    pub async fn session(&self, credential: &str) -> Result<Option<Session>, StoreError> {
        let found: Option<(String, String, i64)> =
            sqlx::query_as("SELECT name, claims, expires_at FROM sessions WHERE hash = $1")
                .bind(hashed(credential))
                .fetch_optional(self.database.pool())
                .await?;
        let session = found.map(|(name, claims, expires_at)| {
            let values = serde_json::from_str(&claims);
            Ok(Session {
                person: Person {
                    name,
                    values: values.map_err(|_| StoreError::Corrupt("a session"))?,
                },
                expires_at: unsigned(expires_at)?,
            })
        });
        session.transpose()
    }

    /// What is kept of the credentials of staff, and of sessions that are not over: their hashes.
    pub async fn hashes_of_credentials(&self, now: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut hashes = credentials::hashes(&self.database).await?;
        let sessions: Vec<(Vec<u8>,)> = sqlx::query_as(
            "SELECT hash FROM sessions WHERE expires_at > $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(signed(now))
        .bind(MOST_HASHES)
        .fetch_all(self.database.pool())
        .await?;
        hashes.extend(sessions.into_iter().map(|(hash,)| hash));
        Ok(hashes)
    }

    /// Ends a session, and logs it; false when it is none.
    pub async fn end_session(&self, credential: &str, now: u64) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let ended: Option<(String,)> =
            sqlx::query_as("DELETE FROM sessions WHERE hash = $1 RETURNING name")
                .bind(hashed(credential))
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((name,)) = ended else {
            return Ok(false);
        };
        let note = Note {
            at: now,
            actor: &name,
            action: "logged out",
            subject: "session",
            why: "",
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Up to `limit` sessions after number `after` that are not over.
    pub async fn open_sessions(
        &self,
        after: u64,
        limit: u32,
        now: u64,
    ) -> Result<Vec<OpenSession>, StoreError> {
        let rows: Vec<(i64, String, i64, i64)> = sqlx::query_as(
            "SELECT id, name, created_at, expires_at FROM sessions WHERE id > $1 AND expires_at > $2 ORDER BY id LIMIT $3",
        )
        .bind(signed(after))
        .bind(signed(now))
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let sessions = rows.into_iter().map(|(id, name, since, expires_at)| {
            Ok(OpenSession {
                id: unsigned(id)?,
                name,
                since: unsigned(since)?,
                expires_at: unsigned(expires_at)?,
            })
        });
        sessions.collect()
    }

    /// Ends sessions of others that are not over, and logs it; returns how many they were.
    pub async fn end_sessions(
        &self,
        admin: &Admin,
        which: WhichSessions<'_>,
        why: &str,
        now: u64,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        let ended: Vec<(String,)> = match which {
            WhichSessions::Number(id) => {
                sqlx::query_as(
                    "DELETE FROM sessions WHERE id = $1 AND expires_at > $2 RETURNING name",
                )
                .bind(signed(id))
                .bind(signed(now))
                .fetch_all(&mut *transaction)
                .await?
            }
            WhichSessions::Of(name) => {
                sqlx::query_as(
                    "DELETE FROM sessions WHERE name = $1 AND expires_at > $2 RETURNING name",
                )
                .bind(name.to_owned())
                .bind(signed(now))
                .fetch_all(&mut *transaction)
                .await?
            }
        };
        let Some((name,)) = ended.first() else {
            return Ok(0);
        };
        let count = ended.len();
        let (action, subject) = match which {
            WhichSessions::Number(id) => ("session ended", format!("session {id} of {name}")),
            WhichSessions::Of(_) => ("sessions ended", format!("{count} sessions of {name}")),
        };
        let note = Note {
            at: now,
            actor: &admin.name,
            action,
            subject: &subject,
            why,
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(count as u64)
    }

    /// Removes the sessions that have been over for a day.
    pub async fn forget_sessions(&self, now: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE expires_at < $1")
            .bind(signed(now.saturating_sub(MEMORY)))
            .execute(self.database.pool())
            .await?;
        Ok(())
    }
}
