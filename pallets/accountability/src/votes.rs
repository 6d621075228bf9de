// SPDX-License-Identifier: Apache-2.0

//! Two votes of one round.

use alloc::{boxed::Box, vec::Vec};
use codec::{Decode, Encode};
use core::marker::PhantomData;
use frame_support::{ensure, pallet_prelude::Get};
use frame_system::{
    offchain::{CreateBare, SubmitTransaction},
    pallet_prelude::BlockNumberFor,
};
use pallet_grandpa::SetIdSession;
use sp_consensus_grandpa::{check_equivocation_proof, AuthorityId, EquivocationProof, SetId};
use sp_runtime::{traits::Hash, transaction_validity::TransactionValidityError, DispatchError};
use sp_staking::{offence::OffenceReportSystem, SessionIndex};

use crate::{Config, Equivocation, Error, Finding, KnownOwner, Pallet, REPORT_LONGEVITY};

/// GRANDPA's proof that somebody voted twice in a round.
pub type TwoVotes<T> = EquivocationProof<<T as frame_system::Config>::Hash, BlockNumberFor<T>>;

/// What GRANDPA reports, this pallet checks and keeps. For `pallet_grandpa::Config::EquivocationReportSystem`.
///
/// Who owned a key, the chain remembers itself, so a report needs no proof of it ([`KnownOwner`]).
pub struct VoteReports<T>(PhantomData<T>);

/// How many blocks a report may wait in the pool of the node that made it.
pub struct Longevity;

impl Get<u64> for Longevity {
    fn get() -> u64 {
        REPORT_LONGEVITY
    }
}

impl<T> OffenceReportSystem<Option<T::AccountId>, (TwoVotes<T>, KnownOwner)> for VoteReports<T>
where
    T: Config + CreateBare<pallet_grandpa::Call<T>>,
    T: pallet_grandpa::Config<KeyOwnerProof = KnownOwner>,
{
    type Longevity = Longevity;

    fn publish_evidence((proof, owner): (TwoVotes<T>, KnownOwner)) -> Result<(), ()> {
        let call = pallet_grandpa::Call::report_equivocation_unsigned {
            equivocation_proof: Box::new(proof),
            key_owner_proof: owner,
        };
        let report = T::create_bare(call.into());
        SubmitTransaction::<T, pallet_grandpa::Call<T>>::submit_transaction(report)
    }

    fn check_evidence(
        (proof, _): (TwoVotes<T>, KnownOwner),
    ) -> Result<(), TransactionValidityError> {
        let found = Pallet::<T>::find_two_votes(&proof);
        Pallet::<T>::worth_a_place(found).map(|_| ())
    }

    fn process_evidence(
        reporter: Option<T::AccountId>,
        (proof, _): (TwoVotes<T>, KnownOwner),
    ) -> Result<(), DispatchError> {
        let found = Pallet::<T>::find_two_votes(&proof)?;
        Pallet::<T>::record(found, reporter)
    }
}

/// The first and the last session of a set of voters, as far as GRANDPA's pallet remembers it.
fn sessions_of<T: Config>(set: SetId) -> Option<(SessionIndex, SessionIndex)> {
    let last = SetIdSession::<T>::get(set)?;
    let first = match set.checked_sub(1) {
        None => 0,
        Some(before) => SetIdSession::<T>::get(before)?.saturating_add(1),
    };
    Some((first, last))
}

impl<T: Config> Pallet<T> {
    /// Whether a key votes in a set that is remembered, so that a report about it can be made.
    pub fn is_known_voter(set: SetId, voter: &AuthorityId) -> bool {
        let Some((first, last)) = sessions_of::<T>(set) else {
            return false;
        };
        let known = Self::remembered(last.max(first));
        known.is_some_and(|(_, roster)| roster.iter().any(|seat| seat.grandpa == *voter))
    }

    /// What GRANDPA's proof proves.
    pub(crate) fn find_two_votes(proof: &TwoVotes<T>) -> Result<Finding<T>, Error<T>> {
        let set_id = proof.set_id();
        let (first, last) = sessions_of::<T>(set_id).ok_or(Error::UnknownSet)?;
        let oldest = Self::oldest_session();
        let session = match Self::session_of_block(lower_vote::<T>(proof), first.max(oldest), last)
        {
            Some(session) => session,
            // Votes for what this set cannot finalise: they count for its first session.
            None if first >= oldest => first,
            None => return Err(Error::SessionForgotten),
        };
        let (_, roster) = Self::remembered(session).ok_or(Error::SessionForgotten)?;
        let voter = |seat: &crate::Seat<_>| seat.grandpa == *proof.offender();
        let seat = roster.iter().position(voter).ok_or(Error::NotAVoter)?;
        ensure!(check_equivocation_proof(proof.clone()), Error::NoTwoVotes);
        Ok(Finding {
            session,
            seat,
            equivocation: Equivocation::TwoVotes {
                set_id,
                round: proof.round(),
            },
            proof: T::Hashing::hash_of(proof),
        })
    }
}

/// The lower of the two blocks that were voted for. It says when the votes were, in a set that may last for months: the
/// voter has signed it, so that whoever reports cannot date the offence at will.
fn lower_vote<T: Config>(proof: &TwoVotes<T>) -> BlockNumberFor<T> {
    use sp_consensus_grandpa::Equivocation::{Precommit, Prevote};
    // The proof does not show its fields, but its encoding does.
    let bytes: Vec<u8> = proof.encode();
    type Fields<T> = (
        SetId,
        sp_consensus_grandpa::Equivocation<<T as frame_system::Config>::Hash, BlockNumberFor<T>>,
    );
    match Fields::<T>::decode(&mut &bytes[..]) {
        Ok((_, Prevote(votes))) => votes
            .first
            .0
            .target_number
            .min(votes.second.0.target_number),
        Ok((_, Precommit(votes))) => votes
            .first
            .0
            .target_number
            .min(votes.second.0.target_number),
        Err(_) => BlockNumberFor::<T>::default(),
    }
}
