// SPDX-License-Identifier: Apache-2.0

//! How long the relay's own work waits for the database, and what becomes of connections on which it waited in vain.
//!
//! A database may fall silent in the middle of a transaction: its machine has lost power, or a firewall has forgotten the connection.
//! Nobody says so, and whoever waits for an answer waits for ever. So whoever stores uploads, leads or counts, of whom there is one
//! each, waits for so long and no longer. What was to be written then is written or not. It is not said to be; whoever asks again hears
//! how it is.
//!
//! On PostgreSQL this work has connections of its own. One on which somebody ceased to wait is in a state that nobody knows: where a
//! transaction was to begin and was not answered, it looks free, and whatever the next one writes would be in that transaction. So all
//! of them are given up then: each is closed, at once or when whoever has it is done, and none is used again. In SQLite, whose thread is
//! in this process, what was begun ends by itself before the connection is used again; and a statement without a transaction, such as
//! those that take the lease, leaves nothing open on any connection.

use std::future::Future;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::FutureExt;
use mhealth_server::{Database, WriteTransaction};
use sqlx::AnyPool;

use super::{Store, StoreError};

/// How long an answer is waited for: longer than a lock or a free connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of this work: one for whoever stores, for whoever leads, and for whoever counts.
const CONNECTIONS: u32 = 3;

/// How long is waited, and on which connections.
#[derive(Clone)]
pub(super) struct Patience {
    longest: Duration,
    /// None for SQLite.
    own: Option<Arc<RwLock<AnyPool>>>,
}

impl Patience {
    pub(super) fn with(database: &Database) -> Self {
        let own = database.is_postgres().then(|| {
            let own = like(database.pool());
            Arc::new(RwLock::new(own))
        });
        Self {
            longest: PATIENCE,
            own,
        }
    }

    /// From now on uses other connections. Those that are in use are closed when they come back.
    fn give_up(&self) {
        let Some(own) = &self.own else { return };
        let mut own = own.write().expect("no holder of this lock panics; qed");
        let fresh = like(&own);
        let given_up = std::mem::replace(&mut *own, fresh);
        // It is closed from here on, whether or not all of its connections are.
        let _ = given_up.close().now_or_never();
    }
}

/// As many connections as this work needs, to the same database, of which none is open yet.
fn like(pool: &AnyPool) -> AnyPool {
    let options = pool.options().clone();
    let options = options.max_connections(CONNECTIONS).min_connections(0);
    options.connect_lazy_with((*pool.connect_options()).clone())
}

impl Store {
    /// The same, with less patience.
    #[cfg(test)]
    pub(crate) fn with_patience(mut self, longest: Duration) -> Self {
        self.patience.longest = longest;
        self
    }

    /// The connections of the relay's own work. What is done on them has to be done [in time](Self::in_time).
    pub(super) fn own(&self) -> AnyPool {
        match &self.patience.own {
            Some(own) => {
                let own = own.read();
                own.expect("no holder of this lock panics; qed").clone()
            }
            None => self.database.pool().clone(),
        }
    }

    /// Begins a transaction of the relay's own work, as [`Database::begin`]. All of it has to be done [in time](Self::in_time).
    pub(super) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let begun = match &self.patience.own {
            Some(_) => self.own().begin().await,
            None => self.database.begin().await,
        };
        Ok(begun?)
    }

    /// Does a piece of the relay's own work. Fails when it takes too long, and then nobody knows whether it is done.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut work = Box::pin(work);
        if let Ok(done) = tokio::time::timeout(self.patience.longest, &mut work).await {
            return done;
        }
        // Before it gives its connection back.
        self.patience.give_up();
        drop(work);
        let silence = io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
        Err(sqlx::Error::Io(silence).into())
    }
}
