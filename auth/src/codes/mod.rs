// SPDX-License-Identifier: Apache-2.0

//! One-time enrolment codes: single use, expiring, stored as hashes.

mod text;

use mhealth_api::{Code, Key};
use mhealth_server::{ApiError, Database};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

pub use mhealth_api::{IssuedCode, NewCode};
pub use text::{CodeSecret, NotACode};

use crate::admins::Admin;
use crate::log::{self, Note};

/// When staff do not say how long a code is good.
pub const DEFAULT_LIFETIME: u64 = 7 * 24 * 3_600;
/// Shortest and longest that they may say.
pub const LIFETIMES: std::ops::RangeInclusive<u64> = 60..=90 * 24 * 3_600;
/// Longest pseudonym, in bytes.
pub const MAX_PARTICIPANT_LENGTH: usize = 128;

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeState {
    /// It can be redeemed.
    Open,
    /// Its time was over before anybody redeemed it.
    Expired,
    /// Staff took it back.
    Revoked,
    /// A device redeemed it.
    Redeemed,
}

/// A code as staff see it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeView {
    /// Names the code without revealing it.
    pub id: u64,
    /// The participant's pseudonym.
    pub participant: String,
    /// X25519 key of the participant.
    pub participant_key: Option<Key>,
    /// The retired device whose hashchain the new one goes on from.
    pub predecessor: Option<u32>,
    /// Who issued it.
    pub created_by: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// Seconds since 1970.
    pub expires_at: u64,
    /// What became of it.
    pub state: CodeState,
}

/// A code as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// What staff see.
    pub view: CodeView,
    /// Whether staff took it back.
    pub revoked: bool,
    /// Whether a device redeemed it.
    pub claimed: bool,
}

struct Row {
    id: i64,
    participant: String,
    participant_key: Option<Vec<u8>>,
    predecessor: Option<i64>,
    created_by: String,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    claimed_at: Option<i64>,
}

impl FromRow<'_, AnyRow> for Row {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            participant: row.try_get("participant")?,
            participant_key: row.try_get("participant_key")?,
            predecessor: row.try_get("predecessor")?,
            created_by: row.try_get("created_by")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
            claimed_at: row.try_get("claimed_at")?,
        })
    }
}

impl Row {
    fn record(self, now: u64) -> CodeRecord {
        let state = match (self.claimed_at, self.revoked_at) {
            (Some(_), _) => CodeState::Redeemed,
            (None, Some(_)) => CodeState::Revoked,
            (None, None) if self.expires_at as u64 <= now => CodeState::Expired,
            (None, None) => CodeState::Open,
        };
        let participant_key = self
            .participant_key
            .and_then(|key| key.try_into().ok())
            .map(Key);
        CodeRecord {
            revoked: self.revoked_at.is_some(),
            claimed: self.claimed_at.is_some(),
            view: CodeView {
                id: self.id as u64,
                participant: self.participant,
                participant_key,
                predecessor: self.predecessor.map(|device| device as u32),
                created_by: self.created_by,
                created_at: self.created_at as u64,
                expires_at: self.expires_at as u64,
                state,
            },
        }
    }
}

/// The order and its lifetime, if both are possible.
fn checked(new: NewCode) -> Result<(NewCode, u64), ApiError> {
    let lifetime = new.expires_in.unwrap_or(DEFAULT_LIFETIME);
    let is_name = (1..=MAX_PARTICIPANT_LENGTH).contains(&new.participant.len())
        && !new.participant.chars().any(char::is_control)
        && new.participant.trim() == new.participant;
    if !is_name {
        let detail = "The member participant has 1 to 128 bytes, no control characters and no space around it.";
        return Err(ApiError::new(Code::InvalidMessage, detail));
    }
    if !LIFETIMES.contains(&lifetime) {
        let detail = "The member expires_in is from 60 to 7776000 seconds.";
        return Err(ApiError::new(Code::InvalidMessage, detail));
    }
    Ok((new, lifetime))
}

/// Makes a code. The caller has seen to the predecessor.
pub async fn issue(
    database: &Database,
    admin: &Admin,
    new: NewCode,
    now: u64,
) -> Result<IssuedCode, ApiError> {
    let (new, lifetime) = checked(new)?;
    let secret = CodeSecret::random().map_err(ApiError::internal)?;
    let expires_at = now + lifetime;
    let mut transaction = database.begin().await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO codes (hash, participant, participant_key, predecessor, created_by, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(secret.hash())
    .bind(new.participant)
    .bind(new.participant_key.map(|key| key.0.to_vec()))
    .bind(new.predecessor.map(i64::from))
    .bind(&admin.name)
    .bind(now as i64)
    .bind(expires_at as i64)
    .fetch_one(&mut *transaction)
    .await?;
    let subject = format!("code {id}");
    let note = Note {
        at: now,
        actor: &admin.name,
        action: "code issued",
        subject: &subject,
        why: "",
    };
    log::append(database, &mut transaction, note).await?;
    transaction.commit().await?;
    Ok(IssuedCode {
        id: id as u64,
        code: secret.reveal(),
        expires_at,
    })
}

/// The code of this secret; `unknown_code` when nobody issued it.
pub async fn find(
    database: &Database,
    secret: &CodeSecret,
    now: u64,
) -> Result<CodeRecord, ApiError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM codes WHERE hash = $1")
        .bind(secret.hash())
        .fetch_optional(database.pool())
        .await?;
    Ok(row.ok_or(Code::UnknownCode)?.record(now))
}

/// Up to `limit` codes after number `after`.
pub async fn list(
    database: &Database,
    after: u64,
    limit: u32,
    now: u64,
) -> Result<Vec<CodeView>, ApiError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM codes WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after.min(i64::MAX as u64) as i64)
        .bind(i64::from(limit))
        .fetch_all(database.pool())
        .await?;
    Ok(rows.into_iter().map(|row| row.record(now).view).collect())
}

/// Takes a code back. `code_used` when a device redeemed it before; a second time changes nothing.
pub async fn revoke(database: &Database, admin: &Admin, id: u64, now: u64) -> Result<(), ApiError> {
    let id = i64::try_from(id).map_err(|_| Code::UnknownCode)?;
    let mut transaction = database.begin().await?;
    let revoked = sqlx::query(
        "UPDATE codes SET revoked_at = $1 WHERE id = $2 AND claimed_at IS NULL AND revoked_at IS NULL",
    )
    .bind(now as i64)
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    if revoked.rows_affected() == 0 {
        let claimed: Option<(Option<i64>,)> =
            sqlx::query_as("SELECT claimed_at FROM codes WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await?;
        return match claimed {
            None => Err(Code::UnknownCode.into()),
            Some((Some(_),)) => Err(Code::CodeUsed.into()),
            Some((None,)) => Ok(()),
        };
    }
    let subject = format!("code {id}");
    let note = Note {
        at: now,
        actor: &admin.name,
        action: "code revoked",
        subject: &subject,
        why: "",
    };
    log::append(database, &mut transaction, note).await?;
    transaction.commit().await?;
    Ok(())
}
