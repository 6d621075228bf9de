// SPDX-License-Identifier: Apache-2.0

//! Notices when a node comes back without finalised blocks that it had: after a power cut, or restored from a copy. On a chain
//! of several validators the others still have them; on a chain of one they are gone, and what stood in them is ordered anew,
//! in the order of that time, so that devices get the numbers that they were told.

use std::collections::HashMap;

use mhealth_api::BlockRef;
use mhealth_chain_client::{BlockId, ChainClient, Error, H256};
use mhealth_server::ApiError;

use crate::log::{self, Note};
use crate::office::{hash, Office};
use crate::orders::Outcome;

/// Orders that are looked at. Who lost more than these were settled in has lost the chain.
const ORDERS: u32 = 4_096;

/// What this process has seen of the finalised chain.
#[derive(Default)]
pub(super) struct Watch {
    seen: Option<BlockRef>,
}

impl Watch {
    /// Looks whether the chain goes on from what was seen before; orders anew what was lost. Says whether something was.
    pub(super) async fn look(&mut self, office: &Office) -> Result<bool, ApiError> {
        let now = block_ref(office.chain.finalised().await?);
        let before = match self.seen {
            Some(before) => Some(before),
            None => newest(office).await?,
        };
        let lost = match before {
            Some(before) => !is_final(&office.chain, before, now.number).await?,
            None => false,
        };
        if lost {
            tracing::error!(
                before = before.map(|block| block.number),
                now = now.number,
                "the node lost finalised blocks"
            );
            order_anew(office, now.number).await?;
        }
        self.seen = Some(now);
        Ok(lost)
    }
}

fn block_ref(block: BlockId) -> BlockRef {
    BlockRef {
        number: block.number,
        hash: hash(block.hash),
    }
}

async fn is_final(chain: &ChainClient, block: BlockRef, finalised: u64) -> Result<bool, Error> {
    if block.number > finalised {
        return Ok(false);
    }
    let found = chain.block_hash(block.number).await?;
    Ok(found == Some(H256(block.hash.0)))
}

/// The block that settled the newest order: where an earlier process left off.
async fn newest(office: &Office) -> Result<Option<BlockRef>, ApiError> {
    let done = office.orders.done(1).await?;
    Ok(done.first().map(|(_, block)| *block))
}

async fn order_anew(office: &Office, finalised: u64) -> Result<(), ApiError> {
    let mut known: HashMap<u64, bool> = HashMap::new();
    for (id, block) in office.orders.done(ORDERS).await? {
        let stands = match known.get(&block.number) {
            Some(stands) => *stands,
            None => is_final(&office.chain, block, finalised).await?,
        };
        known.insert(block.number, stands);
        if !stands {
            take_back(office, id, block).await?;
        }
    }
    office.orders.wake();
    Ok(())
}

async fn take_back(office: &Office, id: i64, block: BlockRef) -> Result<(), ApiError> {
    let mut transaction = office.database.begin().await?;
    if !office
        .orders
        .reopen(&mut transaction, id, &Outcome::Done { block })
        .await?
    {
        return Ok(());
    }
    sqlx::query(
        "UPDATE enrolments SET device = NULL, genesis = NULL, block_number = NULL, block_hash = NULL, enrolled_at = NULL \
         WHERE code = (SELECT code FROM orders WHERE id = $1)",
    )
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    let subject = format!("order {id}");
    let why = format!("the node lost block {}", block.number);
    let note = Note {
        at: office.now(),
        actor: "server",
        action: "ordered anew",
        subject: &subject,
        why: &why,
    };
    log::append(&office.database, &mut transaction, note).await?;
    transaction.commit().await?;
    Ok(())
}
