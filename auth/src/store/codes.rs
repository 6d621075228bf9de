// SPDX-License-Identifier: Apache-2.0

//! Enrolment codes, by the hashes of their secrets.

use hashchain::DeviceId;
use mhealth_api::{Another, EnrolmentCode};
use mhealth_server::rows::{hash, signed, unsigned};
use mhealth_server::{StoreError, WriteTransaction};
use sqlx::any::AnyRow;
use sqlx::Row as _;

use super::orders::REFUSED;
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
    /// Keeps a code that was made; returns its number. None when the participant has an open one, and nobody said what of that;
    /// one that is to be replaced is taken back.
    pub async fn issue_code(
        &self,
        admin: &Admin,
        new: NewCode,
        code: &EnrolmentCode,
        expires_at: u64,
        now: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut transaction = self.database.begin().await?;
        if new.another != Some(Another::Additional) {
            // Two who issue one at the same time see each other's.
            self.take_turn(&mut transaction).await?;
            let open = Self::open_codes(&mut transaction, &new.participant, now).await?;
            if new.another.is_none() && !open.is_empty() {
                return Ok(None);
            }
            for id in open {
                self.take_back(&mut transaction, admin, id, "replaced", now)
                    .await?;
            }
        }
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
        unsigned(id).map(Some)
    }

    /// Codes of a participant that can be redeemed.
    async fn open_codes(
        transaction: &mut WriteTransaction,
        participant: &str,
        now: u64,
    ) -> Result<Vec<i64>, StoreError> {
        let open: Vec<(i64,)> = sqlx::query_as(
            "SELECT id FROM codes WHERE participant = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2 \
             ORDER BY id",
        )
        .bind(participant.to_owned())
        .bind(signed(now))
        .fetch_all(&mut **transaction)
        .await?;
        Ok(open.into_iter().map(|(id,)| id).collect())
    }

    /// Devices of a participant, by their numbers; none for one that redeemed its code and is about to be enrolled.
    pub async fn devices_of(&self, participant: &str) -> Result<Vec<Option<DeviceId>>, StoreError> {
        let devices: Vec<(Option<i64>,)> = sqlx::query_as(
            "SELECT e.device FROM enrolments e JOIN codes c ON c.id = e.code JOIN orders o ON o.code = c.id \
             WHERE c.participant = $1 AND o.state <> $2",
        )
        .bind(participant.to_owned())
        .bind(REFUSED)
        .fetch_all(self.database.pool())
        .await?;
        let devices = devices
            .into_iter()
            .map(|(device,)| device.map(unsigned).transpose());
        devices.collect()
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
        let revoked = self.take_back(&mut transaction, admin, number, "", now);
        if !revoked.await? {
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
        transaction.commit().await?;
        Ok(Revocation::Revoked)
    }

    /// Takes a code back and logs it; false when it was not open any more.
    async fn take_back(
        &self,
        transaction: &mut WriteTransaction,
        admin: &Admin,
        id: i64,
        why: &str,
        now: u64,
    ) -> Result<bool, StoreError> {
        let revoked = sqlx::query(
            "UPDATE codes SET revoked_at = $1 WHERE id = $2 AND claimed_at IS NULL AND revoked_at IS NULL",
        )
        .bind(signed(now))
        .bind(id)
        .execute(&mut **transaction)
        .await?;
        if revoked.rows_affected() == 0 {
            return Ok(false);
        }
        let note = Note {
            at: now,
            actor: &admin.name,
            action: "code revoked",
            subject: &format!("code {id}"),
            why,
        };
        self.append(transaction, note).await?;
        Ok(true)
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
            participant: Some(row.try_get("participant")?),
            participant_key: participant_key.map(hash).transpose()?,
            predecessor: predecessor.map(unsigned).transpose()?,
            created_by: row.try_get("created_by")?,
            created_at: unsigned(row.try_get("created_at")?)?,
            expires_at,
            state,
        },
    })
}
