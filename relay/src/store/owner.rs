// SPDX-License-Identifier: Apache-2.0

//! The account whose database it is, and how another one comes in its place.

use hashchain::StudyId;
use mhealth_api::Hash;
use mhealth_server::identity;

use super::rows::{unsigned, LIVE};
use super::{Lease, Store, StoreError};

pub(super) const ACCOUNT: &str = "account";

impl Store {
    /// The account that the database is bound to; none if it is new.
    pub async fn account(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let account = identity::claimed(&self.own, ACCOUNT).await?;
        let account = account.map(|account| account.parse::<Hash>()).transpose();
        let account = account.map_err(|_| StoreError::Corrupt("an account"))?;
        Ok(account.map(|account| account.0))
    }

    /// The studies that there are runs of.
    pub async fn studies(&self) -> Result<Vec<StudyId>, StoreError> {
        let rows: Vec<(i64,)> = sqlx::query_as("SELECT DISTINCT study FROM runs ORDER BY study")
            .fetch_all(self.database.pool())
            .await?;
        rows.into_iter()
            .map(|(study,)| Ok(StudyId(unsigned(study)?)))
            .collect()
    }

    /// Binds the database to the account that took the place of the one before. False, and nothing is changed, while a
    /// transaction of the former account may still get into a block: its nonces are not those of the new one.
    pub async fn hand_over(&self, lease: Lease, to: &[u8; 32]) -> Result<bool, StoreError> {
        let mut transaction = self.own.begin().await?;
        self.hold(&mut transaction, lease).await?;
        let (live,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT COUNT(*) FROM batches WHERE state = {LIVE}"
        )))
        .fetch_one(&mut *transaction)
        .await?;
        if live > 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        identity::hand_over(&mut transaction, ACCOUNT, Hash(*to).to_string()).await?;
        // Nothing was spent for the new one.
        sqlx::query("UPDATE sending SET next_nonce = NULL WHERE id = 1")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}
