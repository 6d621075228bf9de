// SPDX-License-Identifier: Apache-2.0

//! How one set of GRANDPA's authorities leads to the next.
//!
//! A set ends with a block that names the next one, and whose justification every node keeps for ever. A change by force is
//! different: the set before had no say in it, and signed nothing that would lead over it.

use codec::{DecodeAll, Encode};
use mhealth_evidence::HeadProof;
use mhealth_runtime::{BlockNumber, Header};
use sc_consensus_grandpa::GRANDPA_ENGINE_ID;
use sp_consensus_grandpa::ConsensusLog;
use sp_runtime::DigestItem;

use super::{Handover, ProofSource, ProveHeadError};

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
) -> Result<Handovers, ProveHeadError> {
    let (ended, present) = source.sets();
    if known > present {
        return Err(ProveHeadError::SetAhead(known));
    }
    let end = |set: u64| ended.iter().find(|(ended, _)| *ended == set);
    let mut handovers = Vec::new();
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
        if before.is_some_and(|before| before >= *last) {
            return Err(not_bridged);
        }
        before = Some(*last);
        let Some((header, justification)) = end_of_set(source, *last)? else {
            return Err(not_bridged);
        };
        if handovers.len() == HeadProof::MOST_HANDOVERS {
            return Ok(Handovers::Some(handovers, (header, justification)));
        }
        handovers.push(Handover {
            header: header.encode().into(),
            justification: justification.into(),
        });
    }
    Ok(Handovers::All(handovers))
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

/// Whether a block names the next authorities, in agreement with those before.
fn names_authorities(header: &Header) -> bool {
    let mut logs = header.digest.logs().iter().filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::<BlockNumber>::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    });
    logs.any(|log| matches!(log, ConsensusLog::ScheduledChange(change) if change.delay == 0))
}
