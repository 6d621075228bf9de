// SPDX-License-Identifier: Apache-2.0

//! What becomes of motions: who proposes them, who votes, and what is done when enough have.

use std::collections::BTreeSet;

use codec::Encode;
use pallet_collective::Call as Council;
use pallet_consortium::Collective;
use pallet_studies::Call as Studies;
use sp_runtime::traits::{BlakeTwo256, Hash as _};

use super::{
    steps::{ensure, Act, By},
    world::World,
};
use crate::{
    limits::{MOTION, MOTIONS_PER_MEMBER},
    AccountId, BlockNumber, Hash, Runtime, RuntimeCall,
};

/// A motion that is open.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    pub(super) call: RuntimeCall,
    pub(super) hash: Hash,
    pub(super) number: u32,
    pub(super) proposer: AccountId,
    pub(super) threshold: u32,
    pub(super) ayes: BTreeSet<AccountId>,
    pub(super) nays: BTreeSet<AccountId>,
    /// The block from which on it can be closed with whatever votes it has.
    pub(super) until: BlockNumber,
}

/// What became of the call of a motion that had enough ayes.
#[derive(Clone, Debug)]
pub(super) struct Executed {
    pub(super) call: RuntimeCall,
    pub(super) outcome: Done,
    /// Whether anything that members decide on is other than before.
    pub(super) changed: bool,
}

type Done = Result<(), &'static str>;

impl Motion {
    /// How many ayes it lacks.
    pub(super) fn lacks(&self) -> usize {
        (self.threshold as usize).saturating_sub(self.ayes.len())
    }
}

impl World {
    pub(super) fn council_call(&mut self, by: &By, call: &Council<Runtime, Collective>) -> Done {
        match call {
            Council::propose {
                threshold,
                proposal,
                length_bound,
            } => self.propose(by.account()?, *threshold, proposal, *length_bound),
            Council::vote {
                proposal,
                index,
                approve,
            } => self.vote(by.account()?, proposal, *index, *approve),
            Council::close {
                proposal_hash,
                index,
                length_bound,
                ..
            } => {
                by.account()?;
                self.close(proposal_hash, *index, *length_bound)
            }
            Council::disapprove_proposal { proposal_hash } => {
                ensure(self.is_more_than_half(by), "BadOrigin")?;
                self.drop_motion(proposal_hash);
                Ok(())
            }
            Council::kill { proposal_hash } => {
                ensure(self.is_more_than_half(by), "BadOrigin")?;
                self.motion(proposal_hash)?;
                self.drop_motion(proposal_hash);
                Ok(())
            }
            call => panic!("the model does not know {call:?}"),
        }
    }

    fn propose(
        &mut self,
        who: &AccountId,
        threshold: u32,
        call: &RuntimeCall,
        length_bound: u32,
    ) -> Done {
        ensure(self.members.contains(who), "NotMember")?;
        let is_short = call.encoded_size() <= length_bound as usize;
        ensure(is_short, "WrongProposalLength")?;
        let hash = BlakeTwo256::hash_of(call);
        ensure(self.motion(&hash).is_err(), "DuplicateProposal")?;
        if threshold < 2 {
            self.do_as_members(call, 1);
            return Ok(());
        }
        let own = self.motions.iter().filter(|open| open.proposer == *who);
        let has_place = own.count() < MOTIONS_PER_MEMBER as usize;
        ensure(has_place, "TooManyMotions")?;
        self.motions.push(Motion {
            call: call.clone(),
            hash,
            number: self.proposed,
            proposer: who.clone(),
            threshold,
            ayes: BTreeSet::new(),
            nays: BTreeSet::new(),
            until: self.block + MOTION,
        });
        self.proposed += 1;
        Ok(())
    }

    fn vote(&mut self, who: &AccountId, hash: &Hash, number: u32, is_aye: bool) -> Done {
        ensure(self.members.contains(who), "NotMember")?;
        let motion = self.motion(hash)?;
        ensure(motion.number == number, "WrongIndex")?;
        let (said, unsaid) = match is_aye {
            true => (&mut motion.ayes, &mut motion.nays),
            false => (&mut motion.nays, &mut motion.ayes),
        };
        ensure(said.insert(who.clone()), "DuplicateVote")?;
        unsaid.remove(who);
        Ok(())
    }

    /// Whoever does not vote counts as one who said nay, when the time is over.
    fn close(&mut self, hash: &Hash, number: u32, length_bound: u32) -> Done {
        let motion = self.motion(hash)?.clone();
        ensure(motion.number == number, "WrongIndex")?;
        let (ayes, nays) = (motion.ayes.len() as u32, motion.nays.len() as u32);
        let may_vote = self.members.len() as u32;
        if ayes >= motion.threshold {
            let is_short = motion.call.encoded_size() <= length_bound as usize;
            ensure(is_short, "WrongProposalLength")?;
            self.do_as_members(&motion.call, ayes);
        } else if may_vote - nays >= motion.threshold {
            ensure(self.block >= motion.until, "TooEarly")?;
        }
        self.drop_motion(hash);
        Ok(())
    }

    /// What so many members want is done; if it fails, the motion is over all the same.
    fn do_as_members(&mut self, call: &RuntimeCall, ayes: u32) {
        let before = self.clone();
        let outcome = self.act(&Act {
            by: By::Members(ayes),
            call: call.clone(),
            at_top: false,
        });
        self.executed = Some(Executed {
            call: call.clone(),
            outcome: outcome.map(drop),
            changed: self.is_other_than(&before),
        });
    }

    /// Whether anything that members decide on differs.
    fn is_other_than(&self, before: &World) -> bool {
        let open = |world: &World| Vec::from_iter(world.motions.iter().map(|open| open.hash));
        self.studies != before.studies
            || self.members != before.members
            || self.validators != before.validators
            || self.authorised != before.authorised
            || self.stalled != before.stalled
            || open(self) != open(before)
    }

    pub(super) fn motion(&mut self, hash: &Hash) -> Result<&mut Motion, &'static str> {
        let found = self.motions.iter_mut().find(|open| open.hash == *hash);
        found.ok_or("ProposalMissing")
    }

    pub(super) fn drop_motion(&mut self, hash: &Hash) {
        self.motions.retain(|open| open.hash != *hash);
    }

    /// Members that are no more have neither motions nor votes.
    pub(super) fn forget_motions_of_others(&mut self) {
        let members = &self.members;
        self.motions.retain(|open| members.contains(&open.proposer));
        for motion in &mut self.motions {
            motion.ayes.retain(|who| members.contains(who));
            motion.nays.retain(|who| members.contains(who));
        }
    }

    /// How many ayes a motion to make this call asks for, or is not admitted.
    pub(super) fn ayes_for(&self, call: &RuntimeCall) -> u32 {
        let members = self.members.len() as u32;
        match call {
            RuntimeCall::Studies(
                Studies::create_study { .. }
                | Studies::replace_sponsor { .. }
                | Studies::set_allowance { .. },
            )
            | RuntimeCall::Council(Council::kill { .. } | Council::disapprove_proposal { .. }) => {
                members / 2 + 1
            }
            _ => (2 * members).div_ceil(3),
        }
    }
}
