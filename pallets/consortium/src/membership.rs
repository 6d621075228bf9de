// SPDX-License-Identifier: Apache-2.0

//! What connects FRAME's membership pallet with its collective pallet.

use core::marker::PhantomData;
use frame_support::traits::{ChangeMembers, InitializeMembers};
use pallet_collective::{DefaultVote, MemberCount};

use crate::{Config, Pallet};

/// Gives every new member a place on the chain `T`, closes the motions of members who leave, and tells
/// `Next` of the change.
///
/// For `MembershipInitialized` and `MembershipChanged` of `pallet_membership`, with the collective
/// as `Next`. Without it a new member could vote on paper only: an account that nobody admitted
/// cannot send a transaction where there is no currency.
pub struct AdmitMembers<T, Next>(PhantomData<(T, Next)>);

impl<T: Config, Next: InitializeMembers<T::AccountId>> InitializeMembers<T::AccountId>
    for AdmitMembers<T, Next>
{
    fn initialize_members(members: &[T::AccountId]) {
        members.iter().for_each(Pallet::<T>::admit);
        Next::initialize_members(members);
    }
}

impl<T: Config, Next: ChangeMembers<T::AccountId>> ChangeMembers<T::AccountId>
    for AdmitMembers<T, Next>
{
    fn change_members_sorted(
        incoming: &[T::AccountId],
        outgoing: &[T::AccountId],
        sorted_new: &[T::AccountId],
    ) {
        incoming.iter().for_each(Pallet::<T>::admit);
        outgoing.iter().for_each(Pallet::<T>::close_motions_of);
        Next::change_members_sorted(incoming, outgoing, sorted_new);
    }

    fn set_prime(prime: Option<T::AccountId>) {
        Next::set_prime(prime);
    }

    fn get_prime() -> Option<T::AccountId> {
        Next::get_prime()
    }
}

/// Counts those who did not vote as having voted no, when the time to vote is over.
///
/// For `DefaultVote` of `pallet_collective`. That pallet counts a default aye among the ayes that
/// its origin carries, so that with either of its own default votes a decision of two thirds could
/// be made by fewer: by a bare majority, or by the prime member alone.
pub struct AbstentionsAreNays;

impl DefaultVote for AbstentionsAreNays {
    fn default_vote(_: Option<bool>, _: MemberCount, _: MemberCount, _: MemberCount) -> bool {
        false
    }
}
