// SPDX-License-Identifier: Apache-2.0

//! Which process submits.

use std::time::Duration;

use mhealth_server::{Lease, StoreError, WriteTransaction};

use super::Store;

impl Store {
    /// Takes the lease if nobody else holds it or its time is over.
    pub async fn take_lease(
        &self,
        holder: &str,
        duration: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        self.in_time(Lease::take(&self.database, holder, duration))
            .await
    }

    /// Gives the lease back, so that another process need not wait.
    pub async fn give_lease_back(&self, lease: Lease) -> Result<(), StoreError> {
        self.in_time(lease.give_back(&self.database)).await
    }

    /// Prolongs the lease.
    pub async fn renew_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.in_time(async {
            let mut transaction = self.begin().await?;
            self.hold(&mut transaction, lease).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Fails if another process holds the lease by now.
    pub async fn check_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.in_time(lease.check(&self.database)).await
    }

    /// Makes sure that the lease is held until this transaction ends, and prolongs it. First in every transaction of its
    /// holder.
    pub(super) async fn hold(
        &self,
        transaction: &mut WriteTransaction,
        lease: Lease,
    ) -> Result<(), StoreError> {
        lease.hold(&self.database, transaction).await
    }
}
