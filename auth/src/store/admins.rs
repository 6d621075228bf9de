// SPDX-License-Identifier: Apache-2.0

//! Who may administer.

use mhealth_server::credentials::{self, Change, CredentialError};
use mhealth_server::{Scopes, SecretText, StoreError};

use super::Store;
use crate::log::Note;

/// A member of the staff, as named by a valid credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The name, as in the log.
    pub name: String,
    /// What the credential is good for.
    pub scopes: Scopes,
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
        let (action, why) = match change {
            Change::Add(_, scopes) => ("admin added", scopes.to_string()),
            Change::Grant(_, scopes) => ("admin's duties changed", scopes.to_string()),
            Change::Rotate(_) => ("admin's credential replaced", String::new()),
            Change::Remove(_) => ("admin removed", String::new()),
        };
        let note = Note {
            at: now,
            actor: "operator",
            action,
            subject: &format!("admin {}", change.name()),
            why: &why,
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Whose credential this is; none when nobody's.
    pub async fn admin(&self, credential: &str) -> Result<Option<Admin>, StoreError> {
        let holder = credentials::find(&self.database, credential).await?;
        Ok(holder.map(|holder| Admin {
            name: holder.name,
            scopes: holder.scopes,
        }))
    }
}
