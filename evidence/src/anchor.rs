// SPDX-License-Identifier: Apache-2.0

//! What a reader knows of a chain, and how it learns more.

use core::ops::Deref;

use codec::{Decode, Encode};

use crate::bytes::Blobs;
use crate::checkpoint::Checkpoint;
use crate::finality::{AuthoritySet, Handover};
use crate::header::Header;
use crate::keys::genesis_hash_key;
use crate::proof::{CheckpointAuthorities, FinalityProof, FirstAuthorities};
use crate::trie::State;

/// What a phone or an auditor knows of a chain: its first block, the authorities who vote on what is final, and up to which block it
/// has seen. Whoever stores it keeps it safe from others: everything rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Anchor {
    genesis: [u8; 32],
    set: AuthoritySet,
    block: u32,
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its first block is another one.
    AnotherChain,
    /// Nothing leads to the first authorities.
    FirstAuthorities,
    /// The header is not that of the checkpoint.
    AnotherHistory,
    /// The state of the checkpoint does not say who the authorities are, or is of another chain.
    CheckpointState,
    /// In the handover with this place, from 0, the set before did not make the block final, or it names no next one.
    Handover(usize),
    /// The handover with this place, from 0, is of a block that was passed already, or is after the block that was signed for.
    HandoverOrder(usize),
    /// A block changes the authorities by force, so that nobody signed for it, and is no checkpoint of the reader's.
    ChangeByForce(Checkpoint),
    /// A header after the block does not follow the one before.
    Descendants,
    /// The block is not shown to be final by the authorities of its time.
    NotFinal,
    /// The block's state does not say which chain it is of. GRANDPA's votes do not either, and the same authorities may vote on
    /// several chains.
    ChainNotNamed,
    /// The block is before one that was seen already.
    TooOld {
        /// The block's number.
        block: u32,
        /// The number of the newest block that was seen.
        seen: u32,
    },
}

impl Refusal {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AnotherChain => "another_chain",
            Self::FirstAuthorities => "first_authorities_not_proved",
            Self::AnotherHistory => "another_history",
            Self::CheckpointState => "checkpoint_not_proved",
            Self::Handover(_) => "handover_not_final",
            Self::HandoverOrder(_) => "handover_out_of_order",
            Self::ChangeByForce(_) => "change_by_force",
            Self::Descendants => "descendants_do_not_follow",
            Self::NotFinal => "block_not_final",
            Self::ChainNotNamed => "chain_not_proved",
            Self::TooOld { .. } => "proof_too_old",
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::AnotherChain => f.write_str("the proof is about another chain"),
            Self::FirstAuthorities => {
                f.write_str("the first authorities are not proved by the first block's state")
            }
            Self::AnotherHistory => f.write_str("the block is not the checkpoint"),
            Self::CheckpointState => f.write_str(
                "the authorities at the checkpoint are not proved by its state, or it is of another chain",
            ),
            Self::Handover(place) => {
                write!(f, "handover {place} of the authorities is not proved to be final")
            }
            Self::HandoverOrder(place) => write!(
                f,
                "handover {place} of the authorities is not between the one before it and the block that was signed for"
            ),
            Self::ChangeByForce(block) => write!(
                f,
                "the authorities were changed by force in block {block}, which only trust in it leads over"
            ),
            Self::Descendants => f.write_str("the headers after the block do not follow it"),
            Self::NotFinal => f.write_str("the block is not proved to be final"),
            Self::ChainNotNamed => {
                f.write_str("it is not proved which chain the block is of")
            }
            Self::TooOld { block, seen } => {
                write!(f, "the proof is about block {block}, and block {seen} was seen already")
            }
        }
    }
}

impl core::error::Error for Refusal {}

impl Anchor {
    /// What somebody knows who knows the first block's hash, once it was shown who the first authorities are.
    pub fn begin(genesis: [u8; 32], first: &FirstAuthorities) -> Result<Self, Refusal> {
        if first.genesis.number != 0 || first.genesis.hash() != genesis {
            return Err(Refusal::AnotherChain);
        }
        let state = State::new(first.genesis.state_root, &first.nodes);
        let set = state.first_authorities();
        Ok(Anchor {
            genesis,
            set: set.map_err(|_| Refusal::FirstAuthorities)?,
            block: 0,
        })
    }

    /// What somebody knows who trusts a block, once it was shown who the authorities after it are. Nothing rests on those before.
    pub fn at_checkpoint(
        genesis: [u8; 32],
        checkpoint: Checkpoint,
        authorities: &CheckpointAuthorities,
    ) -> Result<Self, Refusal> {
        if Checkpoint::of(&authorities.header) != checkpoint {
            return Err(Refusal::AnotherHistory);
        }
        let state = State::new(authorities.header.state_root, &authorities.nodes);
        let set = state.authorities_after(genesis);
        Ok(Anchor {
            genesis,
            set: set.map_err(|_| Refusal::CheckpointState)?,
            block: checkpoint.number,
        })
    }

    /// Hash of the chain's first block.
    pub fn genesis(&self) -> [u8; 32] {
        self.genesis
    }

    /// The authorities who vote on the blocks to come, as far as it is known.
    pub fn set(&self) -> &AuthoritySet {
        &self.set
    }

    /// Number of the newest block that was passed: of one that was shown to be final, or that changed the authorities on the way. No
    /// block after it led to the set.
    pub fn block(&self) -> u32 {
        self.block
    }

