// SPDX-License-Identifier: Apache-2.0

//! Whose a database is. Runs, orders and nonces of one chain and account mean nothing on another.

use crate::{backup, Database, StoreError, WriteTransaction};

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
