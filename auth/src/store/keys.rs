// SPDX-License-Identifier: Apache-2.0

//! The keys that sign tokens, encrypted.

use mhealth_api::Key;
use mhealth_server::rows::{hash, signed};
use mhealth_server::StoreError;

use super::{Decision, Store};
use crate::log::Note;

/// What becomes of the keys before a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// They stay good for the tokens that they signed.
    Stay,
    /// They are good for nothing any more: they may be in other hands.
    Withdrawn,
}

impl Store {
    /// Adds a key, which is the newest from now on. Only the newest signs, so the secrets of those before it are forgotten.
    /// These stay in the key set until their last tokens have expired, or are withdrawn from it at once. False when it needs a
    /// decision that came too late.
    pub async fn add_signing_key(
        &self,
        kid: &str,
        public: [u8; 32],
        wrapped: Vec<u8>,
        before: Before,
        note: Note<'_>,
        decision: Option<&Decision>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        if let Some(decision) = decision {
            if !self.decide(&mut transaction, decision, note.at).await? {
                return Ok(false);
            }
        }
        // Two keys that are made at the same time follow each other.
        self.take_turn(&mut transaction).await?;
        sqlx::query(
            "UPDATE signing_keys SET wrapped = NULL, followed_at = $1 WHERE followed_at IS NULL",
        )
        .bind(signed(note.at))
        .execute(&mut *transaction)
        .await?;
        if before == Before::Withdrawn {
            // As if it had been followed long ago.
            sqlx::query("UPDATE signing_keys SET followed_at = 0")
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("INSERT INTO signing_keys (kid, public_key, wrapped, created_at) VALUES ($1, $2, $3, $4)")
            .bind(kid.to_owned())
            .bind(public.to_vec())
            .bind(wrapped)
            .bind(signed(note.at))
            .execute(&mut *transaction)
            .await?;
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Name and encrypted secret of the newest key; the secret is none when it was forgotten.
    pub async fn newest_signing_key(
        &self,
    ) -> Result<Option<(String, Option<Vec<u8>>)>, StoreError> {
        let newest =
            sqlx::query_as("SELECT kid, wrapped FROM signing_keys ORDER BY id DESC LIMIT 1");
        Ok(newest.fetch_optional(self.database.pool()).await?)
    }

    /// Names and public keys, the newest first, without those that were followed by another at this time or before.
    pub async fn public_keys(&self, followed_after: u64) -> Result<Vec<(String, Key)>, StoreError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT kid, public_key FROM signing_keys WHERE followed_at IS NULL OR followed_at > $1 ORDER BY id DESC",
        )
        .bind(signed(followed_after))
        .fetch_all(self.database.pool())
        .await?;
        let keys = rows
            .into_iter()
            .map(|(kid, public)| Ok((kid, hash(public)?)));
        keys.collect()
    }
}
