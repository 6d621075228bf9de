// SPDX-License-Identifier: Apache-2.0

//! What members and validators should come to, and who may make which call.

use std::collections::BTreeSet;

use pallet_admission::Lane;
use pallet_client_hashchain::{Call as Hashchain, DeviceStatus};
use pallet_collective::Call as Council;
use pallet_consortium::{Call as Consortium, UrgentDecision};
use pallet_studies::Call as Studies;
use sp_runtime::MultiAddress;

use super::{
    steps::{ensure, Act, By},
    world::{Decision, World},
};
use crate::{
    limits::{URGENT, URGENT_VOTES_PER_MEMBER},
    AccountId, Runtime, RuntimeCall, ACCOUNT_HAS_NO_ROLE, DEVICE_MAY_NOT_WRITE,
    DEVICE_MAY_ONLY_SUBMIT, MOTION_NEEDS_ANOTHER_THRESHOLD, ROLE_MAY_NOT_CALL,
};

type Done = Result<(), &'static str>;

impl World {
    pub(super) fn is_more_than_half(&self, by: &By) -> bool {
        match by {
            By::Root => true,
            By::Members(ayes) => 2 * *ayes as usize > self.members.len(),
            By::Account(_) => false,
        }
    }

    pub(super) fn is_two_thirds(&self, by: &By) -> bool {
        match by {
            By::Root => true,
            By::Members(ayes) => 3 * *ayes as usize >= 2 * self.members.len(),
            By::Account(_) => false,
        }
    }

    pub(super) fn consortium_call(&mut self, by: &By, call: &Consortium<Runtime>) -> Done {
        match call {
            Consortium::change_key { successor } => self.change_key(by.account()?, successor),
            Consortium::vote_urgent { decision } => self.vote_urgent(by.account()?, decision),
            Consortium::withdraw_urgent_vote { decision } => {
                let who = by.account()?;
                ensure(self.wants(who, decision), "NoSuchUrgentVote")?;
                self.forget_vote(who, decision);
                Ok(())
            }
            _ if !self.is_two_thirds(by) => Err("BadOrigin"),
            Consortium::add_validator { validator } => {
                ensure(self.keyed.contains(validator), "NoSessionKeys")?;
                ensure(!self.validators.contains(validator), "AlreadyValidator")?;
                self.validators.push(validator.clone());
                Ok(())
            }
            Consortium::remove_validator { validator } => self.remove_validator(validator),
            Consortium::add_members { members } => {
                let mut all = self.members.clone();
                for member in members {
                    ensure(all.insert(member.clone()), "AlreadyMember")?;
                }
                self.become_members(all)
            }
            Consortium::remove_member { member } => self.remove_member(member),
            Consortium::dispatch_as_root { call } => {
                let as_root = Act {
                    by: By::Root,
                    call: (**call).clone(),
                    at_top: false,
                };
                self.act(&as_root).map(drop)
            }
            call => panic!("the model does not know {call:?}"),
        }
    }

    pub(super) fn members_call(
        &mut self,
        by: &By,
        call: &pallet_membership::Call<Runtime, pallet_consortium::Collective>,
    ) -> Done {
        let pallet_membership::Call::swap_member {
            remove: MultiAddress::Id(remove),
            add: MultiAddress::Id(add),
        } = call
        else {
            panic!("the model does not know {call:?}");
        };
        ensure(self.is_two_thirds(by), "BadOrigin")?;
        if remove == add {
            return Ok(());
        }
        ensure(self.members.contains(remove), "NotMember")?;
        ensure(!self.members.contains(add), "AlreadyMember")?;
        self.exchange(remove, add)
    }

    fn remove_validator(&mut self, validator: &AccountId) -> Done {
        let mut left = self.validators.clone();
        left.retain(|listed| listed != validator);
        ensure(left.len() < self.validators.len(), "NotAValidator")?;
        let one_works = left.iter().any(|listed| self.keyed.contains(listed));
        ensure(one_works, "LastValidator")?;
        self.validators = left;
        Ok(())
    }

    fn remove_member(&mut self, member: &AccountId) -> Done {
        let mut left = self.members.clone();
        ensure(left.remove(member), "NotAMember")?;
        self.become_members(left)
    }

