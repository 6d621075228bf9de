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
        Lease::take(&self.own, holder, duration).await
    }

    /// Gives the lease back, so that another process need not wait.
    pub async fn give_lease_back(&self, lease: Lease) -> Result<(), StoreError> {
        lease.give_back(&self.own).await
    }

    /// Prolongs the lease.
    pub async fn renew_lease(&self, lease: Lease) -> Result<(), StoreError> {
        lease.renew(&self.own).await
    }

    /// Fails if another process holds the lease by now.
    pub async fn check_lease(&self, lease: Lease) -> Result<(), StoreError> {
        lease.check(&self.own).await
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
