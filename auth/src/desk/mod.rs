// SPDX-License-Identifier: Apache-2.0

//! Does the orders, one process at a time.
//!
//! Processes that share a database share an account, and its nonces would get into each other's way; a lease in the database
//! says whose turn it is. Should two act all the same, because one was paused while its lease ran out, no harm comes of it:
//! before and after everything that is submitted, the desk looks at the chain, and the chain does nothing twice.

mod lost;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mhealth_chain_client::Submitter;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::office::Office;
use crate::orders::Order;

/// For how long a process may act without showing signs of life.
const LEASE: Duration = Duration::from_secs(6);
const RENEWAL: Duration = Duration::from_secs(2);
/// How often orders of other processes are looked for.
const GLANCE: Duration = Duration::from_millis(500);
/// Orders under way at a time. Each waits for finality, so this divided by the time to finality bounds enrolments a second.
pub const UNDER_WAY: usize = 512;

/// Does orders until the server stops.
pub async fn work(office: Arc<Office>, submitter: Submitter) {
    let holder = hex::encode(rand::random::<[u8; 16]>());
    let mut desk = Desk {
        office,
        submitter,
        holder,
        tasks: JoinSet::new(),
        watch: lost::Watch::default(),
        last: None,
        busy: HashMap::new(),
    };
    let mut renewed: Option<Instant> = None;
    let mut watched: Option<Instant> = None;
    while !desk.office.stop.is_cancelled() {
        if renewed.is_none_or(|at| at.elapsed() > RENEWAL) {
            renewed = desk.renew().await.then(Instant::now);
            desk.office.metrics.lease.set(i64::from(renewed.is_some()));
        }
        if renewed.is_some() {
            if watched.is_none_or(|at| at.elapsed() > RENEWAL) {
                match desk.watch.look(&desk.office).await {
                    Ok(_) => watched = Some(Instant::now()),
                    Err(error) => {
                        tracing::warn!(error = %error.problem(), "the chain cannot be watched")
                    }
                }
            }
            if let Err(error) = desk.take_up().await {
                tracing::warn!(%error, "orders cannot be read");
            }
        }
        let office = desk.office.clone();
        tokio::select! {
            Some(finished) = desk.tasks.join_next_with_id() => desk.put_down(finished),
            () = office.orders.placed.notified() => {}
            () = tokio::time::sleep(GLANCE) => {}
            () = office.stop.cancelled() => {}
        }
    }
    desk.release().await;
}

struct Desk {
    office: Arc<Office>,
    submitter: Submitter,
    holder: String,
    tasks: JoinSet<()>,
    /// Orders under way, by task: the order's number, and the device whose turn it is.
    busy: HashMap<tokio::task::Id, (i64, Option<u32>)>,
    watch: lost::Watch,
    /// Ends when the order that was begun last has been handed to the node.
    last: Option<oneshot::Receiver<()>>,
}

impl Desk {
    /// Starts whatever is pending and not under way. Orders for one device are done one after the other.
    async fn take_up(&mut self) -> Result<(), sqlx::Error> {
        let room = UNDER_WAY.saturating_sub(self.busy.len());
        if room == 0 {
            return Ok(());
        }
        let pending = self
            .office
            .orders
            .pending((self.busy.len() + room) as u32)
            .await?;
        self.office.metrics.orders_pending.set(pending.len() as i64);
        for order in pending {
            let is_free = |(id, device): &(i64, Option<u32>)| {
                *id != order.id && (device.is_none() || *device != order.device)
            };
            if self.busy.len() < UNDER_WAY && self.busy.values().all(is_free) {
                self.begin(order);
            }
        }
        Ok(())
    }

    /// Orders reach the node in the order in which they were given, and so do devices get their numbers.
    fn begin(&mut self, order: Order) {
        let entry = (order.id, order.device);
        let (handed, next) = oneshot::channel();
        let turn = settle::Turn {
            before: self.last.replace(next),
            handed,
        };
        let (office, submitter) = (self.office.clone(), self.submitter.clone());
        let task = self
            .tasks
            .spawn(settle::settle(office, submitter, order, turn));
        self.busy.insert(task.id(), entry);
    }

    fn put_down(&mut self, first: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let mut finished = Some(first);
        // A block settles many orders at once.
        while let Some(task) = finished {
            let id = match task {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "an order's task failed");
                    error.id()
                }
            };
            self.busy.remove(&id);
            finished = self.tasks.try_join_next_with_id();
        }
    }

    async fn renew(&self) -> bool {
        let now = self.office.clock.now_millis();
        let renewed = sqlx::query(
            "UPDATE lease SET holder = $1, expires_at = $2 WHERE id = 1 AND (holder = $1 OR expires_at < $3)",
        )
        .bind(&self.holder)
        .bind((now + LEASE.as_millis() as u64) as i64)
        .bind(now as i64)
        .execute(self.office.database.pool())
        .await;
        match renewed {
            Ok(renewed) => renewed.rows_affected() == 1,
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be renewed");
                false
            }
        }
    }

    /// Lets another process take over at once. Orders under way stay in the database.
    async fn release(mut self) {
        self.tasks.shutdown().await;
        let released = sqlx::query("UPDATE lease SET expires_at = 0 WHERE holder = $1")
            .bind(&self.holder)
            .execute(self.office.database.pool())
            .await;
        if let Err(error) = released {
            tracing::warn!(%error, "the lease stays until it runs out");
        }
    }
}