    fn exchange(&mut self, former: &AccountId, successor: &AccountId) -> Done {
        let mut members = self.members.clone();
        ensure(members.remove(former), "NotAMember")?;
        ensure(!self.members.contains(successor), "AlreadyMember")?;
        members.insert(successor.clone());
        self.become_members(members)
    }

    /// There are never none and never two.
    fn become_members(&mut self, members: BTreeSet<AccountId>) -> Done {
        ensure(!members.is_empty(), "LastMember")?;
        ensure(members.len() != 2, "TwoMembers")?;
        self.known.extend(members.iter().cloned());
        self.votes.retain(|member, _| members.contains(member));
        self.key_changes
            .retain(|member, _| members.contains(member));
        self.members = members;
        self.forget_motions_of_others();
        Ok(())
    }

    fn change_key(&mut self, who: &AccountId, successor: &AccountId) -> Done {
        ensure(self.members.contains(who), "NotAMember")?;
        ensure(!self.members.contains(successor), "AlreadyMember")?;
        ensure(self.may_follow(who, successor), "SuccessorIsNotNew")?;
        let may = self
            .key_changes
            .get(who)
            .is_none_or(|last| self.block >= last + URGENT);
        ensure(may, "KeyChangedRecently")?;
        for motion in &mut self.motions {
            if motion.proposer == *who {
                motion.proposer = successor.clone();
            }
        }
        // Nobody escapes what the others want of it.
        for (decision, _) in self.votes.values_mut().flatten() {
            match decision {
                UrgentDecision::RemoveMember { member }
                | UrgentDecision::ReplaceMember { member, .. }
                    if member == who =>
                {
                    *member = successor.clone();
                }
                _ => (),
            }
        }
        self.exchange(who, successor)?;
        self.key_changes.insert(successor.clone(), self.block);
        self.note_successor(who, successor);
        Ok(())
    }

    fn vote_urgent(&mut self, who: &AccountId, decision: &Decision) -> Done {
        ensure(self.members.contains(who), "NotAMember")?;
        let mut own = self.votes.get(who).cloned().unwrap_or_default();
        own.retain(|(other, until)| other != decision && *until > self.block);
        ensure(
            own.len() < URGENT_VOTES_PER_MEMBER as usize,
            "TooManyUrgentVotes",
        )?;
        own.push((decision.clone(), self.block + URGENT));

        let mut after = self.clone_consortium();
        after.votes.insert(who.clone(), own);
        let members = after.members.clone();
        let ayes = members
            .iter()
            .filter(|member| after.wants(member, decision))
            .count();
        let mut tried = after.clone_consortium();
        tried.decide(decision)?;
        let are_enough = match decision {
            UrgentDecision::CancelMotion { .. } => 2 * ayes > members.len(),
            _ => 3 * ayes >= 2 * members.len(),
        };
        if are_enough {
            after = tried;
            for member in &members {
                after.forget_vote(member, decision);
            }
        }
        self.members = after.members;
        self.validators = after.validators;
        self.votes = after.votes;
        self.key_changes = after.key_changes;
        self.motions = after.motions;
        self.authorised = after.authorised;
        self.known.extend(after.known);
        Ok(())
    }

    fn decide(&mut self, decision: &Decision) -> Done {
        match decision {
            UrgentDecision::RemoveMember { member } => self.remove_member(member),
            UrgentDecision::ReplaceMember { member, successor } => self.exchange(member, successor),
            UrgentDecision::RemoveValidator { validator } => self.remove_validator(validator),
            UrgentDecision::AuthorizeUpgrade { code_hash } => {
                self.authorised = Some(*code_hash);
                Ok(())
            }
            UrgentDecision::CancelMotion { motion } => {
                ensure(self.motion(motion).is_ok(), "NoSuchMotion")?;
                self.drop_motion(motion);
                Ok(())
            }
        }
    }

    /// The consortium alone, to try something on.
    fn clone_consortium(&self) -> World {
        World {
            block: self.block,
            members: self.members.clone(),
            validators: self.validators.clone(),
            keyed: self.keyed.clone(),
            votes: self.votes.clone(),
            key_changes: self.key_changes.clone(),
            motions: self.motions.clone(),
            authorised: self.authorised,
            ..World::default()
        }
    }

