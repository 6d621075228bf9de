// SPDX-License-Identifier: Apache-2.0

//! Which process submits.

use std::time::Duration;

use mhealth_server::WriteTransaction;

use super::rows::signed;
use super::{Store, StoreError};

/// The right to submit and to write down outcomes, until another process takes it.
///
/// Time only decides when another process may take over; what keeps the former holder from writing is the fence, which
/// every transaction of the holder checks and locks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    fence: i64,
    duration: Duration,
}

impl Store {
    /// Takes the lease if nobody holds it or its time is over.
    pub async fn take_lease(
        &self,
        holder: &str,
        duration: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let now = self.clock.now_millis();
        let fence: Option<(i64,)> = sqlx::query_as(
            "UPDATE lease SET holder = $1, fence = fence + 1, expires_at = $2 \
             WHERE id = 1 AND (expires_at <= $3 OR holder = $1) RETURNING fence",
        )
        .bind(holder.to_owned())
        .bind(signed(now + duration.as_millis() as u64))
        .bind(signed(now))
        .fetch_optional(self.database.pool())
        .await?;
        Ok(fence.map(|(fence,)| Lease { fence, duration }))
    }

    /// Gives the lease back, so that another process need not wait.
    pub async fn give_lease_back(&self, lease: Lease) -> Result<(), StoreError> {
        sqlx::query("UPDATE lease SET expires_at = 0 WHERE id = 1 AND fence = $1")
            .bind(lease.fence)
            .execute(self.database.pool())
            .await?;
        Ok(())
    }

    /// Prolongs the lease.
    pub async fn renew_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        self.hold(&mut transaction, lease).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Fails if another process holds the lease by now.
    pub async fn check_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let (fence,): (i64,) = sqlx::query_as("SELECT fence FROM lease WHERE id = 1")
            .fetch_one(self.database.pool())
            .await?;
        match fence == lease.fence {
            true => Ok(()),
            false => Err(StoreError::Fenced),
        }
    }

    /// Makes sure that the lease is held until this transaction ends, and prolongs it. First in every transaction of its
    /// holder.
    pub(super) async fn hold(
        &self,
        transaction: &mut WriteTransaction,
        lease: Lease,
    ) -> Result<(), StoreError> {
        let until = self.clock.now_millis() + lease.duration.as_millis() as u64;
        let held = sqlx::query("UPDATE lease SET expires_at = $1 WHERE id = 1 AND fence = $2")
            .bind(signed(until))
            .bind(lease.fence)
            .execute(&mut **transaction)
            .await?;
        match held.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::Fenced),
        }
    }
}
