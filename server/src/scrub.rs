// SPDX-License-Identifier: Apache-2.0

//! Erased bytes leave the files of a database, too.

use sqlx::{AssertSqlSafe, Row};

use crate::database::LONG_PATIENCE;
use crate::{Database, StoreError};

impl Database {
    /// The expression that stands for a value which is erased in place, in a statement that updates this column.
    ///
    /// SQLite writes zeros over it where it lies: a row that stays as long as it was stays where it was, and no page is arranged
    /// anew, which could leave copies of its neighbours. PostgreSQL writes another row in any case.
    pub fn erased(&self, column: &'static str) -> String {
        match self.is_postgres() {
            true => "''::bytea".to_owned(),
            false => format!("zeroblob(length({column}))"),
        }
    }

    /// Makes the bytes of values that were erased in a table leave the database's files. False, and nothing is lost, when
    /// somebody who reads was in the way for too long, or the database has no room for it; then it has to be done again, and
    /// not at once: others wait while it is tried.
    ///
    /// SQLite: the write-ahead log goes into the database, and is cut off. PostgreSQL: the table is written anew, because
    /// neither it nor its index has room for what nobody may read; whoever uses the table waits meanwhile. What the log of
    /// changes of PostgreSQL holds, and what was copied before, this does not reach.
    pub async fn scrub(&self, table: &'static str) -> Result<bool, StoreError> {
        if self.is_postgres() {
            let statement = AssertSqlSafe(format!("VACUUM FULL {table}"));
            let pool = self.pool().patient(LONG_PATIENCE);
            return match sqlx::query(statement).execute(&pool).await {
                Ok(_) => Ok(true),
                Err(sqlx::Error::Database(error)) => {
                    // 55P03: another held the table for longer than this connection waits for a lock.
                    if error.code().as_deref() != Some("55P03") {
                        tracing::warn!(%error, table, "a table cannot be written anew");
                    }
                    Ok(false)
                }
                Err(error) => Err(error.into()),
            };
        }
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(self.pool())
            .await?;
        let busy: i64 = row.try_get(0)?;
        Ok(busy == 0)
    }

    /// Lets new values take the room of those that were erased in a table, whose bytes stay in the files until then, while
    /// everybody goes on using it. PostgreSQL alone has to be told: SQLite has written over them ([`Database::erased`]).
    pub async fn give_room(&self, table: &'static str) -> Result<(), StoreError> {
        if self.is_postgres() {
            let statement = AssertSqlSafe(format!("VACUUM {table}"));
            let pool = self.pool().patient(LONG_PATIENCE);
            sqlx::query(statement).execute(&pool).await?;
        }
        Ok(())
    }
}
