// SPDX-License-Identifier: Apache-2.0

//! Which authorities a file of evidence begins with, and how they led to those of its block.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use mhealth_chain_client::{ChainClient, H256};
use mhealth_evidence::{
    checkpoint_keys, forces_authorities, next_authorities, Anchor, Checkpoint,
    CheckpointAuthorities, Handover, AUTHORITIES_KEY,
};

use super::{decoded, header, unfit, AT_ONCE};
use crate::chain::{handover, read_proof};
use crate::error::AuditError;
use crate::evidence::{Start, LARGEST};

/// From the checkpoint, or the first block, to the block of this number and hash.
pub(super) async fn lead(
    client: &ChainClient,
    number: u32,
    block: H256,
    checkpoint: Option<Checkpoint>,
) -> Result<(Start, Vec<Handover>), AuditError> {
    let genesis = client.genesis_hash();
    let Some(checkpoint) = checkpoint else {
        if let Some(listed) = listed(client, number, block, None).await? {
            let first = Start::Genesis(listed.first.iter().collect());
            return Ok((first, listed.handovers));
        }
        let keys = [AUTHORITIES_KEY.to_vec()];
        let first = Start::Genesis(read_proof(client, &keys, genesis).await?);
        return Ok((first, by_headers(client, 0, number).await?));
    };
    let authorities = authorities_at(client, checkpoint).await?;
    let anchor = Anchor::at_checkpoint(genesis.0, checkpoint, &authorities);
    let anchor = anchor.map_err(|refusal| unfit(&refusal.to_string()))?;
    let handovers = match listed(client, number, block, Some(anchor.set().id())).await? {
        Some(listed) => listed.handovers,
        None => by_headers(client, checkpoint.number, number).await?,
    };
    Ok((Start::Checkpoint(authorities), handovers))
}

/// What a node lists of its sets of authorities.
struct Listed {
    /// Nodes of the first block's state that lead to the first authorities, in order and each once; none if a set was named.
    first: BTreeSet<Vec<u8>>,
    handovers: Vec<Handover>,
}

/// The handovers from the set of this number on, or from the first one, to the block of this number and hash. The node knows its sets,
/// and the first authorities even where it has dropped the first state. None if it cannot lead so far: reading the headers tells why.
async fn listed(
    client: &ChainClient,
    number: u32,
    block: H256,
    from: Option<u64>,
) -> Result<Option<Listed>, AuditError> {
    let (mut first, mut handovers) = (BTreeSet::new(), Handovers::default());
    let mut known = from;
    loop {
        let changes = match client.authority_changes(block, known).await {
            Ok(changes) => changes,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        if known.is_none() {
            let Some((_, nodes)) = changes.first else {
                return Ok(None);
            };
            first.extend(nodes);
        }
        let more = !changes.handovers.is_empty();
        for (header, justification) in changes.handovers {
            handovers.take(Handover {
                header: decoded(&header, "a header")?,
                justification,
            })?;
        }
        match changes.complete || handovers.lead_to(number) {
            true => break,
            false if more => {}
            false => return Ok(None),
        }
        let led = from.unwrap_or(0).saturating_add(handovers.len() as u64);
        known = Some(led);
    }
    // Of blocks after this one the node may know, too.
    let mut handovers = handovers.all;
    handovers.retain(|handover| handover.header.number < number);
    Ok(Some(Listed { first, handovers }))
}

/// The authorities after a checkpoint, as its state names them.
async fn authorities_at(
    client: &ChainClient,
    checkpoint: Checkpoint,
) -> Result<CheckpointAuthorities, AuditError> {
    let block = client.block_hash(u64::from(checkpoint.number)).await?;
    let block = block
        .filter(|block| block.0 == checkpoint.hash)
        .ok_or_else(|| {
            unfit(&format!(
                "the node's chain lacks the checkpoint {checkpoint}"
            ))
        })?;
    Ok(CheckpointAuthorities {
        header: header(client, block).await?,
        nodes: read_proof(client, &checkpoint_keys(), block).await?,
    })
}

/// The blocks between these two that named other authorities, each with its justification.
///
/// This reads every header: two requests a block, in time linear in their number. It is for nodes that cannot list them, and to tell
/// which block changed the authorities by force.
async fn by_headers(
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
    let mut naming = std::pin::pin!(headers.try_filter(|header| {
        let changes = forces_authorities(header) || next_authorities(header).is_some();
        std::future::ready(changes)
    }));
    let mut handovers = Handovers::default();
    while let Some(header) = naming.try_next().await? {
        if forces_authorities(&header) {
            return Err(unfit(&format!(
                "block {} changed the authorities by force, which those before did not sign; give a later block with --checkpoint",
                header.number
            )));
        }
        let proved = handover(client, header.number).await?;
        handovers.take(
            proved.ok_or_else(|| unfit("the node has no proof for a handover of authorities"))?,
        )?;
    }
    Ok(handovers.all)
}

/// Blocks that named other authorities, each with its justification, as a node shows them.
#[derive(Default)]
struct Handovers {
    all: Vec<Handover>,
    /// What they take in a file.
    bytes: usize,
}

impl Handovers {
    /// Takes the next one. Fails when it is not of a later block, or when there are more than any file may have: a node that lies
    /// would show them without end.
    fn take(&mut self, next: Handover) -> Result<(), AuditError> {
        let last = self.all.last().map(|last| last.header.number);
        if last.is_some_and(|last| next.header.number <= last) {
            return Err(unfit(
                "the node shows handovers of authorities out of order",
            ));
        }
        self.bytes = self
            .bytes
            .saturating_add(codec::Encode::encoded_size(&next));
        if self.bytes > LARGEST {
            let why = "the node shows more handovers of authorities than a file may have; give a later block with --checkpoint";
            return Err(unfit(why));
        }
        self.all.push(next);
        Ok(())
    }

    fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether they lead as far as to this block.
    fn lead_to(&self, number: u32) -> bool {
        self.all
            .last()
            .is_some_and(|last| last.header.number >= number)
    }
}

#[cfg(test)]
mod tests {
    use codec::{Compact, Decode, Encode};
    use mhealth_evidence::Header;

    use super::*;

    fn of(number: u32, justification: usize) -> Handover {
        // All else of it is zero.
        let header = [vec![0; 32], Compact(number).encode(), vec![0; 65]].concat();
        Handover {
            header: Header::decode(&mut &header[..]).unwrap(),
            justification: vec![0; justification],
        }
    }

    #[test]
    fn handovers_of_a_node_that_lies_come_to_an_end() {
        let mut handovers = Handovers::default();
        handovers.take(of(7, 1)).unwrap();
        assert!(handovers.lead_to(7) && !handovers.lead_to(8));
        for again in [7, 6, 0] {
            assert!(handovers.take(of(again, 1)).is_err(), "{again}");
        }
        handovers.take(of(8, LARGEST / 2)).unwrap();
        assert!(handovers.take(of(9, LARGEST / 2)).is_err());
        assert_eq!(handovers.all.len(), 2);
    }
}
