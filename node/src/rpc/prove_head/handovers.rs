// SPDX-License-Identifier: Apache-2.0

//! How one set of GRANDPA's authorities leads to the next.
//!
//! A set ends with a block that names the next one, and whose justification every node keeps for ever. A change by force is
//! different: the set before had no say in it, and signed nothing that would lead over it. Who trusts the block that changed them
//! gets its header instead.

use codec::{DecodeAll, Encode};
use mhealth_evidence::HeadProof;
use mhealth_runtime::{BlockNumber, Hash, Header};
use sc_consensus_grandpa::GRANDPA_ENGINE_ID;
use sp_consensus_grandpa::ConsensusLog;
use sp_runtime::DigestItem;

use super::{Handover, ProofSource, ProveHeadError};

/// Most checkpoints of an asker that are looked at.
const MOST_CHECKPOINTS: usize = 16;

/// The handovers from a set on.
pub(super) enum Handovers {
    /// All of them up to the set that signed for the block.
    All(Vec<Handover>),
    /// As many as fit, and the last block of the set that they lead to, with its justification.
    Some(Vec<Handover>, (Header, Vec<u8>)),
}

/// How the set of this number leads to the one whose justification of the block of the number `justified` is given.
pub(super) fn handovers(
    source: &impl ProofSource,
    known: u64,
    justified: BlockNumber,
    checkpoints: &[Hash],
) -> Result<Handovers, ProveHeadError> {
    let (ended, present) = source.sets();
    if known > present {
        return Err(ProveHeadError::SetAhead(known));
    }
    let end = |set: u64| ended.iter().find(|(ended, _)| *ended == set);
    let mut led = Vec::new();
    let mut before = known.checked_sub(1).and_then(end).map(|(_, last)| *last);
    for expected in known..present {
        let not_bridged = ProveHeadError::SetNotBridged(expected);
        let Some((_, last)) = end(expected) else {
            return Err(not_bridged);
        };
        if *last >= justified {
            // This set signed for the block; it may be the last block of the set.
            break;
        }
        // A change by force is noted at a block that an earlier set had made final.
        let is_by_force = before.is_some_and(|before| before >= *last);
        before = Some(*last);
        let end = match is_by_force {
            true => None,
            false => end_of_set(source, *last)?,
        };
        let end = match end {
            Some(end) => Some(end),
            None => change_by_force(source, *last, checkpoints)?,
        };
        let Some((header, justification)) = end else {
            return Err(not_bridged);
        };
        // Those whom a block appoints by force vote from the last final block on. Until they come to that block, no asker takes a
        // proof that leads over it.
        if header.number > justified {
            return Err(ProveHeadError::NoFinalityProof);
        }
        led.push((header, justification));
        if led.len() > HeadProof::MOST_HANDOVERS {
            return part_of(led);
        }
    }
    Ok(Handovers::All(encoded(led)))
}

/// As many as an answer has. It ends at a block with a justification, which a change by force has not.
fn part_of(mut led: Vec<(Header, Vec<u8>)>) -> Result<Handovers, ProveHeadError> {
    while let Some((header, justification)) = led.pop() {
        if !justification.is_empty() {
            return Ok(Handovers::Some(encoded(led), (header, justification)));
        }
    }
    Err(ProveHeadError::NoFinalityProof)
}

fn encoded(led: Vec<(Header, Vec<u8>)>) -> Vec<Handover> {
    let handovers = led.into_iter().map(|(header, justification)| Handover {
        header: header.encode().into(),
        justification: justification.into(),
    });
    handovers.collect()
}

/// The last block of a set and its justification; none when the block does not name the next set.
fn end_of_set(
    source: &impl ProofSource,
    number: BlockNumber,
) -> Result<Option<(Header, Vec<u8>)>, ProveHeadError> {
    let Some(block) = source.canonical(number)? else {
        return Ok(None);
    };
    let Some(header) = source.header(block)?.filter(names_authorities) else {
        return Ok(None);
    };
    let justification = source.kept_justification(block)?;
    Ok(justification.map(|justification| (header, justification)))
}

/// The block among these that changed the authorities by force when the block of this number was the last final one, and no
/// justification. None when there is no such block, or when it is not on the best chain.
fn change_by_force(
    source: &impl ProofSource,
    last_final: BlockNumber,
    checkpoints: &[Hash],
) -> Result<Option<(Header, Vec<u8>)>, ProveHeadError> {
    for block in checkpoints.iter().take(MOST_CHECKPOINTS) {
        let Some(header) = source.header(*block)? else {
            continue;
        };
        let is_change = logs(&header).any(
            |log| matches!(log, ConsensusLog::ForcedChange(median, _) if median == last_final),
        );
        if is_change && source.canonical(header.number)? == Some(*block) {
            return Ok(Some((header, Vec::new())));
        }
    }
    Ok(None)
}

/// Whether a block names the next authorities, in agreement with those before.
fn names_authorities(header: &Header) -> bool {
    logs(header)
        .any(|log| matches!(log, ConsensusLog::ScheduledChange(change) if change.delay == 0))
}

/// What GRANDPA's pallet says in a block's header.
fn logs(header: &Header) -> impl Iterator<Item = ConsensusLog<BlockNumber>> + '_ {
    header.digest.logs().iter().filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::<BlockNumber>::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    })
}
