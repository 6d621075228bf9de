// SPDX-License-Identifier: Apache-2.0

//! Notices when a node comes back without finalised blocks that it had: after a power cut, or restored from a copy. On a chain
//! of several validators the others still have them; on a chain of one they are gone, and what was in them is ordered anew,
//! in the order of that time, so that devices get the numbers that they were told.

use std::collections::HashMap;

use mhealth_api::BlockRef;
use mhealth_chain_client::{BlockId, ChainClient, Error};
use mhealth_server::ApiError;

use crate::app::{hash, App};
use crate::store::Lease;

/// Orders that are looked at. Who lost more than these were settled in has lost the chain.
const ORDERS: u32 = 4_096;

/// What this process has seen of the finalised chain.
#[derive(Default)]
pub(super) struct Watch {
    seen: Option<BlockRef>,
}

impl Watch {
    /// Looks whether the chain goes on from what was seen before; orders anew what was lost. Says whether something was.
    pub(super) async fn look(&mut self, app: &App, lease: Lease) -> Result<bool, ApiError> {
        let now = block_ref(app.chain.finalised().await?);
        let before = match self.seen {
            Some(before) => Some(before),
            None => newest(app).await?,
        };
        let lost = match before {
            Some(before) => !is_final(&app.chain, before, now.number).await?,
            None => false,
        };
        if lost {
            tracing::error!(
                before = before.map(|block| block.number),
                now = now.number,
                "the node lost finalised blocks"
            );
            order_anew(app, lease, now.number).await?;
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
    Ok(found.map(hash) == Some(block.hash))
}

/// The block that settled the newest order: where an earlier process left off.
async fn newest(app: &App) -> Result<Option<BlockRef>, ApiError> {
    let done = app.store.done_orders(1).await?;
    Ok(done.first().map(|(_, block)| *block))
}

async fn order_anew(app: &App, lease: Lease, finalised: u64) -> Result<(), ApiError> {
    let mut known: HashMap<u64, bool> = HashMap::new();
    for (id, block) in app.store.done_orders(ORDERS).await? {
        let is_there = match known.get(&block.number) {
            Some(is_there) => *is_there,
            None => is_final(&app.chain, block, finalised).await?,
        };
        known.insert(block.number, is_there);
        if !is_there {
            app.store.order_anew(lease, id, block, app.now()).await?;
        }
    }
    app.orders.wake();
    Ok(())
}
