// SPDX-License-Identifier: Apache-2.0

//! Shows the chain which of its blocks is final.
//!
//! The voters of GRANDPA sign beside the chain. What the chain knows of it keeps the consortium from taking finality for lost while
//! it is alive, so a validator's node hands in a proof now and then: the runtime says when. The report goes into a block of this
//! node's own.

use std::sync::Arc;

use codec::Encode;
use futures::StreamExt;
use mhealth_runtime::{opaque::Block, BlockNumber, Hash, Header};
use pallet_finality_runtime_api::FinalityApi;
use sc_client_api::BlockchainEvents;
use sc_consensus_grandpa::{best_justification, FinalityProof};
use sp_api::ProvideRuntimeApi;

use super::{
    reports::{hand_in, Failed},
    FullBackend, FullClient, FullPool,
};

/// How often a node looks whether there is something to show, in blocks. Less than the runtime's period, so that a report that
/// came into no block is made again before the next is due.
const LOOK: BlockNumber = 8;

/// Watches imported blocks until the node stops.
pub(super) async fn watch(client: Arc<FullClient>, backend: Arc<FullBackend>, pool: Arc<FullPool>) {
    let mut imported = client.import_notification_stream();
    let mut next = 0;
    while let Some(block) = imported.next().await {
        if !block.is_new_best || block.header.number < next {
            continue;
        }
        next = block.header.number.saturating_add(LOOK);
        match report(&client, &backend, &pool, block.hash).await {
            Ok(Some(number)) => tracing::debug!(
                target: "finality",
                "shows the chain that block {number} is final",
            ),
            // Another node was faster, or there is nothing new.
            Ok(None) => {}
            Err(error) => tracing::warn!(
                target: "finality",
                "this node could not show the chain its last final block: {error}",
            ),
        }
    }
}

/// Puts a report into this node's pool, if the chain after this block is due one. Gives the number of the block that it shows.
async fn report(
    client: &FullClient,
    backend: &FullBackend,
    pool: &FullPool,
    best: Hash,
) -> Result<Option<BlockNumber>, Failed> {
    let Some(justification) = best_justification::<_, Block>(backend)? else {
        return Ok(None);
    };
    let (number, block) = justification.target();
    let proof = FinalityProof {
        block,
        justification: justification.encode(),
        unknown_headers: Vec::<Header>::new(),
    };
    let report = client.runtime_api().final_report(best, proof.encode())?;
    let Some(report) = report else {
        return Ok(None);
    };
    let is_new = hand_in(pool, best, &report).await?;
    Ok(is_new.then_some(number))
}
