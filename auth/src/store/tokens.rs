// SPDX-License-Identifier: Apache-2.0

//! Proofs of token requests, so that none is taken twice, whichever process gets it.

use mhealth_server::dpop::ProofUse;
use mhealth_server::rows::signed;
use mhealth_server::StoreError;

use super::Store;

impl Store {
    /// Uses up a proof, which is kept for as long as it would be taken; false when it was used before.
    pub async fn use_proof(&self, proof: &ProofUse) -> Result<bool, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO proofs (id, until) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        )
        .bind(proof.id.to_vec())
        .bind(signed(proof.until))
        .execute(self.database.pool())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Removes the proofs that would be refused anyway.
    pub async fn forget_proofs(&self, now: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM proofs WHERE until < $1")
            .bind(signed(now))
            .execute(self.database.pool())
            .await?;
        Ok(())
    }
}
