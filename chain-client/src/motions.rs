// SPDX-License-Identifier: Apache-2.0

//! The motions of the council that are open, and the urgent decisions that members vote for.

use subxt::utils::{AccountId32, H256};

use crate::block::extrinsic_hash;
use crate::council::{Proposal, UrgentDecision};
use crate::error::Error;
use crate::runtime::api;
use crate::view::ChainView;

/// An open motion of the council.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Hash of the proposed call.
    pub hash: H256,
    /// Its number.
    pub index: u32,
    /// What is proposed; none if this program has no words for it.
    pub proposal: Option<Proposal>,
    /// The proposed call in the words of the chain's metadata.
    pub call: String,
    /// How many members have to approve it.
    pub threshold: u32,
    /// The members that approve it.
    pub ayes: Vec<AccountId32>,
    /// The members that reject it.
    pub nays: Vec<AccountId32>,
    /// Number of the block from which on it can be closed whatever the votes.
    pub end: u32,
    /// Bytes of the call.
    pub(crate) length: u32,
    /// Most weight that a call of the council may have: execution time, and bytes of a proof.
    pub(crate) weight: (u64, u64),
}

impl ChainView {
    /// The member organisations of the consortium.
    pub async fn members(&self) -> Result<Vec<AccountId32>, Error> {
        let members = self.value(api::storage().members().members(), ()).await?;
        Ok(members.map(|members| members.0).unwrap_or_default())
    }

    /// The open motions of the council, oldest first.
    pub async fn motions(&self) -> Result<Vec<Motion>, Error> {
        let hashes = self.value(api::storage().council().proposals(), ()).await?;
        let mut motions = Vec::new();
        for hash in hashes.map(|hashes| hashes.0).unwrap_or_default() {
            motions.extend(self.motion(hash).await?);
        }
        motions.sort_by_key(|motion| motion.index);
        Ok(motions)
    }

    async fn motion(&self, hash: H256) -> Result<Option<Motion>, Error> {
        let address = api::storage().council().proposal_of();
        let Some(bytes) = self.bytes(&address, (hash,)).await? else {
            return Ok(None);
        };
        belongs(hash, &bytes)?;
        let votes = self
            .value(api::storage().council().voting(), (hash,))
            .await?;
        let Some(votes) = votes else {
            return Ok(None);
        };
        let most = api::constants().council().max_proposal_weight();
        let most = self.runtime().constant(most)?;
        let call = self.runtime().decode_value(&address, &bytes)?;
        Ok(Some(Motion {
            hash,
            index: votes.index,
            call: format!("{call:?}"),
            proposal: Proposal::of(call),
            threshold: votes.threshold,
            ayes: votes.ayes,
            nays: votes.nays,
            end: votes.end,
            length: u32::try_from(bytes.len())
                .map_err(|error| Error::protocol("Council.ProposalOf", error))?,
            weight: (most.ref_time, most.proof_size),
        }))
    }

    /// The urgent decisions that a member votes for, each with the first block in which the vote does not count any more.
    pub async fn urgent_votes(
        &self,
        member: AccountId32,
    ) -> Result<Vec<(UrgentDecision, u32)>, Error> {
        let address = api::storage().consortium().urgent_votes();
        let votes = self.value(address, (member,)).await?;
        let votes = votes.map(|votes| votes.0).unwrap_or_default();
        let votes = votes.into_iter();
        Ok(votes
            .map(|vote| (UrgentDecision::of(vote.decision), vote.until))
            .collect())
    }
}

/// Members vote for a hash, so what they are shown must have it, whatever the node says.
fn belongs(motion: H256, call: &[u8]) -> Result<(), Error> {
    // Calls are hashed as extrinsics are.
    match extrinsic_hash(call) == motion {
        true => Ok(()),
        false => Err(Error::protocol(
            "Council.ProposalOf",
            "the call that the node shows is not the one that the motion's hash names",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_shows_another_call_for_a_motion_is_not_believed() {
        let call = [0x20, 0x00, 0x2a];
        let motion = extrinsic_hash(&call);
        assert_eq!(belongs(motion, &call), Ok(()));
        let lie = belongs(motion, &[0x20, 0x00, 0x2b]);
        assert_eq!(lie.map_err(|error| error.code()), Err("unexpected_answer"));
    }
}
