// SPDX-License-Identifier: Apache-2.0

//! Notices when a node comes back without finalised blocks that it had: after a power cut, or restored from a copy. On a chain
//! of several validators the others still have them; on a chain of one they are gone, and what was in them is ordered anew,
//! in the order of that time, so that devices get the numbers that they were told.
//!
//! A node that has not come as far yet looks the same at first: it is new, or was cut off. So nothing is taken for lost before
//! the node shows another block where there was one; until it does, or has caught up, the desk waits.

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

/// How the node's chain stands to what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on from there.
    GoesOn,
    /// It has not come as far. What it says is old.
    Behind {
        /// The latest block that was seen.
        seen: u64,
        /// Its latest finalised block.
        now: u64,
    },
    /// It has other blocks. What was in those that it lost is ordered anew.
    LostBlocks,
}

impl Watch {
    /// Looks whether the chain goes on from what was seen before; orders anew what was lost.
    pub(super) async fn look(&mut self, app: &App, lease: Lease) -> Result<Standing, ApiError> {
        let chain = app.chain.client()?;
        let now = block_ref(chain.finalised().await?);
        // Another process may have gone on where this one left off.
        let newest = newest(app).await?;
        for before in [self.seen, newest].into_iter().flatten() {
            match is_final(chain, before, now.number).await? {
                Some(true) => {}
                Some(false) => return self.lost(app, lease, before, now).await,
                None if self.shows_another(app, now).await? => {
                    return self.lost(app, lease, before, now).await
                }
                None => {
                    return Ok(Standing::Behind {
                        seen: before.number,
                        now: now.number,
                    })
                }
            }
        }
        self.seen = Some(now);
        Ok(Standing::GoesOn)
    }

    /// Whether the node, which has not come as far as it was, shows another block at a place that it has reached.
    async fn shows_another(&self, app: &App, now: BlockRef) -> Result<bool, ApiError> {
        let done = app.store.done_orders(ORDERS).await?;
        let reached = done.iter().find(|(_, block)| block.number <= now.number);
        Ok(match reached {
            Some((_, block)) => {
                let chain = app.chain.client()?;
                is_final(chain, *block, now.number).await? == Some(false)
            }
            None => false,
        })
    }

    async fn lost(
        &mut self,
        app: &App,
        lease: Lease,
        before: BlockRef,
        now: BlockRef,
    ) -> Result<Standing, ApiError> {
        tracing::error!(
            before = before.number,
            now = now.number,
            "the node lost finalised blocks"
        );
        order_anew(app, lease, now.number).await?;
        self.seen = Some(now);
        Ok(Standing::LostBlocks)
    }
}

fn block_ref(block: BlockId) -> BlockRef {
    BlockRef {
        number: block.number,
        hash: hash(block.hash),
    }
}

/// Whether the node has this block as a final one; none when it has not come so far, or has no block there.
async fn is_final(
    chain: &ChainClient,
    block: BlockRef,
    finalised: u64,
) -> Result<Option<bool>, Error> {
    if block.number > finalised {
        return Ok(None);
    }
    let found = chain.block_hash(block.number).await?;
    Ok(found.map(|found| hash(found) == block.hash))
}

/// The block that settled the newest order: where an earlier process left off.
async fn newest(app: &App) -> Result<Option<BlockRef>, ApiError> {
    let done = app.store.done_orders(1).await?;
    Ok(done.first().map(|(_, block)| *block))
}

/// Orders anew what is not in the node's chain, which has lost blocks. Those after its latest one are lost, too.
async fn order_anew(app: &App, lease: Lease, finalised: u64) -> Result<(), ApiError> {
    let chain = app.chain.client()?;
    let mut known: HashMap<u64, bool> = HashMap::new();
    for (id, block) in app.store.done_orders(ORDERS).await? {
        let is_there = match known.get(&block.number) {
            Some(is_there) => *is_there,
            None => is_final(chain, block, finalised).await? == Some(true),
        };
        known.insert(block.number, is_there);
        if !is_there {
            app.store.order_anew(lease, id, block, app.now()).await?;
        }
    }
    app.orders.wake();
    Ok(())
}
