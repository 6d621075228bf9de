// SPDX-License-Identifier: Apache-2.0

//! Decisions within hours: what two thirds of the members can do whatever any one of them does.
//!
//! There is no motion here that somebody has to make first, and so none that could be made wrongly: with a threshold that
//! nobody reaches, or one that closes it too early. Every member says what it wants, and as soon as enough of them want
//! the same, it is done.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    ensure,
    storage::{with_transaction, TransactionOutcome},
    traits::Get,
    BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, DispatchResult, Saturating, TryRuntimeError};

use crate::{Collective, Config, Error, Event, Pallet, UrgentVotes};

/// The collective that votes on everything else.
type Council<T> = pallet_collective::Pallet<T, Collective>;

/// An urgent vote as the pallet stores it.
pub type UrgentVoteOf<T> = UrgentVote<
    <T as frame_system::Config>::AccountId,
    <T as frame_system::Config>::Hash,
    BlockNumberFor<T>,
>;

/// An urgent decision of a runtime.
pub type UrgentDecisionOf<T> =
    UrgentDecision<<T as frame_system::Config>::AccountId, <T as frame_system::Config>::Hash>;

/// What can be decided within hours, and nothing else can.
#[derive(
    Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum UrgentDecision<AccountId, Hash> {
    /// A member leaves, as by `consortium.removeMember`. Two thirds of the members.
    RemoveMember {
        /// Its account.
        member: AccountId,
    },
    /// Another account takes a member's place: what there is where a removal would leave two. Two
    /// thirds of the members.
    ReplaceMember {
        /// The account of the member that leaves.
        member: AccountId,
        /// The account of the member that comes.
        successor: AccountId,
    },
    /// A validator is dismissed, as by `consortium.removeValidator`. Two thirds of the members.
    RemoveValidator {
        /// Its account.
        validator: AccountId,
    },
    /// A new version of the chain's rules is authorised, as by `system.authorizeUpgrade`. Two
    /// thirds of the members.
    AuthorizeUpgrade {
        /// The hash of its code (BLAKE2b-256).
        code_hash: Hash,
    },
    /// An open motion of the council is closed without effect. More than half of the members.
    CancelMotion {
        /// The hash of the proposed call, as in `council.proposals`.
        motion: Hash,
    },
}

impl<AccountId, Hash> UrgentDecision<AccountId, Hash> {
    /// Whether `ayes` of `members` are enough for it.
    fn is_carried(&self, ayes: usize, members: usize) -> bool {
        match self {
            Self::CancelMotion { .. } => ayes.saturating_mul(2) > members,
            _ => ayes.saturating_mul(3) >= members.saturating_mul(2),
        }
    }

    /// The member that the decision would remove.
    fn member(&mut self) -> Option<&mut AccountId> {
        match self {
            Self::RemoveMember { member } | Self::ReplaceMember { member, .. } => Some(member),
            _ => None,
        }
    }
}

/// A member's vote for an urgent decision.
#[derive(
    Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct UrgentVote<AccountId, Hash, BlockNumber> {
    /// What the member wants.
    pub decision: UrgentDecision<AccountId, Hash>,
    /// The first block in which the vote does not count any more.
    pub until: BlockNumber,
}

impl<T: Config> Pallet<T> {
    /// Counts a vote of `who` from now on, and does what is decided if it is.
    pub(crate) fn do_vote_urgent(
        who: T::AccountId,
        decision: UrgentDecisionOf<T>,
    ) -> DispatchResult {
        ensure!(Self::is_member(&who), Error::<T>::NotAMember);
        let now = frame_system::Pallet::<T>::block_number();
        let mut own = UrgentVotes::<T>::get(&who);
        own.retain(|vote| vote.until > now && vote.decision != decision);
        own.try_push(UrgentVote {
            decision: decision.clone(),
            until: now.saturating_add(T::UrgentPeriod::get()),
        })
        .map_err(|_| Error::<T>::TooManyUrgentVotes)?;

        UrgentVotes::<T>::insert(&who, own);
        let members = pallet_membership::Pallet::<T, Collective>::members();
        let ayes = members
            .iter()
            .filter(|member| Self::wants(member, &decision, now))
            .count();
        Self::deposit_event(Event::UrgentVoteCast {
            member: who,
            decision: decision.clone(),
            ayes: ayes as u32,
            members: members.len() as u32,
        });
        let carried = decision.is_carried(ayes, members.len());
        Self::carry_out(&decision, carried)?;
        if carried {
            for member in &members {
                Self::forget_vote(member, &decision);
            }
            Self::deposit_event(Event::UrgentlyDecided { decision });
        }
        Ok(())
    }

