// SPDX-License-Identifier: Apache-2.0

//! What the server is to do on the chain.

use mhealth_api::BlockRef;
use mhealth_server::rows::{signed, unsigned};
use mhealth_server::{Lease, StoreError, WriteTransaction};

use super::{Decision, Store};
use crate::log::Note;
use crate::orders::{Action, Order, Outcome, Settled};

const PENDING: i64 = 0;
const DONE: i64 = 1;
pub(super) const REFUSED: i64 = 2;

/// Who asked for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Staff, who change devices.
    Staff,
    /// Devices, which redeemed codes.
    Devices,
}

impl Store {
    /// Stores an order within the caller's transaction; returns its number.
    pub(super) async fn place(
        &self,
        transaction: &mut WriteTransaction,
        order: &Order,
        now: u64,
    ) -> Result<u64, StoreError> {
        // An order that is seen has all orders before it in sight.
        self.take_turn(transaction).await?;
        let argument =
            serde_json::to_string(&order.action).expect("names and numbers have a JSON form; qed");
        let (id,): (i64,) = sqlx::query_as(
            "INSERT INTO orders (action, code, device, argument, actor, why, pending_since, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        )
        .bind(order.action.name())
        .bind(order.code.map(signed))
        .bind(order.device.map(i64::from))
        .bind(argument)
        .bind(order.actor.clone())
        .bind(order.why.clone())
        .bind(signed(now))
        .bind(PENDING)
        .fetch_one(&mut **transaction)
        .await?;
        unsigned(id)
    }

    /// Stores an order of staff and a line of the log; returns the order's number. None when it needs a decision that came too
    /// late.
    pub async fn order(
        &self,
        order: &Order,
        note: Note<'_>,
        decision: Option<&Decision>,
    ) -> Result<Option<u64>, StoreError> {
        let mut transaction = self.database.begin().await?;
        if let Some(decision) = decision {
            if !self.decide(&mut transaction, decision, note.at).await? {
                return Ok(None);
            }
        }
        let id = self.place(&mut transaction, order, note.at).await?;
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(Some(id))
    }

    /// The order that redeems a code.
    pub async fn order_of_code(&self, code: u64) -> Result<u64, StoreError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM orders WHERE code = $1")
            .bind(signed(code))
            .fetch_optional(self.database.pool())
            .await?;
        let (id,) = found.ok_or(StoreError::Corrupt("a redeemed code without an order"))?;
        unsigned(id)
    }