    /// What a proof shows, if it shows anything: the block is final, is of this chain by what stands in its state under
    /// [`genesis_hash_key`], and is not before one that was seen already. The anchor moves on to its block and its authorities; when the
    /// proof is refused, it stays as it is.
    pub fn check<'p>(&mut self, proof: &'p FinalityProof) -> Result<FinalState<'p>, Refusal> {
        self.check_with(proof, &[])
    }

    /// The same for a reader who trusts these blocks: where one of them changes the authorities by force, the proof may lead over it
    /// without signatures. The reader has them from the consortium, and not from whoever brings proofs. A block leads on from what
    /// was known before it only: else those whom it appointed could come back at any time, with keys that are worth nothing any more.
    pub fn check_with<'p>(
        &mut self,
        proof: &'p FinalityProof,
        checkpoints: &[Checkpoint],
    ) -> Result<FinalState<'p>, Refusal> {
        let (set, reached) = self.finalised_by(proof, checkpoints)?;
        let state = State::new(proof.block.state_root, &proof.nodes);
        match state.value::<[u8; 32]>(&genesis_hash_key()) {
            Ok(Some(genesis)) if genesis == self.genesis => {}
            Ok(Some(_)) => return Err(Refusal::AnotherChain),
            Ok(None) | Err(_) => return Err(Refusal::ChainNotNamed),
        }
        (self.set, self.block) = (set, reached);
        Ok(FinalState {
            hash: proof.block.hash(),
            header: &proof.block,
            state,
        })
    }

    /// Moves on over as many changes of authorities as an answer has at most ([`HeadProof::MOST_HANDOVERS`]), to the set that the
    /// last of them names. Nodes may not have the state of a block so far back, so it is not asked whose chain that is: that the
    /// authorities of the anchor's set signed for it is all. The first proof of a state after it has to name the chain.
    ///
    /// [`HeadProof::MOST_HANDOVERS`]: crate::HeadProof::MOST_HANDOVERS
    pub fn follow(
        &mut self,
        proof: &FinalityProof,
        checkpoints: &[Checkpoint],
    ) -> Result<(), Refusal> {
        if proof.handovers.len() < crate::HeadProof::MOST_HANDOVERS {
            return Err(Refusal::ChainNotNamed);
        }
        (self.set, self.block) = self.finalised_by(proof, checkpoints)?;
        Ok(())
    }

    /// The set that made a proof's block final, over every set between the anchor's and it, and the newest block that was passed.
    fn finalised_by(
        &self,
        proof: &FinalityProof,
        checkpoints: &[Checkpoint],
    ) -> Result<(AuthoritySet, u32), Refusal> {
        let (block, seen) = (proof.block.number, self.block);
        if block < seen {
            return Err(Refusal::TooOld { block, seen });
        }
        let (mut set, mut reached) = (self.set.clone(), seen);
        for (place, handover) in proof.handovers.iter().enumerate() {
            let next = match handover.justification.is_empty() {
                true => {
                    let block = Checkpoint::of(&handover.header);
                    if !checkpoints.contains(&block) {
                        return Err(Refusal::ChangeByForce(block));
                    }
                    set.replaced_by_force(&handover.header)
                }
                false => set.hand_over(handover),
            };
            set = next.map_err(|_| Refusal::Handover(place))?;
            reached = passed(place, handover, reached).ok_or(Refusal::HandoverOrder(place))?;
        }
        let mut last = &proof.block;
        for header in &proof.descendants {
            if !header.follows(last) {
                return Err(Refusal::Descendants);
            }
            last = header;
        }
        let shown = set.finalises(last, &proof.justification);
        shown.map_err(|_| Refusal::NotFinal)?;
        // Those whom a block appoints by force vote on blocks before it, too. The reader waits until they come to it.
        if last.number < reached {
            let place = proof.handovers.len().saturating_sub(1);
            return Err(Refusal::HandoverOrder(place));
        }
        Ok((set, reached.max(block)))
    }
}

/// The block of a handover, if it is after the newest that was passed before it. The first may be that block itself: then the
/// reader's set signed for its own last block, and hands over in it. Not so by force, for which nobody signs, so that nothing but its
/// place tells whether the set comes from this very change.
fn passed(place: usize, handover: &Handover, reached: u32) -> Option<u32> {
    let number = handover.header.number;
    let may_be_the_same = place == 0 && !handover.justification.is_empty();
    (number > reached || (may_be_the_same && number == reached)).then_some(number)
}

/// The state of a block that is final: what it says is proved, or [`NotProved`](crate::NotProved). Only an [`Anchor`] makes it.
#[derive(Clone, Debug)]
pub struct FinalState<'p> {
    hash: [u8; 32],
    header: &'p Header,
    state: State<'p>,
}

impl<'p> FinalState<'p> {
    /// Hash of the block.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Its header.
    pub fn header(&self) -> &'p Header {
        self.header
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.header.number
    }

    /// The same state, with other nodes of it.
    pub fn with_nodes<'n>(&self, nodes: &'n Blobs) -> State<'n> {
        State::new(self.header.state_root, nodes)
    }
}

/// What can be read: [`State::device`], [`State::head`], [`State::conflicts`], [`State::read`].
impl<'p> Deref for FinalState<'p> {
    type Target = State<'p>;

    fn deref(&self) -> &State<'p> {
        &self.state
    }
}