    /// Takes back a vote of `who`.
    pub(crate) fn do_withdraw_urgent_vote(
        who: T::AccountId,
        decision: UrgentDecisionOf<T>,
    ) -> DispatchResult {
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(
            Self::wants(&who, &decision, now),
            Error::<T>::NoSuchUrgentVote
        );
        Self::forget_vote(&who, &decision);
        Self::deposit_event(Event::UrgentVoteWithdrawn {
            member: who,
            decision,
        });
        Ok(())
    }

    /// Lets votes against the member `former` count against `successor`, which is the same member with another key.
    pub(crate) fn follow_in_urgent_votes(former: &T::AccountId, successor: &T::AccountId) {
        for member in &pallet_membership::Pallet::<T, Collective>::members() {
            UrgentVotes::<T>::mutate_exists(member, |votes| {
                for vote in votes.iter_mut().flat_map(|votes| votes.iter_mut()) {
                    if let Some(member) = vote.decision.member() {
                        if member == former {
                            *member = successor.clone();
                        }
                    }
                }
            });
        }
    }

    fn wants(
        member: &T::AccountId,
        decision: &UrgentDecisionOf<T>,
        now: BlockNumberFor<T>,
    ) -> bool {
        UrgentVotes::<T>::get(member)
            .iter()
            .any(|vote| vote.until > now && vote.decision == *decision)
    }

    fn forget_vote(member: &T::AccountId, decision: &UrgentDecisionOf<T>) {
        UrgentVotes::<T>::mutate_exists(member, |votes| {
            let mut left: BoundedVec<_, _> = votes.take().unwrap_or_default();
            left.retain(|vote| vote.decision != *decision);
            *votes = (!left.is_empty()).then_some(left);
        });
    }

    /// Does what is decided; or, if it is not `carried` yet, tries it and undoes it, so that nobody votes for what cannot
    /// be done.
    fn carry_out(decision: &UrgentDecisionOf<T>, carried: bool) -> DispatchResult {
        with_transaction(|| match Self::apply(decision) {
            Ok(()) if carried => TransactionOutcome::Commit(Ok(())),
            outcome => TransactionOutcome::Rollback(outcome),
        })
    }

    fn apply(decision: &UrgentDecisionOf<T>) -> Result<(), DispatchError> {
        match decision {
            UrgentDecision::RemoveMember { member } => Self::do_remove_member(member.clone()),
            UrgentDecision::ReplaceMember { member, successor } => {
                Self::replace_member(member, successor.clone())
            }
            UrgentDecision::RemoveValidator { validator } => Self::do_remove_validator(validator),
            UrgentDecision::AuthorizeUpgrade { code_hash } => {
                frame_system::Pallet::<T>::do_authorize_upgrade(*code_hash, true);
                Ok(())
            }
            UrgentDecision::CancelMotion { motion } => {
                let open = pallet_collective::Proposals::<T, Collective>::get();
                ensure!(open.contains(motion), Error::<T>::NoSuchMotion);
                Council::<T>::do_disapprove_proposal(*motion);
                Ok(())
            }
        }
    }

    /// Checks that urgent votes are those of members, and none is kept longer than it counts.
    pub(crate) fn check_urgent_votes(members: &[T::AccountId]) -> Result<(), TryRuntimeError> {
        let end = frame_system::Pallet::<T>::block_number().saturating_add(T::UrgentPeriod::get());
        for (member, votes) in UrgentVotes::<T>::iter() {
            ensure!(members.contains(&member), "an urgent vote is nobody's");
            ensure!(!votes.is_empty(), "no votes of a member are kept");
            ensure!(
                votes.iter().all(|vote| vote.until <= end),
                "an urgent vote counts too long"
            );
        }
        Ok(())
    }
}
