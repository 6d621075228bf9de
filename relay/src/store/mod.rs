// SPDX-License-Identifier: Apache-2.0

//! Everything that the relay keeps: runs with their envelopes, what became of them, and the transactions on their way.
//!
//! Three kinds of transactions write. [`Store::accept`] stores a group of uploads and is over before one of them is
//! acknowledged. [`Store::store_batch`] puts pending runs into a signed transaction, before it is sent. And
//! [`Store::settle`] writes down what a finalised block did, together with the number of that block. The latter two begin
//! with the lease, so a process that lost it can no longer write, and every change of a run's state names the state and
//! the batch that it starts from. What is erased ([`Store::erase`]) takes the same lock as what is stored, so nothing is stored
//! of a device once its erasure was ordered. Whoever stores, leads or counts has connections of its own: nobody keeps it waiting.

mod accept;
mod audit;
mod changes;
mod erasing;
mod history;
mod lease;
mod outbox;
mod owner;
mod position;
mod queue;
mod quotas;
mod rows;
mod settle;
#[cfg(test)]
pub(crate) mod tests;

pub use accept::{Acceptance, Candidate, Decision};
pub use audit::ExportQuery;
pub use erasing::Erased;
pub use outbox::{LiveBatch, NewBatch, PendingRun, RunRef};
pub use position::{ChainAnswers, Question};
pub use queue::Queue;
pub use quotas::Quotas;
pub use settle::{Fate, Settlement};

use hashchain::{DataDigest, DeviceId};
use mhealth_api::{Hash, RunStatus};
use mhealth_server::{identity, Database, Migration, SharedClock};
pub use mhealth_server::{Lease, StoreError};

use rows::{hash, signed, STATUS_COLUMNS};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "runs, batches, heads",
    sqlite: include_str!("../../migrations/sqlite/0001-first.sql"),
    postgres: include_str!("../../migrations/postgres/0001-first.sql"),
}];

/// Connections of what the relay does by itself: one for whoever stores, for whoever leads, and for whoever counts.
const OWN_CONNECTIONS: u32 = 3;

/// The relay's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// For what the relay does by itself.
    own: Database,
    clock: SharedClock,
}

impl Store {
    /// Brings the schema up to date.
    pub async fn open(database: Database, clock: SharedClock) -> anyhow::Result<Self> {
        database.migrate(MIGRATIONS).await?;
        let own = database.beside(OWN_CONNECTIONS);
        Ok(Self {
            database,
            own,
            clock,
        })
    }

    /// The same, with less patience.
    #[cfg(test)]
    pub(crate) fn with_patience(self, longest: std::time::Duration) -> Self {
        Self {
            database: self.database.with_patience(longest),
            own: self.own.with_patience(longest),
            clock: self.clock,
        }
    }

    /// The database itself.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Binds the database to a chain, once and for all, and to an account: runs of one chain mean nothing on another, and
    /// the nonces in it are those of one account. [`hand_over`](Self::hand_over) gives it to the next one.
    pub async fn bind_to(&self, genesis: &Hash, account: &[u8; 32]) -> Result<(), StoreError> {
        let account = Hash(*account).to_string();
        identity::claim(
            &self.database,
            &[
                (identity::CHAIN, genesis.to_string()),
                (owner::ACCOUNT, account),
            ],
        )
        .await
    }

    /// The chain that the database is bound to; none if it is new.
    pub async fn chain(&self) -> Result<Option<Hash>, StoreError> {
        identity::chain(&self.database).await
    }

    /// Where a run stands; none if it was never stored here.
    pub async fn status(&self, run: &Hash) -> Result<Option<RunStatus>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {STATUS_COLUMNS} FROM runs WHERE run = $1"
        )))
        .bind(run.0.to_vec())
        .fetch_optional(self.database.pool())
        .await?;
        row.as_ref().map(rows::status).transpose()
    }

    /// The relay's own head of a device; none if nothing of it was accepted here, or not since the chain refused a run.
    pub async fn head(&self, device: DeviceId) -> Result<Option<mhealth_api::Head>, StoreError> {
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT length, hash FROM heads WHERE device = $1")
                .bind(i64::from(device))
                .fetch_optional(self.database.pool())
                .await?;
        row.map(|(length, head)| {
            Ok(mhealth_api::Head {
                length: rows::unsigned(length)?,
                hash: hash(head)?,
            })
        })
        .transpose()
    }

    /// What a device's record became that was chained here: its digest and its run. None if it was never stored.
    pub async fn record(
        &self,
        device: DeviceId,
        sequence: u64,
    ) -> Result<Option<(DataDigest, Hash)>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT digest, run FROM records WHERE device = $1 AND sequence = $2")
                .bind(i64::from(device))
                .bind(signed(sequence))
                .fetch_optional(self.database.pool())
                .await?;
        row.map(|(digest, run)| Ok((hash(digest)?, hash(run)?)))
            .transpose()
    }
}
