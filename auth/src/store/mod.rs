// SPDX-License-Identifier: Apache-2.0

//! Everything that the server keeps: codes, what devices redeemed them with, orders to the chain, requests for
//! approval, keys, proofs, sessions of staff, and the log.
//!
//! All SQL is here. What belongs together is one transaction, and every transaction that changes something that staff or
//! devices asked for ends with a line of the log. What the desk writes begins with the lease, so a process that lost it can
//! no longer write.

mod admins;
mod approvals;
mod codes;
mod enrolments;
mod keys;
mod log;
mod orders;
mod sessions;
mod tokens;

use hashchain::StudyId;
use mhealth_api::Hash;
use mhealth_server::rows::signed;
use mhealth_server::{identity, Database, Migration, WriteTransaction};

use crate::log::Note;

pub use admins::Admin;
pub use approvals::{Decision, Verdict};
pub use codes::Revocation;
pub use enrolments::{Claim, EnrolledDevice, Redemption};
pub use keys::Before;
pub use mhealth_server::{Lease, StoreError};
pub use orders::By;
pub use sessions::{OpenSession, Session, WhichSessions, SESSION};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "first",
    sqlite: include_str!("../../migrations/sqlite/0001-first.sql"),
    postgres: include_str!("../../migrations/postgres/0001-first.sql"),
}];

/// The server's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Brings the schema up to date.
    pub async fn open(database: Database) -> anyhow::Result<Self> {
        database.migrate(MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// The same, and leaves the schema as it is.
    pub(crate) fn as_it_is(database: Database) -> Self {
        Self { database }
    }

    /// The database itself.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What must not be believed of a copy that is put in place: a code that is open in it may have been redeemed, a signing key
    /// withdrawn, a session ended, a request rejected, and a phone that was to be resumed suspended again.
    pub async fn mend_copy(
        database: &Database,
        transaction: &mut WriteTransaction,
        now: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE codes SET revoked_at = $1 WHERE claimed_at IS NULL AND revoked_at IS NULL",
        )
        .bind(signed(now))
        .execute(&mut **transaction)
        .await?;
        sqlx::query("UPDATE signing_keys SET wrapped = NULL, followed_at = 0")
            .execute(&mut **transaction)
            .await?;
        let store = Self {
            database: database.clone(),
        };
        sqlx::query("DELETE FROM sessions")
            .execute(&mut **transaction)
            .await?;
        store.end_open_approvals(transaction).await?;
        store.forget_resumptions(transaction).await?;
        let note = Note {
            at: now,
            actor: "operator",
            action: "database restored from a copy",
            subject: "database",
            why: "what is older than this line and newer than the line before it is lost",
        };
        store.append(transaction, note).await
    }

    /// The chain that the database is bound to; none if it is new.
    pub async fn chain(&self) -> Result<Option<Hash>, StoreError> {
        identity::chain(&self.database).await
    }

    /// Binds the database to a study of a chain, once and for all.
    pub async fn bind_to(&self, chain: &Hash, study: StudyId) -> Result<(), StoreError> {
        let owners = [
            (identity::CHAIN, chain.to_string()),
            ("study", study.to_string()),
        ];
        identity::claim(&self.database, &owners).await
    }
}
