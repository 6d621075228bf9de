// SPDX-License-Identifier: Apache-2.0

//! Which of the processes that share a database works with the chain.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use crate::{Database, StoreError, WriteTransaction};

/// The right to submit and to write down outcomes, until another process takes it.
///
/// Time only decides when another process may take over; what keeps the former holder from writing is the fence, which
/// every transaction of the holder checks and locks first. Time is the database's, so the clocks of the processes'
/// machines do not matter. Should the database's clock be set back, a lease ends that reaches further into the future
/// than it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    fence: i64,
    duration: i64,
}

impl Lease {
    /// Takes the lease if nobody else holds it or its time is over. `holder` names this process.
    pub async fn take(
        database: &Database,
        holder: &str,
        duration: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2);
        let now = database.now_millis();
        // Safe: the expression is a constant.
        let statement = AssertSqlSafe(format!(
            "UPDATE lease SET holder = $1, fence = fence + 1, duration = $2, expires_at = {now} + $2 \
             WHERE id = 1 AND (holder = $1 OR expires_at <= {now} OR expires_at - duration > {now}) RETURNING fence"
        ));
        let fence: Option<(i64,)> = sqlx::query_as(statement)
            .bind(holder.to_owned())
            .bind(duration)
            .fetch_optional(database.pool())
            .await?;
        Ok(fence.map(|(fence,)| Self { fence, duration }))
    }

    /// Whether some process holds the lease.
    pub async fn is_held(database: &Database) -> Result<bool, StoreError> {
        let now = database.now_millis();
        // Safe: the expression is a constant.
        let statement = AssertSqlSafe(format!(
            "SELECT COUNT(*) FROM lease WHERE expires_at > {now} AND expires_at - duration <= {now}"
        ));
        let (held,): (i64,) = sqlx::query_as(statement).fetch_one(database.pool()).await?;
        Ok(held > 0)
    }

    /// Gives the lease back, so that another process need not wait.
    pub async fn give_back(self, database: &Database) -> Result<(), StoreError> {
        sqlx::query("UPDATE lease SET expires_at = 0 WHERE id = 1 AND fence = $1")
            .bind(self.fence)
            .execute(database.pool())
            .await?;
        Ok(())
    }

    /// Prolongs the lease; [`StoreError::Fenced`] if another process holds it by now.
    pub async fn renew(self, database: &Database) -> Result<(), StoreError> {
        let mut transaction = database.begin().await?;
        self.hold(database, &mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// [`StoreError::Fenced`] if another process holds the lease by now.
    pub async fn check(self, database: &Database) -> Result<(), StoreError> {
        let (fence,): (i64,) = sqlx::query_as("SELECT fence FROM lease WHERE id = 1")
            .fetch_one(database.pool())
            .await?;
        match fence == self.fence {
            true => Ok(()),
            false => Err(StoreError::Fenced),
        }
    }

    /// Makes sure that the lease is held until this transaction ends, and prolongs it. First in every transaction of its
    /// holder.
    pub async fn hold(
        self,
        database: &Database,
        transaction: &mut WriteTransaction,
    ) -> Result<(), StoreError> {
        let now = database.now_millis();
        // Safe: the expression is a constant.
        let statement = AssertSqlSafe(format!(
            "UPDATE lease SET expires_at = {now} + $1 WHERE id = 1 AND fence = $2"
        ));
        let held = sqlx::query(statement)
            .bind(self.duration)
            .bind(self.fence)
            .execute(&mut **transaction)
            .await?;
        match held.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::Fenced),
        }
    }
}
