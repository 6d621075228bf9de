// SPDX-License-Identifier: Apache-2.0

//! Whose a database is. Runs, orders and nonces of one chain and account mean nothing on another.

use mhealth_api::Hash;

use crate::{backup, Database, StoreError, WriteTransaction};

/// What the identity of a database calls its chain.
pub const CHAIN: &str = "chain";

/// Claims the database for these, such as a chain and an account; [`StoreError::Foreign`] when it is
/// another's.
pub async fn claim(
    database: &Database,
    owners: &[(&'static str, String)],
) -> Result<(), StoreError> {
    backup::refuse_copies(database).await?;
    let mut transaction = database.begin().await?;
    for (what, expected) in owners {
        sqlx::query(
            "INSERT INTO identity (what, value) VALUES ($1, $2) ON CONFLICT (what) DO NOTHING",
        )
        .bind(*what)
        .bind(expected.clone())
        .execute(&mut *transaction)
        .await?;
        let (found,): (String,) = sqlx::query_as("SELECT value FROM identity WHERE what = $1")
            .bind(*what)
            .fetch_one(&mut *transaction)
            .await?;
        if found != *expected {
            let expected = expected.clone();
            return Err(StoreError::Foreign {
                what,
                found,
                expected,
            });
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Gives the database to another owner, within the caller's transaction.
pub async fn hand_over(
    transaction: &mut WriteTransaction,
    what: &'static str,
    to: String,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE identity SET value = $2 WHERE what = $1")
        .bind(what)
        .bind(to)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What the database was claimed for, such as the chain; none if it is new.
pub async fn claimed(
    database: &Database,
    what: &'static str,
) -> Result<Option<String>, StoreError> {
    let found: Option<(String,)> = sqlx::query_as("SELECT value FROM identity WHERE what = $1")
        .bind(what)
        .fetch_optional(database.pool())
        .await?;
    Ok(found.map(|(value,)| value))
}

/// The chain that the database is bound to; none if it is new.
pub async fn chain(database: &Database) -> Result<Option<Hash>, StoreError> {
    let chain = claimed(database, CHAIN).await?;
    let chain = chain.map(|chain| chain.parse::<Hash>()).transpose();
    chain.map_err(|_| StoreError::Corrupt("a chain"))
}
