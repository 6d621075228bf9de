// SPDX-License-Identifier: Apache-2.0

//! The server's tables, and whose they are.

use anyhow::{bail, Context};
use mhealth_api::Hash;
use mhealth_server::{Database, Migration};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "first",
    sqlite: include_str!("../migrations/sqlite/0001-first.sql"),
    postgres: include_str!("../migrations/postgres/0001-first.sql"),
}];

/// Brings the tables up to date.
pub async fn migrate(database: &Database) -> anyhow::Result<()> {
    database.migrate(MIGRATIONS).await
}

/// Claims the database for a study of a chain; fails when it is another's.
pub async fn claim(database: &Database, chain: Hash, study: u32) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO identity (id, chain, study) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(chain.0.to_vec())
    .bind(i64::from(study))
    .execute(database.pool())
    .await?;
    let (found, found_study): (Vec<u8>, i64) =
        sqlx::query_as("SELECT chain, study FROM identity WHERE id = 1")
            .fetch_one(database.pool())
            .await
            .context("the database does not say whose it is")?;
    if found != chain.0 || found_study != i64::from(study) {
        bail!(
            "this database belongs to study {found_study} of the chain 0x{}, and the server was started for study {study} \
             of the chain {chain}",
            hex::encode(found)
        );
    }
    Ok(())
}
