// SPDX-License-Identifier: Apache-2.0

//! For auditors: their credentials, and the runs with their envelopes.

use mhealth_api::{ExportedRun, SignatureBytes};
use rand::rngs::OsRng;
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row};
use zeroize::Zeroizing;

use super::rows::{self, hash, signed, unsigned, STATUS_COLUMNS};
use super::{Store, StoreError};

/// Runs that are read from the database at a time.
const PAGE: u32 = 16;
/// What an auditor's credential begins with, so that people and secret scanners know it for what it is.
const PREFIX: &str = "mhealth-auditor-";

/// Which runs to export.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportQuery {
    /// Those behind this cursor.
    pub after: u64,
    /// Those of one study only.
    pub study: Option<u32>,
}

impl Store {
    /// The next runs behind the cursor, a few at a time; none at the end.
    pub async fn export(&self, query: ExportQuery) -> Result<Vec<ExportedRun>, StoreError> {
        let sql = format!(
            "SELECT runs.id AS id, study, previous, signature, received_at, entries_bytes, envelopes, {STATUS_COLUMNS} \
             FROM runs JOIN payloads ON payloads.id = runs.id \
             WHERE runs.id > $1 AND ($2 < 0 OR study = $2) ORDER BY runs.id LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(signed(query.after))
            .bind(query.study.map_or(-1, i64::from))
            .bind(i64::from(PAGE))
            .fetch_all(self.database.pool())
            .await?;
        let runs = rows.iter().map(|row| {
            let signature: Option<Vec<u8>> = row.try_get("signature")?;
            let signature = signature.map(<[u8; 64]>::try_from).transpose();
            let signature = signature.map_err(|_| StoreError::Corrupt("a signature"))?;
            let entries: Vec<u8> = row.try_get("entries_bytes")?;
            let envelopes: Vec<u8> = row.try_get("envelopes")?;
            let received_at: u64 = unsigned(row.try_get("received_at")?)?;
            Ok(ExportedRun {
                cursor: unsigned(row.try_get("id")?)?,
                status: rows::status(row)?,
                study: unsigned(row.try_get("study")?)?,
                previous: hash(row.try_get("previous")?)?,
                entries: rows::entries(&entries, &envelopes)?,
                signature: signature.map(SignatureBytes),
                received_at: received_at / 1_000,
            })
        });
        runs.collect()
    }

    /// Makes a credential for an auditor and keeps its hash. None if there is an auditor of this name already.
    pub async fn add_auditor(&self, name: &str) -> Result<Option<Zeroizing<String>>, StoreError> {
        let mut random = Zeroizing::new([0; 32]);
        OsRng
            .try_fill_bytes(&mut *random)
            .expect("the operating system has random numbers; qed");
        let credential = Zeroizing::new(format!("{PREFIX}{}", hex::encode(*random)));
        let added = sqlx::query(
            "INSERT INTO auditors (name, credential, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(name.to_owned())
        .bind(hashed(&credential))
        .bind(signed(self.clock.now()))
        .execute(self.database.pool())
        .await?;
        Ok((added.rows_affected() == 1).then_some(credential))
    }

    /// Takes an auditor's credential back. False if there is no auditor of this name.
    pub async fn remove_auditor(&self, name: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM auditors WHERE name = $1")
            .bind(name.to_owned())
            .execute(self.database.pool())
            .await?;
        Ok(removed.rows_affected() == 1)
    }

    /// Names of the auditors, and since when they have been, in seconds since 1970.
    pub async fn auditors(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, created_at FROM auditors ORDER BY name")
                .fetch_all(self.database.pool())
                .await?;
        rows.into_iter()
            .map(|(name, since)| Ok((name, unsigned(since)?)))
            .collect()
    }

    /// The auditor with this credential. It is looked up by its hash, so the time that takes says nothing about those of
    /// others.
    pub async fn auditor(&self, credential: &str) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT name FROM auditors WHERE credential = $1")
                .bind(hashed(credential))
                .fetch_optional(self.database.pool())
                .await?;
        Ok(row.map(|(name,)| name))
    }
}

fn hashed(credential: &str) -> Vec<u8> {
    Sha256::digest(credential.as_bytes()).to_vec()
}
