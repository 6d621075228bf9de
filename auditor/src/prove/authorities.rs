// SPDX-License-Identifier: Apache-2.0

//! Which authorities a file of evidence begins with, and how they led to those of its block.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use mhealth_chain_client::{ChainClient, H256};
use mhealth_evidence::{
    checkpoint_keys, forces_authorities, next_authorities, Checkpoint, CheckpointAuthorities,
    Handover, Header, AUTHORITIES_KEY,
};

use super::{decoded, header, unfit, AT_ONCE};
use crate::chain::{handover, read_proof};
use crate::error::AuditError;
use crate::evidence::Start;

/// From the checkpoint, or the first block, to the block of this number and hash.
pub(super) async fn lead(
    client: &ChainClient,
    number: u32,
    block: H256,
    checkpoint: Option<Checkpoint>,
) -> Result<(Start, Vec<Handover>), AuditError> {
    if checkpoint.is_none() {
        if let Some(led) = from_the_first(client, number, block).await? {
            return Ok(led);
        }
    }
    let from = checkpoint.map_or(0, |checkpoint| checkpoint.number);
    Ok((
        start(client, checkpoint).await?,
        handovers(client, from, number).await?,
    ))
}

/// As the node knows it, which keeps a list of the sets, and the first authorities even where it has dropped the first state. None
/// if it cannot lead so far: reading the headers tells why.
async fn from_the_first(
    client: &ChainClient,
    number: u32,
    block: H256,
) -> Result<Option<(Start, Vec<Handover>)>, AuditError> {
    let (mut first, mut handovers) = (None, Vec::new());
    loop {
        let set = first.as_ref().map(|_| handovers.len() as u64);
        let changes = match client.authority_changes(block, set).await {
            Ok(changes) => changes,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        if first.is_none() {
            let Some((_, nodes)) = changes.first else {
                return Ok(None);
            };
            first = Some(nodes.into_iter().collect::<BTreeSet<_>>());
        }
        let more = !changes.handovers.is_empty();
        for (header, justification) in changes.handovers {
            handovers.push(Handover {
                header: decoded(&header, "a header")?,
                justification,
            });
        }
        match changes.complete {
            true => break,
            false if more => {}
            false => return Ok(None),
        }
    }
    // Of blocks after this one the node may know, too.
    handovers.retain(|handover| handover.header.number < number);
    let nodes = first.unwrap_or_default();
    Ok(Some((Start::Genesis(nodes.iter().collect()), handovers)))
}

/// The authorities to begin with, as the state of the checkpoint or of the first block names them.
async fn start(client: &ChainClient, checkpoint: Option<Checkpoint>) -> Result<Start, AuditError> {
    let Some(checkpoint) = checkpoint else {
        let keys = [AUTHORITIES_KEY.to_vec()];
        let proof = read_proof(client, &keys, client.genesis_hash()).await?;
        return Ok(Start::Genesis(proof));
    };
    let block = client.block_hash(u64::from(checkpoint.number)).await?;
    let block = block
        .filter(|block| block.0 == checkpoint.hash)
        .ok_or_else(|| {
            unfit(&format!(
                "the node's chain lacks the checkpoint {checkpoint}"
            ))
        })?;
    Ok(Start::Checkpoint(CheckpointAuthorities {
        header: header(client, block).await?,
        nodes: read_proof(client, &checkpoint_keys(), block).await?,
    }))
}

/// The blocks between these two that named other authorities, each with its justification.
///
/// This reads every header: two requests a block, in time linear in their number.
async fn handovers(
    client: &ChainClient,
    after: u32,
    before: u32,
) -> Result<Vec<Handover>, AuditError> {
    let headers = futures::stream::iter(after + 1..before)
        .map(|number| async move {
            let block = client.block_hash(u64::from(number)).await?;
            header(
                client,
                block.ok_or_else(|| unfit("the node lacks a block"))?,
            )
            .await
        })
        .buffered(AT_ONCE);
    let naming: Vec<Header> = headers
        .try_filter(|header| {
            let changes = forces_authorities(header) || next_authorities(header).is_some();
            std::future::ready(changes)
        })
        .try_collect()
        .await?;
    let mut handovers = Vec::new();
    for header in naming {
        if forces_authorities(&header) {
            return Err(unfit(&format!(
                "block {} changed the authorities by force, which those before did not sign; give a later block with --checkpoint",
                header.number
            )));
        }
        let proved = handover(client, header.number).await?;
        handovers.push(
            proved.ok_or_else(|| unfit("the node has no proof for a handover of authorities"))?,
        );
    }
    Ok(handovers)
}
