// SPDX-License-Identifier: Apache-2.0

//! That a block is final: which votes show it, and how the authorities that the asker knows lead to those who voted.

use codec::Encode;
use mhealth_runtime::{BlockNumber, Hash, Header};
use sc_consensus_grandpa::FinalityProof;

use super::handovers::{handovers, Handovers};
use super::{Asker, BlockProof, First, Handover, ProofSource, ProveHeadError};

/// How many headers a finality proof may carry, about a megabyte.
///
/// A proof of finality is kept every 16 blocks, so this is reached only when finality itself stood still that long.
pub(super) const MOST_HEADERS: BlockNumber = 4_096;

/// A block that is shown to be final.
pub(super) struct Shown {
    pub(super) block: BlockProof,
    /// Whether it is not the block that was asked for, because the sets since then are more than one answer has.
    pub(super) on_the_way: bool,
}

/// Shows that a block is final: the one named, or the latest whose finality is proved.
pub(super) fn prove_finality(
    source: &impl ProofSource,
    at: Option<Hash>,
    asker: Option<&Asker>,
) -> Result<Shown, ProveHeadError> {
    let latest = source.latest_justified()?;
    let block = match (at, &latest) {
        (Some(block), _) => block,
        (None, Some((block, _))) => *block,
        (None, None) => return Err(ProveHeadError::NoFinalityProof),
    };
    let header = source
        .header(block)?
        .ok_or(ProveHeadError::UnknownBlock(block))?;
    if header.number > source.finalised() || source.canonical(header.number)? != Some(block) {
        return Err(ProveHeadError::NotFinalised(block));
    }
    let finality_proof =
        finality_proof(source, header.number, latest)?.ok_or(ProveHeadError::NoFinalityProof)?;
    let (first, handovers) = match asker {
        None => (None, Vec::new()),
        Some(asker) => {
            let justified = finality_proof.unknown_headers.last().unwrap_or(&header);
            let first = match asker.set {
                None => Some(
                    source
                        .first_authorities()
                        .ok_or(ProveHeadError::SetNotBridged(0))?
                        .into(),
                ),
                Some(_) => None,
            };
            let known = asker.set.unwrap_or(0);
            match handovers(source, known, justified.number, &asker.checkpoints)? {
                Handovers::All(handovers) => (first, handovers),
                Handovers::Some(handovers, last) => {
                    return Ok(Shown {
                        block: last_of_a_set(first, handovers, last),
                        on_the_way: true,
                    })
                }
            }
        }
    };
    let block = BlockProof {
        first,
        handovers,
        block_number: header.number,
        block_hash: block,
        header: header.encode().into(),
        finality_proof: finality_proof.encode().into(),
    };
    Ok(Shown {
        block,
        on_the_way: false,
    })
}

/// An answer that leads to a later set only, because the sets since are more than one answer has. The block is the last of
/// that set, whose justification is kept; its state may be gone.
fn last_of_a_set(
    first: Option<First>,
    handovers: Vec<Handover>,
    (header, justification): (Header, Vec<u8>),
) -> BlockProof {
    let block = header.hash();
    let finality_proof = FinalityProof {
        block,
        justification,
        unknown_headers: Vec::<Header>::new(),
    };
    BlockProof {
        first,
        handovers,
        block_number: header.number,
        block_hash: block,
        header: header.encode().into(),
        finality_proof: finality_proof.encode().into(),
    }
}

/// The earliest justification that covers a finalised block, with the headers in between.
///
/// GRANDPA's own `grandpa_proveFinality` goes to the end of the authority set instead, which on a chain whose validators
/// never change is *now*: its proofs about old blocks would hold every header since.
fn finality_proof(
    source: &impl ProofSource,
    number: BlockNumber,
    latest: Option<(Hash, Vec<u8>)>,
) -> Result<Option<FinalityProof<Header>>, ProveHeadError> {
    let (latest_block, latest_justification) = latest.unzip();
    let last = source.finalised().min(number.saturating_add(MOST_HEADERS));
    let mut unknown_headers = Vec::new();
    for candidate in number..=last {
        let Some(block) = source.canonical(candidate)? else {
            break;
        };
        if candidate > number {
            let header = source
                .header(block)?
                .ok_or(ProveHeadError::UnknownBlock(block))?;
            unknown_headers.push(header);
        }
        let justification = match source.kept_justification(block)? {
            Some(justification) => Some(justification),
            None if latest_block == Some(block) => latest_justification.clone(),
            None => None,
        };
        if let Some(justification) = justification {
            return Ok(Some(FinalityProof {
                block,
                justification,
                unknown_headers,
            }));
        }
    }
    Ok(None)
}