    fn wants(&self, who: &AccountId, decision: &Decision) -> bool {
        let own = self.votes.get(who).into_iter().flatten();
        let mut counting = own.filter(|(_, until)| *until > self.block);
        counting.any(|(wanted, _)| wanted == decision)
    }

    fn forget_vote(&mut self, who: &AccountId, decision: &Decision) {
        if let Some(own) = self.votes.get_mut(who) {
            own.retain(|(wanted, _)| wanted != decision);
        }
        self.votes.retain(|_, own| !own.is_empty());
    }

    /// In which lane `who` may make this call by a transaction, or the code with which it is turned away.
    pub(super) fn lane(&self, who: &AccountId, call: &RuntimeCall) -> Result<Lane, u8> {
        let member = self.members.contains(who);
        let validator = self.validators.contains(who);
        let sponsor = self.studies.iter().any(|study| study.sponsor == *who);
        let server = self.studies.iter().any(|study| study.servers.contains(who));
        let relay = self.studies.iter().any(|study| study.relays.contains(who));
        let has_office = member || validator || sponsor || server || relay;
        let device = self.device_of(who).filter(|device| {
            let found = &self.devices[*device as usize];
            found.status == DeviceStatus::Active
        });
        let was_device = self.device_of(who).is_some();

        let (may, lane) = match call {
            RuntimeCall::ClientHashchain(Hashchain::enrol { .. }) => (server, Lane::Study),
            RuntimeCall::ClientHashchain(
                Hashchain::veto_retirement { .. } | Hashchain::erase { .. },
            ) => (sponsor, Lane::Study),
            RuntimeCall::ClientHashchain(
                Hashchain::submit { .. } | Hashchain::submit_batch { .. },
            ) if relay => (true, Lane::Relay),
            RuntimeCall::ClientHashchain(
                Hashchain::submit { .. } | Hashchain::submit_batch { .. },
            ) => {
                return match device {
                    Some(device) if brings_only(device, call) => Ok(Lane::Device),
                    Some(_) => Err(DEVICE_MAY_ONLY_SUBMIT),
                    None if was_device => Err(DEVICE_MAY_NOT_WRITE),
                    None if has_office => Err(ROLE_MAY_NOT_CALL),
                    None => Err(ACCOUNT_HAS_NO_ROLE),
                };
            }
            RuntimeCall::ClientHashchain(_) => (sponsor || server, Lane::Study),
            RuntimeCall::Studies(
                Studies::create_study { .. }
                | Studies::replace_sponsor { .. }
                | Studies::set_allowance { .. },
            ) => (false, Lane::Study),
            RuntimeCall::Studies(Studies::rotate { .. }) => {
                (sponsor || server || relay, Lane::Study)
            }
            RuntimeCall::Studies(_) => (sponsor, Lane::Study),
            RuntimeCall::Consortium(
                Consortium::change_key { .. }
                | Consortium::vote_urgent { .. }
                | Consortium::withdraw_urgent_vote { .. },
            ) => (member, Lane::Consortium),
            RuntimeCall::Council(Council::propose {
                threshold,
                proposal,
                ..
            }) if member && *threshold != self.ayes_for(proposal) => {
                return Err(MOTION_NEEDS_ANOTHER_THRESHOLD);
            }
            RuntimeCall::Council(
                Council::propose { .. } | Council::vote { .. } | Council::close { .. },
            ) => (member, Lane::Consortium),
            _ => (false, Lane::Consortium),
        };
        match (may, has_office, device) {
            (true, ..) => Ok(lane),
            (false, true, _) => Err(ROLE_MAY_NOT_CALL),
            (false, false, Some(_)) => Err(DEVICE_MAY_ONLY_SUBMIT),
            (false, false, None) if was_device => Err(DEVICE_MAY_NOT_WRITE),
            (false, false, None) => Err(ACCOUNT_HAS_NO_ROLE),
        }
    }
}

/// Whether all runs of a call are this device's.
fn brings_only(device: u32, call: &RuntimeCall) -> bool {
    match call {
        RuntimeCall::ClientHashchain(Hashchain::submit { run }) => run.device == device,
        RuntimeCall::ClientHashchain(Hashchain::submit_batch { runs }) => {
            runs.iter().all(|run| run.device == device)
        }
        _ => false,
    }
}
