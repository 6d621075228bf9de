// SPDX-License-Identifier: Apache-2.0

//! Does the orders, one process at a time.
//!
//! Processes that share a database share an account, and its nonces would get into each other's way; a lease in the database
//! says whose turn it is, and what the desk writes is written under it. Should two submit all the same, because one was paused
//! while its lease ran out, no harm comes of it: before and after everything that is submitted, the desk looks at the chain,
//! and the chain does nothing twice.
//!
//! What staff order comes before what devices ask for, and has places and a line before the node to itself: a stolen phone is
//! suspended however many others enrol.

mod lost;
mod settle;

pub(crate) use settle::{has_enrolled, retirement};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hashchain::DeviceId;
use mhealth_chain_client::Submitter;
use mhealth_server::with_reserve;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::App;
use crate::orders::Order;
use crate::store::{By, Lease, StoreError};

/// For how long a process may act without showing signs of life.
const LEASE: Duration = Duration::from_secs(6);
const RENEWAL: Duration = Duration::from_secs(2);
/// How often orders of other processes are looked for.
const GLANCE: Duration = Duration::from_millis(500);
/// Orders under way at a time. Each waits for finality, so this divided by the time to finality bounds enrolments a second.
pub const UNDER_WAY: u16 = 512;
/// While so many are under way, no further enrolment is begun. The other places are for staff.
const ENROLMENTS: u16 = UNDER_WAY - 32;

/// Does orders until the server stops.
pub async fn work(app: Arc<App>, submitter: Submitter) {
    let mut desk = Desk {
        app,
        submitter,
        holder: hex::encode(rand::random::<[u8; 16]>()),
        lease: None,
        renewed: None,
        tasks: JoinSet::new(),
        watch: lost::Watch::default(),
        waits: false,
        last_of_staff: None,
        last_enrolment: None,
        busy: HashMap::new(),
    };
    let mut watched: Option<Instant> = None;
    while !desk.app.stop.is_cancelled() {
        let lease = desk.keep_lease().await;
        desk.app.metrics.lease.set(i64::from(lease.is_some()));
        if let Some(lease) = lease {
            if watched.is_none_or(|at| at.elapsed() > RENEWAL) {
                match desk.watch.look(&desk.app, lease).await {
                    Ok(standing) => {
                        watched = Some(Instant::now());
                        desk.notice(standing);
                    }
                    Err(error) => {
                        tracing::warn!(error = %error.problem(), "the chain cannot be watched")
                    }
                }
            }
            // What a node says that is behind is old, and orders would be done that are done.
            if !desk.waits {
                if let Err(error) = desk.take_up(lease).await {
                    tracing::warn!(%error, "orders cannot be read");
                }
            }
        }
        let app = desk.app.clone();
        tokio::select! {
            Some(finished) = desk.tasks.join_next_with_id() => desk.put_down(finished),
            () = app.orders.placed.notified() => {}
            () = tokio::time::sleep(GLANCE) => {}
            () = app.stop.cancelled() => {}
        }
    }
    desk.leave().await;
}

struct Desk {
    app: Arc<App>,
    submitter: Submitter,
    /// Names this process among those that share the database.
    holder: String,
    lease: Option<Lease>,
    /// When the lease was taken or prolonged last; none when that failed since.
    renewed: Option<Instant>,
    tasks: JoinSet<()>,
    /// Orders under way, by task: the order's number, and the device whose turn it is.
    busy: HashMap<tokio::task::Id, (u64, Option<DeviceId>)>,
    watch: lost::Watch,
    /// Whether the node has not come as far as it was.
    waits: bool,
    /// Ends when the order of staff that was begun last has been handed to the node.
    last_of_staff: Option<oneshot::Receiver<()>>,
    /// The same of enrolments.
    last_enrolment: Option<oneshot::Receiver<()>>,
}

impl Desk {
    /// Waits while the node is behind, and says so.
    fn notice(&mut self, standing: lost::Standing) {
        let behind = match standing {
            lost::Standing::Behind { seen, now } => {
                if !self.waits {
                    tracing::warn!(
                        seen,
                        now,
                        "the node is behind what was seen of the chain; orders wait"
                    );
                }
                seen.saturating_sub(now).max(1)
            }
            lost::Standing::GoesOn | lost::Standing::LostBlocks => 0,
        };
        if self.waits && behind == 0 {
            tracing::info!("the node has caught up");
        }
        self.waits = behind > 0;
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        self.app.metrics.behind.set(behind);
    }

    /// Starts whatever is pending and not under way, and has a place. Orders for one device are done one after the other.
    async fn take_up(&mut self, lease: Lease) -> Result<(), StoreError> {
        // Also while there is no place.
        let pending = self.app.store.count_pending_orders().await?;
        self.app.metrics.orders_pending.set(pending);
        for (by, places) in [(By::Staff, UNDER_WAY), (By::Devices, ENROLMENTS)] {
            if self.busy.len() >= usize::from(places) {
                return Ok(());
            }
            // Those under way are pending, too.
            let orders = self.app.store.pending_orders(by, UNDER_WAY.into()).await?;
            for order in orders {
                let is_free = |(id, device): &(u64, Option<DeviceId>)| {
                    *id != order.id && (device.is_none() || *device != order.device)
                };
                let has_place = self.busy.len() < usize::from(places);
                if has_place && self.busy.values().all(is_free) {
                    self.begin(by, order, lease);
                }
            }
        }
        Ok(())
    }

    /// Orders of staff reach the node in the order in which they were given, and so do enrolments, and devices get their numbers.
    fn begin(&mut self, by: By, order: Order, lease: Lease) {
        let entry = (order.id, order.device);
        let (handed, next) = oneshot::channel();
        let last = match by {
            By::Staff => &mut self.last_of_staff,
            By::Devices => &mut self.last_enrolment,
        };
        let turn = settle::Turn {
            before: last.replace(next),
            handed,
        };
        let (app, submitter) = (self.app.clone(), self.submitter.clone());
        let settling = settle::settle(app, submitter, lease, order, turn);
        let task = match by {
            By::Staff => self.tasks.spawn(with_reserve(settling)),
            By::Devices => self.tasks.spawn(settling),
        };
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

    /// Takes or prolongs the lease when it is time to; none when this process may not act.
    async fn keep_lease(&mut self) -> Option<Lease> {
        if self.renewed.is_some_and(|at| at.elapsed() <= RENEWAL) {
            return self.lease;
        }
        let database = self.app.store.database();
        let kept = match self.lease {
            Some(lease) => lease.renew(database).await.map(|()| Some(lease)),
            None => Lease::take(database, &self.holder, LEASE).await,
        };
        match kept {
            Ok(lease) => {
                self.lease = lease;
                self.renewed = lease.map(|_| Instant::now());
            }
            Err(StoreError::Fenced) => {
                tracing::info!("another process does the orders");
                self.put_all_down().await;
                (self.lease, self.renewed) = (None, None);
            }
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be kept");
                self.renewed = None;
            }
        }
        self.renewed.and(self.lease)
    }

    /// Orders under way stay in the database.
    async fn put_all_down(&mut self) {
        self.tasks.shutdown().await;
        self.busy.clear();
        (self.last_of_staff, self.last_enrolment) = (None, None);
    }

    /// Lets another process take over at once.
    async fn leave(mut self) {
        self.put_all_down().await;
        if let Some(lease) = self.lease {
            if let Err(error) = lease.give_back(self.app.store.database()).await {
                tracing::warn!(%error, "the lease stays until it runs out");
            }
        }
    }
}