    /// Makes a refused order pending again; false when it was not refused.
    pub async fn try_again(&self, id: u64, now: u64) -> Result<bool, StoreError> {
        let changed = sqlx::query(
            "UPDATE orders SET state = $1, outcome = NULL, pending_since = $4 WHERE id = $2 AND state = $3",
        )
        .bind(PENDING)
        .bind(signed(id))
        .bind(REFUSED)
        .bind(signed(now))
        .execute(self.database.pool())
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Up to `limit` orders of one kind that are pending, oldest first.
    pub async fn pending_orders(&self, by: By, limit: u32) -> Result<Vec<Order>, StoreError> {
        type Row = (i64, Option<i64>, Option<i64>, String, String, String);
        let orders = match by {
            By::Staff => {
                "SELECT id, code, device, argument, actor, why FROM orders \
                 WHERE state = $1 AND code IS NULL ORDER BY id LIMIT $2"
            }
            By::Devices => {
                "SELECT id, code, device, argument, actor, why FROM orders \
                 WHERE state = $1 AND code IS NOT NULL ORDER BY id LIMIT $2"
            }
        };
        let rows: Vec<Row> = sqlx::query_as(orders)
            .bind(PENDING)
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        let orders = rows
            .into_iter()
            .map(|(id, code, device, argument, actor, why)| {
                let action = serde_json::from_str(&argument);
                Ok(Order {
                    id: unsigned(id)?,
                    action: action.map_err(|_| StoreError::Corrupt("an order"))?,
                    code: code.map(unsigned).transpose()?,
                    device: device.map(unsigned).transpose()?,
                    actor,
                    why,
                })
            });
        orders.collect()
    }

    /// How many orders are pending, those under way among them.
    pub async fn count_pending_orders(&self) -> Result<i64, StoreError> {
        let (pending,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM orders WHERE state = $1")
            .bind(PENDING)
            .fetch_one(self.database.pool())
            .await?;
        Ok(pending)
    }

    /// Since when the order that has been pending for longest is, in seconds since 1970; none if all are settled.
    pub async fn oldest_pending_order(&self) -> Result<Option<u64>, StoreError> {
        let (oldest,): (Option<i64>,) =
            sqlx::query_as("SELECT MIN(pending_since) FROM orders WHERE state = $1")
                .bind(PENDING)
                .fetch_one(self.database.pool())
                .await?;
        oldest.map(unsigned).transpose()
    }

    /// Forgets the orders to let devices work again that are pending, within a transaction that logs it.
    pub(super) async fn forget_resumptions(
        &self,
        transaction: &mut WriteTransaction,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM orders WHERE state = $1 AND action = $2")
            .bind(PENDING)
            .bind(Action::Resume.name())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// The newest orders that are done, and the finalised blocks that have them.
    pub async fn done_orders(&self, limit: u32) -> Result<Vec<(u64, BlockRef)>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT id, outcome FROM orders WHERE state = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(DONE)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let done = rows.into_iter().map(|(id, text)| match read(&text)? {
            Outcome::Done { block } => Ok((unsigned(id)?, block)),
            Outcome::Refused { .. } => Err(StoreError::Corrupt("a refused order that is done")),
        });
        done.collect()
    }

    /// What became of an order; none while it is pending.
    pub async fn outcome(&self, id: u64) -> Result<Option<Outcome>, StoreError> {
        let found: Option<(Option<String>,)> =
            sqlx::query_as("SELECT outcome FROM orders WHERE id = $1 AND state <> $2")
                .bind(signed(id))
                .bind(PENDING)
                .fetch_optional(self.database.pool())
                .await?;
        match found {
            Some((Some(text),)) => read(&text).map(Some),
            Some((None,)) => Err(StoreError::Corrupt("a finished order without an outcome")),
            None => Ok(None),
        }
    }

    /// Writes down how an order ended, and logs it; false when that was written before.
    pub async fn settle(
        &self,
        lease: Lease,
        order: &Order,
        settled: &Settled,
        note: Note<'_>,
    ) -> Result<bool, StoreError> {
        let state = match settled.outcome {
            Outcome::Done { .. } => DONE,
            Outcome::Refused { .. } => REFUSED,
        };
        let mut transaction = self.database.begin().await?;
        lease.hold(&self.database, &mut transaction).await?;
        let changed =
            sqlx::query("UPDATE orders SET state = $1, outcome = $2 WHERE id = $3 AND state = $4")
                .bind(state)
                .bind(written(&settled.outcome))
                .bind(signed(order.id))
                .bind(PENDING)
                .execute(&mut *transaction)
                .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        if let (Outcome::Done { block }, Some(code), Some((device, genesis))) =
            (&settled.outcome, order.code, settled.enrolled)
        {
            self.complete(&mut transaction, code, device, genesis, *block, note.at)
                .await?;
        }
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Makes an order pending again whose block was lost, and logs it.
    pub async fn order_anew(
        &self,
        lease: Lease,
        id: u64,
        block: BlockRef,
        now: u64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        lease.hold(&self.database, &mut transaction).await?;
        let changed = sqlx::query(
            "UPDATE orders SET state = $1, outcome = NULL, pending_since = $4 WHERE id = $2 AND outcome = $3",
        )
        .bind(PENDING)
        .bind(signed(id))
        .bind(written(&Outcome::Done { block }))
        .bind(signed(now))
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(());
        }
        self.undo(&mut transaction, id).await?;
        let note = Note {
            at: now,
            actor: "server",
            action: "ordered anew",
            subject: &format!("order {id}"),
            why: &format!("the node lost block {}", block.number),
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn written(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).expect("names, numbers and hashes have a JSON form; qed")
}

fn read(outcome: &str) -> Result<Outcome, StoreError> {
    serde_json::from_str(outcome).map_err(|_| StoreError::Corrupt("an outcome"))
}
