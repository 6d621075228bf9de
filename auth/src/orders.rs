// SPDX-License-Identifier: Apache-2.0

//! What the server is to do on the chain. An order is stored before the chain is asked, and stays until it is known what
//! became of it; the [`desk`](crate::desk) does it.

use std::time::Duration;

use mhealth_api::{BlockRef, Code, Refusal};
use mhealth_server::{ApiError, CancellationToken, Database, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, Notify};

use crate::log;

/// How often an order that another process may be doing is looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// Finished orders that a waiting request may not have seen yet; whoever falls behind looks into the database.
const BACKLOG: usize = 1_024;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Enrol the device that redeemed the code.
    Enrol,
    /// Keep a device from registering entries.
    Suspend {
        /// The reason, as the chain knows it.
        reason: Reason,
    },
    /// Let it again.
    Resume,
    /// End its hashchain.
    Retire {
        /// How many of its entries the study trusts; none: all.
        trusted_length: Option<u64>,
    },
}

/// Why a device is suspended, as it stands on the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The device was lost.
    Lost,
    /// Key or secret may be in other hands.
    Compromised,
    /// The participant has left the study or paused.
    Withdrawn,
    /// Another one, which the log tells.
    #[default]
    Administrative,
}

/// An order that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// What to do.
    pub action: Action,
    /// The code that was redeemed, of an enrolment.
    pub code: Option<i64>,
    /// The device, of everything else.
    pub device: Option<u32>,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub why: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// It stands on the chain.
    Done {
        /// A finalised block that has it.
        block: BlockRef,
    },
    /// The chain refused it.
    Refused {
        /// Why.
        why: Refusal,
    },
}

pub(crate) const PENDING: i64 = 0;
const DONE: i64 = 1;
const REFUSED: i64 = 2;

/// Stores orders, and tells those who wait what became of them.
pub struct OrderBook {
    database: Database,
    /// There is a new order.
    pub(crate) placed: Notify,
    finished: broadcast::Sender<i64>,
}

