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
use mhealth_server::{identity, Database, Migration};

pub use admins::Admin;
pub use approvals::{Decision, Verdict};
pub use codes::Revocation;
pub use enrolments::{Claim, EnrolledDevice, Redemption};
pub use mhealth_server::{Lease, StoreError};
pub use sessions::{Session, SESSION};

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

    /// The database itself.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Binds the database to a study of a chain, once and for all.
    pub async fn bind_to(&self, chain: &Hash, study: StudyId) -> Result<(), StoreError> {
        let owners = [("chain", chain.to_string()), ("study", study.to_string())];
        identity::claim(&self.database, &owners).await
    }
}
