// SPDX-License-Identifier: Apache-2.0

//! Who may administer.

use mhealth_server::credentials::{self, Change, CredentialError, Scopes};
use mhealth_server::{SecretText, StoreError};

use super::Store;
use crate::log::Note;

/// An administrator, as named by a valid credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The name, as in the log.
    pub name: String,
}

impl Store {
    /// Changes who may administer, and logs it. Returns the credential that was made, if one was.
    pub async fn change_admin(
        &self,
        change: Change<'_>,
        now: u64,
    ) -> Result<Option<SecretText>, CredentialError> {
        let mut transaction = self.database.begin().await?;
        let made = credentials::change(&mut transaction, "admin", change, now).await?;
        let note = Note {
            at: now,
            actor: "operator",
            action: match change {
                Change::Add(_) => "admin added",
                Change::Rotate(_) => "admin's credential replaced",
                Change::Remove(_) => "admin removed",
            },
            subject: &format!("admin {}", change.name()),
            why: "",
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Whose credential this is; none when nobody's.
    pub async fn admin(&self, credential: &str) -> Result<Option<Admin>, StoreError> {
        let holder = credentials::find(&self.database, credential).await?;
        Ok(holder.map(|holder| match holder.scopes {
            Scopes::All => Admin { name: holder.name },
        }))
    }
}