impl OrderBook {
    /// The orders of this database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            placed: Notify::new(),
            finished: broadcast::channel(BACKLOG).0,
        }
    }

    /// Stores an order within the caller's transaction. Call [`OrderBook::wake`] once that is committed.
    pub async fn place(
        &self,
        transaction: &mut WriteTransaction,
        order: &Order,
        now: u64,
    ) -> Result<i64, sqlx::Error> {
        // An order that is seen has all orders before it in sight.
        log::take_turn(&self.database, transaction).await?;
        let argument = serde_json::to_string(&order.action)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        let (id,): (i64,) = sqlx::query_as(
            "INSERT INTO orders (action, code, device, argument, actor, why, created_at, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        )
        .bind(order.action.name())
        .bind(order.code)
        .bind(order.device.map(i64::from))
        .bind(argument)
        .bind(&order.actor)
        .bind(&order.why)
        .bind(now as i64)
        .bind(PENDING)
        .fetch_one(&mut **transaction)
        .await?;
        Ok(id)
    }

    /// Makes this process look for orders.
    pub fn wake(&self) {
        self.placed.notify_one();
    }

    /// The order that redeems a code.
    pub async fn of_code(&self, code: i64) -> Result<i64, ApiError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM orders WHERE code = $1")
            .bind(code)
            .fetch_optional(self.database.pool())
            .await?;
        found
            .map(|(id,)| id)
            .ok_or_else(|| ApiError::internal("a redeemed code has no order"))
    }

    /// Lets a refused order be tried again, for the reason may have passed.
    pub async fn try_again(&self, id: i64) -> Result<(), ApiError> {
        let changed = sqlx::query(
            "UPDATE orders SET state = $1, outcome = NULL WHERE id = $2 AND state = $3",
        )
        .bind(PENDING)
        .bind(id)
        .bind(REFUSED)
        .execute(self.database.pool())
        .await?;
        if changed.rows_affected() > 0 {
            self.wake();
        }
        Ok(())
    }

    /// Up to `limit` orders that are pending, oldest first.
    pub async fn pending(&self, limit: u32) -> Result<Vec<Order>, sqlx::Error> {
        type Row = (i64, Option<i64>, Option<i64>, String, String, String);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, code, device, argument, actor, why FROM orders WHERE state = $1 ORDER BY id LIMIT $2",
        )
        .bind(PENDING)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let orders = rows
            .into_iter()
            .map(|(id, code, device, argument, actor, why)| {
                let action = serde_json::from_str(&argument)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                Ok(Order {
                    id,
                    action,
                    code,
                    device: device.map(|device| device as u32),
                    actor,
                    why,
                })
            });
        orders.collect()
    }

    /// The newest orders that are done, and the finalised blocks that have them.
    pub async fn done(&self, limit: u32) -> Result<Vec<(i64, BlockRef)>, ApiError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT id, outcome FROM orders WHERE state = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(DONE)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let mut done = Vec::with_capacity(rows.len());
        for (id, text) in rows {
            match serde_json::from_str(&text).map_err(ApiError::internal)? {
                Outcome::Done { block } => done.push((id, block)),
                Outcome::Refused { .. } => {
                    return Err(ApiError::internal("an order that is done was refused"))
                }
            }
        }
        Ok(done)
    }

    /// Makes an order pending again that had this outcome; false when it has another one.
    pub async fn reopen(
        &self,
        transaction: &mut WriteTransaction,
        id: i64,
        outcome: &Outcome,
    ) -> Result<bool, sqlx::Error> {
        let text =
            serde_json::to_string(outcome).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let changed = sqlx::query(
            "UPDATE orders SET state = $1, outcome = NULL WHERE id = $2 AND outcome = $3",
        )
        .bind(PENDING)
        .bind(id)
        .bind(text)
        .execute(&mut **transaction)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Writes down what became of an order; false when somebody else has.
    pub async fn finish(
        &self,
        transaction: &mut WriteTransaction,
        id: i64,
        outcome: &Outcome,
    ) -> Result<bool, sqlx::Error> {
        let state = match outcome {
            Outcome::Done { .. } => DONE,
            Outcome::Refused { .. } => REFUSED,
        };
        let text =
            serde_json::to_string(outcome).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let changed =
            sqlx::query("UPDATE orders SET state = $1, outcome = $2 WHERE id = $3 AND state = $4")
                .bind(state)
                .bind(text)
                .bind(id)
                .bind(PENDING)
                .execute(&mut **transaction)
                .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Tells those who wait in this process.
    pub fn announce(&self, id: i64) {
        // Nobody may be waiting.
        let _ = self.finished.send(id);
    }

    /// Waits until it is known what became of an order, whichever process does it. `chain_unavailable` when that takes too
    /// long; the order stays.
    pub async fn outcome(
        &self,
        id: i64,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<Outcome, ApiError> {
        let mut finished = self.finished.subscribe();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if let Some(outcome) = self.look(id).await? {
                return Ok(outcome);
            }
            let news = async {
                loop {
                    match finished.recv().await {
                        Ok(other) if other != id => {}
                        _ => return,
                    }
                }
            };
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(GLANCE) => {}
                () = tokio::time::sleep_until(deadline) => return Err(Code::ChainUnavailable.into()),
                () = stop.cancelled() => return Err(Code::ShuttingDown.into()),
            }
        }
    }

    async fn look(&self, id: i64) -> Result<Option<Outcome>, ApiError> {
        let found: Option<(Option<String>,)> =
            sqlx::query_as("SELECT outcome FROM orders WHERE id = $1 AND state <> $2")
                .bind(id)
                .bind(PENDING)
                .fetch_optional(self.database.pool())
                .await?;
        match found {
            Some((Some(text),)) => serde_json::from_str(&text)
                .map(Some)
                .map_err(ApiError::internal),
            Some((None,)) => Err(ApiError::internal("a finished order has no outcome")),
            None => Ok(None),
        }
    }
}

impl Action {
    /// As the log says it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Enrol => "enrol",
            Action::Suspend { .. } => "suspend",
            Action::Resume => "resume",
            Action::Retire { .. } => "retire",
        }
    }
}
