// SPDX-License-Identifier: Apache-2.0

//! What finalised blocks did to the runs.

use std::collections::BTreeMap;

use hashchain::DeviceId;
use mhealth_api::{BlockRef, Refusal};
use mhealth_server::WriteTransaction;
use sqlx::AssertSqlSafe;

use super::outbox::{list, release};
use super::rows::{
    self, hash, signed, unsigned, CONFLICTING, FINALISED, LIVE, REFUSED, SETTLED, SUBMITTED,
};
use super::{Lease, Store, StoreError};

/// How many followed blocks are remembered, and what they settled; of earlier ones one in so many, and as many of the very first. A
/// node that loses more finalised blocks than these needs a person.
const REMEMBERED: u64 = 512;

/// What a block did to one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Registered by this extrinsic.
    Registered,
    /// Registered before, by somebody else.
    RegisteredBefore,
    /// Refused for a reason that is no contradiction.
    Refused(Refusal),
    /// Refused because it contradicts what stands registered.
    Conflicting(Refusal),
    /// Nothing was settled; the run waits again.
    Again,
}

/// What a block did to the runs of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The batch.
    pub batch: i64,
    /// Place of its extrinsic in the block.
    pub extrinsic: u32,
    /// From when on its runs grow old, in milliseconds since 1970.
    pub settled_at: u64,
    /// Every run of the batch.
    pub fates: Vec<(i64, Fate)>,
}

impl Store {
    /// The latest block that was worked off; none on a new database.
    pub async fn followed(&self) -> Result<Option<BlockRef>, StoreError> {
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT number, hash FROM followed ORDER BY number DESC LIMIT 1")
                .fetch_optional(self.own.pool())
                .await?;
        row.map(block_ref).transpose()
    }

    /// The latest block up to this one that was worked off and is remembered.
    pub async fn followed_up_to(&self, number: u64) -> Result<Option<BlockRef>, StoreError> {
        let sql =
            "SELECT number, hash FROM followed WHERE number <= $1 ORDER BY number DESC LIMIT 1";
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(sql)
            .bind(signed(number))
            .fetch_optional(self.own.pool())
            .await?;
        row.map(block_ref).transpose()
    }

    /// Writes down, in one transaction, that a block was worked off and what it did.
    pub async fn settle(
        &self,
        lease: Lease,
        block: BlockRef,
        settlements: &[Settlement],
    ) -> Result<(), StoreError> {
        let mut transaction = self.own.begin().await?;
        self.hold(&mut transaction, lease).await?;
        for settlement in settlements {
            let settled = sqlx::query(
                "UPDATE batches SET state = $1, block_number = $2 WHERE id = $3 AND state = $4",
            )
            .bind(SETTLED)
            .bind(signed(block.number))
            .bind(settlement.batch)
            .bind(LIVE)
            .execute(&mut *transaction)
            .await?;
            if settled.rows_affected() == 1 {
                settle_batch(&mut transaction, block, settlement).await?;
            }
        }
        sqlx::query("INSERT INTO followed (number, hash) VALUES ($1, $2) ON CONFLICT (number) DO UPDATE SET hash = excluded.hash")
            .bind(signed(block.number))
            .bind(block.hash.0.to_vec())
            .execute(&mut *transaction)
            .await?;
        if let Some(horizon) = block.number.checked_sub(REMEMBERED) {
            // Those before were forgotten when the horizon was there.
            let from = horizon.saturating_sub(REMEMBERED).max(REMEMBERED);
            sqlx::query(
                "DELETE FROM followed WHERE number < $1 AND number >= $2 AND number % $3 <> 0",
            )
            .bind(signed(horizon))
            .bind(signed(from))
            .bind(signed(REMEMBERED))
            .execute(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM batches WHERE state = $1 AND block_number < $2")
                .bind(SETTLED)
                .bind(signed(horizon))
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM batches WHERE state = $1 AND death < $2")
                .bind(rows::DEAD)
                .bind(signed(horizon))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets what blocks after this one did, because the node has lost them: their batches are live again, with the
    /// same bytes, and their runs on their way.
    pub async fn roll_back(&self, lease: Lease, to: u64) -> Result<(), StoreError> {
        let mut transaction = self.own.begin().await?;
        self.hold(&mut transaction, lease).await?;
        sqlx::query(
            "UPDATE runs SET state = $1, block_number = NULL, block_hash = NULL, extrinsic_index = NULL, reason = NULL, \
             settled_at = NULL \
             WHERE state > $1 AND batch IN (SELECT id FROM batches WHERE state = $2 AND block_number > $3)",
        )
        .bind(SUBMITTED)
        .bind(SETTLED)
        .bind(signed(to))
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE batches SET state = $1, block_number = NULL WHERE state = $2 AND block_number > $3")
            .bind(LIVE)
            .bind(SETTLED)
            .bind(signed(to))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM followed WHERE number > $1")
            .bind(signed(to))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whether entries of this device before a sequence are still on their way to the chain from here.
    pub async fn has_open_run_before(
        &self,
        device: DeviceId,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT id FROM runs WHERE device = $1 AND sequence < $2 AND state < $3 LIMIT 1",
        )
        .bind(i64::from(device))
        .bind(signed(sequence))
        .bind(FINALISED)
        .fetch_optional(self.own.pool())
        .await?;
        Ok(row.is_some())
    }
}

fn block_ref((number, bytes): (i64, Vec<u8>)) -> Result<BlockRef, StoreError> {
    Ok(BlockRef {
        number: unsigned(number)?,
        hash: hash(bytes)?,
    })
}

async fn settle_batch(
    transaction: &mut WriteTransaction,
    block: BlockRef,
    settlement: &Settlement,
) -> Result<(), StoreError> {
    let mut by_fate: BTreeMap<&Fate, Vec<i64>> = BTreeMap::new();
    for (id, fate) in &settlement.fates {
        by_fate.entry(fate).or_default().push(*id);
    }
    for (fate, ids) in by_fate {
        let (state, reason) = match fate {
            Fate::Registered | Fate::RegisteredBefore => (FINALISED, None),
            Fate::Refused(reason) => (REFUSED, Some(reason)),
            Fate::Conflicting(reason) => (CONFLICTING, Some(reason)),
            Fate::Again => continue,
        };
        let ids = list(&ids);
        let extrinsic =
            (*fate != Fate::RegisteredBefore).then_some(i64::from(settlement.extrinsic));
        let sql = format!(
            "UPDATE runs SET state = $1, reason = $2, block_number = $3, block_hash = $4, extrinsic_index = $5, settled_at = $7 \
             WHERE batch = $6 AND state = {SUBMITTED} AND id IN ({ids})"
        );
        sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(state)
            .bind(reason.map(Refusal::as_str))
            .bind(signed(block.number))
            .bind(block.hash.0.to_vec())
            .bind(extrinsic)
            .bind(settlement.batch)
            .bind(signed(settlement.settled_at))
            .execute(&mut **transaction)
            .await?;
        if reason.is_some() {
            // What was accepted after a refused run leads nowhere; from now on the chain's own head counts.
            let sql = format!(
                "DELETE FROM heads WHERE device IN (SELECT device FROM runs WHERE rival = 0 AND id IN ({ids}))"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            query.execute(&mut **transaction).await?;
        }
    }
    // Those that are to try again, and those that the outcome does not name: a batch must not keep one for ever.
    release(transaction, settlement.batch).await
}
