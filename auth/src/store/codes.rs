// SPDX-License-Identifier: Apache-2.0

//! Enrolment codes, by the hashes of their secrets.

use mhealth_api::EnrolmentCode;
use mhealth_server::rows::{hash, signed, unsigned};
use mhealth_server::StoreError;
use sqlx::any::AnyRow;
use sqlx::Row as _;

use super::{Admin, Store};
use crate::codes::{CodeRecord, CodeState, CodeView, NewCode};
use crate::log::Note;

/// What came of taking a code back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, perhaps since before.
    Revoked,
    /// A device redeemed it before.
    Redeemed,
    /// Nobody issued it.
    Unknown,
}

impl Store {
    /// Keeps a code that was made; returns its number.
    pub async fn issue_code(
        &self,
        admin: &Admin,
        new: NewCode,
        code: &EnrolmentCode,
        expires_at: u64,
        now: u64,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        let (id,): (i64,) = sqlx::query_as(
            "INSERT INTO codes (hash, participant, participant_key, predecessor, created_by, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        )
        .bind(code.hash().to_vec())
        .bind(new.participant)
        .bind(new.participant_key.map(|key| key.0.to_vec()))
        .bind(new.predecessor.map(i64::from))
        .bind(admin.name.clone())
        .bind(signed(now))
        .bind(signed(expires_at))
        .fetch_one(&mut *transaction)
        .await?;
        let note = Note {
            at: now,
            actor: &admin.name,
            action: "code issued",
            subject: &format!("code {id}"),
            why: "",
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        unsigned(id)
    }

    /// What is known of a code; none when nobody issued it.
    pub async fn code(
        &self,
        code: &EnrolmentCode,
        now: u64,
    ) -> Result<Option<CodeRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM codes WHERE hash = $1")
            .bind(code.hash().to_vec())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| record(&row, now)).transpose()
    }

    /// Up to `limit` codes after number `after`.
    pub async fn codes(
        &self,
        after: u64,
        limit: u32,
        now: u64,
    ) -> Result<Vec<CodeView>, StoreError> {
        let rows = sqlx::query("SELECT * FROM codes WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        let codes = rows.iter().map(|row| Ok(record(row, now)?.view));
        codes.collect()
    }

    /// Takes a code back that nobody has redeemed.
    pub async fn revoke_code(
        &self,
        admin: &Admin,
        id: u64,
        now: u64,
    ) -> Result<Revocation, StoreError> {
        let Ok(number) = i64::try_from(id) else {
            return Ok(Revocation::Unknown);
        };
        let mut transaction = self.database.begin().await?;
        let revoked = sqlx::query(
            "UPDATE codes SET revoked_at = $1 WHERE id = $2 AND claimed_at IS NULL AND revoked_at IS NULL",
        )
        .bind(signed(now))
        .bind(number)
        .execute(&mut *transaction)
        .await?;
        if revoked.rows_affected() == 0 {
            let claimed: Option<(Option<i64>,)> =
                sqlx::query_as("SELECT claimed_at FROM codes WHERE id = $1")
                    .bind(number)
                    .fetch_optional(&mut *transaction)
                    .await?;
            return Ok(match claimed {
                None => Revocation::Unknown,
                Some((Some(_),)) => Revocation::Redeemed,
                Some((None,)) => Revocation::Revoked,
            });
        }
        let note = Note {
            at: now,
            actor: &admin.name,
            action: "code revoked",
            subject: &format!("code {id}"),
            why: "",
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(Revocation::Revoked)
    }
}

fn record(row: &AnyRow, now: u64) -> Result<CodeRecord, StoreError> {
    let revoked = row.try_get::<Option<i64>, _>("revoked_at")?.is_some();
    let claimed = row.try_get::<Option<i64>, _>("claimed_at")?.is_some();
    let expires_at: u64 = unsigned(row.try_get("expires_at")?)?;
    let participant_key: Option<Vec<u8>> = row.try_get("participant_key")?;
    let predecessor: Option<i64> = row.try_get("predecessor")?;
    let state = match (claimed, revoked) {
        (true, _) => CodeState::Redeemed,
        (false, true) => CodeState::Revoked,
        (false, false) if expires_at <= now => CodeState::Expired,
        (false, false) => CodeState::Open,
    };
    Ok(CodeRecord {
        revoked,
        claimed,
        view: CodeView {
            id: unsigned(row.try_get("id")?)?,
            participant: row.try_get("participant")?,
            participant_key: participant_key.map(hash).transpose()?,
            predecessor: predecessor.map(unsigned).transpose()?,
            created_by: row.try_get("created_by")?,
            created_at: unsigned(row.try_get("created_at")?)?,
            expires_at,
            state,
        },
    })
}
