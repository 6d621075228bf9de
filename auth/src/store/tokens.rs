// SPDX-License-Identifier: Apache-2.0

//! Nonces of token requests.

use hashchain::DeviceId;
use mhealth_api::Nonce;
use mhealth_server::rows::signed;
use mhealth_server::StoreError;

use super::Store;

impl Store {
    /// Uses up a nonce, which is kept until then; false when it was used before.
    pub async fn use_nonce(
        &self,
        device: DeviceId,
        nonce: &Nonce,
        until: u64,
    ) -> Result<bool, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO nonces (device, nonce, until) VALUES ($1, $2, $3) ON CONFLICT (device, nonce) DO NOTHING",
        )
        .bind(i64::from(device))
        .bind(nonce.0.to_vec())
        .bind(signed(until))
        .execute(self.database.pool())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Removes the nonces whose time stamps would be refused anyway.
    pub async fn forget_nonces(&self, now: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM nonces WHERE until < $1")
            .bind(signed(now))
            .execute(self.database.pool())
            .await?;
        Ok(())
    }
}
