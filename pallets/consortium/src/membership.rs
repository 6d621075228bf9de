// SPDX-License-Identifier: Apache-2.0

//! What connects FRAME's membership pallet with its collective pallet.

use core::marker::PhantomData;
use frame_support::{
    ensure,
    traits::{ChangeMembers, Get, InitializeMembers},
    weights::Weight,
    BoundedVec,
};
use pallet_collective::{DefaultVote, MemberCount};
use sp_runtime::{DispatchResult, Saturating};

use crate::{
    Collective, Config, Error, Event, KeyChanges, MaxMembers, Pallet, Succession, UrgentVotes,
    WeightInfo,
};

/// Members, sorted by account.
type MemberList<T> = BoundedVec<<T as frame_system::Config>::AccountId, MaxMembers<T>>;

/// Gives every new member a place on the chain `T`, forgets the motions and urgent votes of members who
/// leave, and tells `Next` of the change.
///
/// For `MembershipInitialized` and `MembershipChanged` of `pallet_membership`, with the collective
/// as `Next`. Without it a new member could vote on paper only: an account that nobody admitted
/// cannot send a transaction where there is no currency.
pub struct AdmitMembers<T, Next>(PhantomData<(T, Next)>);

impl<T: Config, Next: InitializeMembers<T::AccountId>> InitializeMembers<T::AccountId>
    for AdmitMembers<T, Next>
{
    fn initialize_members(members: &[T::AccountId]) {
        assert!(
            members.len() != TOO_FEW,
            "two members need each other for everything, so that one lost key ends the consortium; \
             begin with one or with three"
        );
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
        for former in outgoing {
            Pallet::<T>::close_motions_of(former);
            UrgentVotes::<T>::remove(former);
            KeyChanges::<T>::remove(former);
        }
        Next::change_members_sorted(incoming, outgoing, sorted_new);
    }

    fn set_prime(prime: Option<T::AccountId>) {
        Next::set_prime(prime);
    }

    fn get_prime() -> Option<T::AccountId> {
        Next::get_prime()
    }
}

/// What the calls do once the origin is checked.
impl<T: Config> Pallet<T> {
    /// Adds `newcomers` to the members.
    pub(crate) fn do_add_members(newcomers: MemberList<T>) -> DispatchResult {
        let mut members = pallet_membership::Pallet::<T, Collective>::members();
        for newcomer in &newcomers {
            let place = members
                .binary_search(newcomer)
                .err()
                .ok_or(Error::<T>::AlreadyMember)?;
            members
                .try_insert(place, newcomer.clone())
                .map_err(|_| Error::<T>::TooManyMembers)?;
        }
        Self::change_members(&newcomers, &[], members)?;
        Self::deposit_event(Event::MembersAdded { members: newcomers });
        Ok(())
    }

    /// Takes `member` off the members.
    pub(crate) fn do_remove_member(member: T::AccountId) -> DispatchResult {
        let mut members = pallet_membership::Pallet::<T, Collective>::members();
        let place = members
            .binary_search(&member)
            .map_err(|_| Error::<T>::NotAMember)?;
        members.remove(place);
        Self::change_members(&[], core::slice::from_ref(&member), members)?;
        Self::deposit_event(Event::MemberRemoved { member });
        Ok(())
    }

    /// Puts `successor` in the place of `member`.
    pub(crate) fn replace_member(member: &T::AccountId, successor: T::AccountId) -> DispatchResult {
        Self::exchange(member, &successor)?;
        Self::deposit_event(Event::MemberReplaced {
            former: member.clone(),
            member: successor,
        });
        Ok(())
    }

    /// Makes `successor` the account of the member `who`, whose motions it keeps, and against whom the same is asked for.
    pub(crate) fn do_change_key(who: T::AccountId, successor: T::AccountId) -> DispatchResult {
        ensure!(Self::is_member(&who), Error::<T>::NotAMember);
        ensure!(!Self::is_member(&successor), Error::<T>::AlreadyMember);
        // Others with a place on the chain have not agreed to be taken for this member. Who took its place in a study is no other.
        ensure!(
            frame_system::Pallet::<T>::providers(&successor) == 0
                || T::Succession::is_successor(&who, &successor),
            Error::<T>::SuccessorIsNotNew
        );
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(
            KeyChanges::<T>::get(&who)
                .is_none_or(|last| now >= last.saturating_add(T::UrgentPeriod::get())),
            Error::<T>::KeyChangedRecently
        );

        Self::pass_motions_on(&who, &successor);
        Self::follow_in_urgent_votes(&who, &successor);
        Self::exchange(&who, &successor)?;
        KeyChanges::<T>::insert(&successor, now);
        T::Succession::note(&who, &successor);
        Self::deposit_event(Event::MemberKeyChanged {
            former: who,
            member: successor,
        });
        Ok(())
    }

    fn exchange(former: &T::AccountId, successor: &T::AccountId) -> DispatchResult {
        let mut members = pallet_membership::Pallet::<T, Collective>::members();
        let place = members
            .binary_search(former)
            .map_err(|_| Error::<T>::NotAMember)?;
        ensure!(!members.contains(successor), Error::<T>::AlreadyMember);
        if let Some(member) = members.get_mut(place) {
            *member = successor.clone();
        }
        members.sort();
        Self::change_members(
            core::slice::from_ref(successor),
            core::slice::from_ref(former),
            members,
        )
    }

    /// Makes `members`, which are sorted, the members: neither none nor two.
    pub(crate) fn change_members(
        incoming: &[T::AccountId],
        outgoing: &[T::AccountId],
        members: MemberList<T>,
    ) -> DispatchResult {
        ensure!(!members.is_empty(), Error::<T>::LastMember);
        ensure!(members.len() != TOO_FEW, Error::<T>::TwoMembers);

        pallet_membership::Members::<T, Collective>::put(&members);
        <T as pallet_membership::Config<Collective>>::MembershipChanged::change_members_sorted(
            incoming, outgoing, &members,
        );
        Ok(())
    }
}

/// The number of members of which each is needed for everything, so that one lost key would end the consortium. One
/// alone can lose its key, too, but decides all the more easily to be more.
pub(crate) const TOO_FEW: usize = 2;

/// Weights of the calls of `pallet_membership`, whose own do not know how many votes a change of members goes through:
/// each costs what it costs to remove a member here.
pub struct MembershipWeight<T>(PhantomData<T>);

impl<T: Config> pallet_membership::WeightInfo for MembershipWeight<T> {
    fn add_member(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn remove_member(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn swap_member(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn reset_members(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn change_key(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn set_prime(_: u32) -> Weight {
        <T as Config>::WeightInfo::remove_member()
    }
    fn clear_prime() -> Weight {
        <T as Config>::WeightInfo::remove_member()
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
