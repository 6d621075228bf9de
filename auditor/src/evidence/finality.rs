// SPDX-License-Identifier: Apache-2.0

//! GRANDPA's finality, checked from the authorities on that the file begins with.

use std::collections::HashMap;

use codec::DecodeAll;
use finality_grandpa::voter_set::VoterSet;
use finality_grandpa::{validate_commit, Chain, Error as GrandpaError, Message};
use sp_consensus_grandpa::{
    check_message_signature, AuthorityId, AuthorityList, ConsensusLog, GrandpaJustification,
    SignatureResult, GRANDPA_ENGINE_ID,
};
use sp_core::H256;
use sp_runtime::generic::DigestItem;
use sp_runtime::traits::Header as _;

use super::{Handover, Header};

/// A set of authorities, and its number since genesis.
pub(super) struct Authorities {
    set: u64,
    voters: VoterSet<AuthorityId>,
}

/// What was not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotFinal;

impl Authorities {
    pub(super) fn new(set: u64, list: AuthorityList) -> Option<Self> {
        Some(Authorities {
            set,
            voters: VoterSet::new(list)?,
        })
    }

    pub(super) fn set(&self) -> u64 {
        self.set
    }

    pub(super) fn voters(&self) -> usize {
        self.voters.len().get()
    }

    /// The set that follows, if this one's voters made the block final that names it.
    pub(super) fn hand_over(&self, handover: &Handover) -> Result<Self, NotFinal> {
        self.check(&handover.header, &handover.justification)?;
        let next = next_authorities(&handover.header).ok_or(NotFinal)?;
        let set = self.set.checked_add(1).ok_or(NotFinal)?;
        Authorities::new(set, next).ok_or(NotFinal)
    }

    /// Whether this set's voters made the block final.
    pub(super) fn check(&self, header: &Header, justification: &[u8]) -> Result<(), NotFinal> {
        let justification = GrandpaJustification::<Header>::decode_all(&mut &justification[..])
            .map_err(|_| NotFinal)?;
        let commit = &justification.commit;
        if commit.target_hash != header.hash() || commit.target_number != *header.number() {
            return Err(NotFinal);
        }
        let ancestry = Ancestry::of(&justification.votes_ancestries);
        match validate_commit(commit, &self.voters, &ancestry) {
            Ok(result) if result.is_valid() => {}
            _ => return Err(NotFinal),
        }
        for signed in &commit.precommits {
            let message = Message::Precommit(signed.precommit.clone());
            let checked = check_message_signature(
                &message,
                &signed.id,
                &signed.signature,
                justification.round,
                self.set,
            );
            if !matches!(checked, SignatureResult::Valid) {
                return Err(NotFinal);
            }
        }
        Ok(())
    }
}

/// The authorities that a block names, if it names any. A change that takes effect later than in this block does not occur on
/// this chain, and is not taken; nor is anything from a block that changes them by force, because the set before it does not
/// sign for that.
pub(crate) fn next_authorities(header: &Header) -> Option<AuthorityList> {
    if forces_authorities(header) {
        return None;
    }
    logs(header).find_map(|log| match log {
        ConsensusLog::ScheduledChange(change) if change.delay == 0 => Some(change.next_authorities),
        _ => None,
    })
}

/// Whether a block changes the authorities by force, as the consortium can after finality was lost. The set before has no say in
/// it, so no evidence leads over this block but from a checkpoint after it.
pub(crate) fn forces_authorities(header: &Header) -> bool {
    logs(header).any(|log| matches!(log, ConsensusLog::ForcedChange(..)))
}

/// What GRANDPA's pallet says in a block's header.
fn logs(header: &Header) -> impl Iterator<Item = ConsensusLog<u32>> + '_ {
    let logs = header.digest().logs().iter();
    logs.filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    })
}

/// The headers between the block that is final and those that were voted for.
struct Ancestry(HashMap<H256, Header>);

impl Ancestry {
    fn of(headers: &[Header]) -> Self {
        Ancestry(
            headers
                .iter()
                .map(|header| (header.hash(), header.clone()))
                .collect(),
        )
    }
}

impl Chain<H256, u32> for Ancestry {
    fn ancestry(&self, base: H256, block: H256) -> Result<Vec<H256>, GrandpaError> {
        let mut route = Vec::new();
        let mut current = block;
        while current != base {
            let header = self.0.get(&current).ok_or(GrandpaError::NotDescendent)?;
            current = *header.parent_hash();
            route.push(current);
            if route.len() > self.0.len() {
                return Err(GrandpaError::NotDescendent);
            }
        }
        route.pop();
        Ok(route)
    }
}
