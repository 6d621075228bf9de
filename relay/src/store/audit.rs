// SPDX-License-Identifier: Apache-2.0

//! For auditors: their credentials, and the runs with their envelopes.

use hashchain::StudyId;
use mhealth_api::{ExportedRun, SignatureBytes};
use mhealth_server::credentials::{self, Change, CredentialError, Holder};
use mhealth_server::SecretText;
use sqlx::{AssertSqlSafe, Row};

use super::rows::{self, hash, signed, unsigned, STATUS_COLUMNS};
use super::{Store, StoreError};

/// Runs that are read from the database at a time.
const PAGE: u32 = 16;

/// Which runs to export.
#[derive(Clone, Copy, Debug)]
pub struct ExportQuery {
    /// Those of this study.
    pub study: StudyId,
    /// Those after this cursor.
    pub after: u64,
}

impl Store {
    /// The next runs after the cursor, a few at a time; none at the end.
    pub async fn export(&self, query: ExportQuery) -> Result<Vec<ExportedRun>, StoreError> {
        let sql = format!(
            "SELECT runs.id AS id, study, previous, signature, received_at, entries_bytes, envelopes, kept, {STATUS_COLUMNS} \
             FROM runs JOIN payloads ON payloads.id = runs.id \
             WHERE runs.id > $1 AND study = $2 ORDER BY runs.id LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(signed(query.after))
            .bind(i64::from(query.study))
            .bind(i64::from(PAGE))
            .fetch_all(self.database.pool())
            .await?;
        let runs = rows.iter().map(|row| {
            let entries: Vec<u8> = row.try_get("entries_bytes")?;
            let kept: i64 = row.try_get("kept")?;
            let envelopes = match kept {
                0 => None,
                _ => Some(row.try_get::<Vec<u8>, _>("envelopes")?),
            };
            let received_at: u64 = unsigned(row.try_get("received_at")?)?;
            Ok(ExportedRun {
                cursor: unsigned(row.try_get("id")?)?,
                status: rows::status(row)?,
                study: unsigned(row.try_get("study")?)?,
                previous: hash(row.try_get("previous")?)?,
                entries: rows::entries_with_envelopes(&entries, envelopes.as_deref())?,
                signature: rows::signature(row)?.map(SignatureBytes),
                received_at: received_at / 1_000,
            })
        });
        runs.collect()
    }

    /// Changes who may export. Returns the credential that was made, if one was.
    pub async fn change_auditor(
        &self,
        change: Change<'_>,
    ) -> Result<Option<SecretText>, CredentialError> {
        self.change_credential("auditor", change).await
    }

    /// Changes who may bring orders to erase. Returns the credential that was made, if one was.
    pub async fn change_eraser(
        &self,
        change: Change<'_>,
    ) -> Result<Option<SecretText>, CredentialError> {
        self.change_credential("eraser", change).await
    }

    async fn change_credential(
        &self,
        role: &str,
        change: Change<'_>,
    ) -> Result<Option<SecretText>, CredentialError> {
        let mut transaction = self.database.begin().await?;
        let made = credentials::change(&mut transaction, role, change, self.clock.now()).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Whose credential this is, and what for; none when nobody's.
    pub async fn auditor(&self, credential: &str) -> Result<Option<Holder>, StoreError> {
        credentials::find(&self.database, credential).await
    }
}
