// SPDX-License-Identifier: Apache-2.0

//! Benchmarks of the calls, each in its dearest case that succeeds: the list of validators is as
//! long as it may be.

use alloc::{boxed::Box, vec::Vec};
use codec::{Decode, Encode};
use frame_benchmarking::v2::*;
use frame_support::traits::{EnsureOrigin, Get};
use sp_runtime::traits::TrailingZeroInput;

use crate::{
    Call, Collective, Config, MaxMembers, Pallet, UrgentDecision, UrgentDecisionOf, UrgentVote,
    UrgentVotes, Validators,
};
use frame_system::RawOrigin;

/// Registers session keys for an account, past the proof of their possession.
fn register_keys<T: Config>(who: &T::AccountId) {
    let keys = <T as pallet_session::Config>::Keys::decode(&mut TrailingZeroInput::zeroes())
        .expect("public keys of zeros can be decoded");
    pallet_session::NextKeys::<T>::insert(who, keys);
}

/// Replaces the validators by `count` others, without session keys, and returns the last of them.
fn list_validators<T: Config>(count: u32) -> T::AccountId {
    let mut validators = Validators::<T>::get();
    validators.clear();
    for index in 0..count {
        validators.force_push(account("validator", index, 0));
    }
    Validators::<T>::put(validators);
    account("validator", count.saturating_sub(1), 0)
}

/// Makes `count` accounts the members, sorted as they are stored, each with all its motions, so that a change of members
/// has as many votes to go through as there may be. Returns them.
fn fill_consortium<T: Config>(count: u32) -> Vec<T::AccountId> {
    let mut members: Vec<T::AccountId> = (0..count)
        .map(|index| account("member", index, 0))
        .collect();
    members.sort();
    let list = members.clone().try_into().expect("there may be so many");
    let former = pallet_membership::Pallet::<T, Collective>::members();
    Pallet::<T>::change_members(&members, &former, list).expect("they are more than two");
    let motions = members
        .iter()
        .flat_map(|member| (0..T::MotionsPerMember::get()).map(move |number| (member, number)));
    for motion in motions {
        let (proposer, _) = motion;
        let call = frame_system::Call::remark {
            remark: motion.encode(),
        };
        pallet_collective::Pallet::<T, Collective>::do_propose_proposed(
            proposer.clone(),
            count,
            Box::new(call.into()),
            u32::MAX,
        )
        .expect("every member has its places");
    }
    members
}

/// Lets all `members` vote for the removal of `member`, and for something else.
fn vote_against<T: Config>(members: &[T::AccountId], member: &T::AccountId) {
    let decisions: [UrgentDecisionOf<T>; 2] = [
        UrgentDecision::AuthorizeUpgrade {
            code_hash: Default::default(),
        },
        UrgentDecision::RemoveMember {
            member: member.clone(),
        },
    ];
    let until = frame_system::Pallet::<T>::block_number() + T::UrgentPeriod::get();
    let votes: Vec<_> = decisions
        .into_iter()
        .map(|decision| UrgentVote { decision, until })
        .collect();
    for member in members {
        let votes = votes.clone().try_into().expect("a member has two votes");
        UrgentVotes::<T>::set(member, votes);
    }
}

#[benchmarks(where <T as Config>::RuntimeCall: From<frame_system::Call<T>>)]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn add_validator() -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        list_validators::<T>(T::MaxValidators::get().saturating_sub(1));
        let validator: T::AccountId = account("new", 0, 0);
        register_keys::<T>(&validator);

        #[extrinsic_call]
        _(
            origin as <T as frame_system::Config>::RuntimeOrigin,
            validator.clone(),
        );

        assert!(Pallet::<T>::is_validator(&validator));
        Ok(())
    }

    #[benchmark]
    fn remove_validator() -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        // The keys of all that stay are looked for, and found with the last.
        let last = list_validators::<T>(T::MaxValidators::get());
        register_keys::<T>(&last);
        let first: T::AccountId = account("validator", 0, 0);

        #[extrinsic_call]
        _(
            origin as <T as frame_system::Config>::RuntimeOrigin,
            first.clone(),
        );

        assert!(!Pallet::<T>::is_validator(&first));
        Ok(())
    }

    #[benchmark]
    fn dispatch_as_root() -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        let call = frame_system::Call::remark {
            remark: Default::default(),
        };

        #[extrinsic_call]
        _(
            origin as <T as frame_system::Config>::RuntimeOrigin,
            Box::new(call.into()),
        );

        Ok(())
    }

    #[benchmark]
    fn add_members(n: Linear<1, { MaxMembers::<T>::get() - 3 }>) -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        fill_consortium::<T>(MaxMembers::<T>::get() - n);
        let new: Vec<T::AccountId> = (0..n).map(|index| account("new", index, 0)).collect();
        let members = new.clone().try_into().expect("there may be so many");

        #[extrinsic_call]
        _(
            origin as <T as frame_system::Config>::RuntimeOrigin,
            members,
        );

        assert!(new.iter().all(Pallet::<T>::is_member));
        Ok(())
    }

    #[benchmark]
    fn remove_member() -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        let members = fill_consortium::<T>(MaxMembers::<T>::get());
        let first = members[0].clone();

        #[extrinsic_call]
        _(
            origin as <T as frame_system::Config>::RuntimeOrigin,
            first.clone(),
        );

        assert!(!Pallet::<T>::is_member(&first));
        Ok(())
    }

    #[benchmark]
    fn change_key() -> Result<(), BenchmarkError> {
        let members = fill_consortium::<T>(MaxMembers::<T>::get());
        let member = members[0].clone();
        vote_against::<T>(&members, &member);
        let successor: T::AccountId = account("new", 0, 0);

        #[extrinsic_call]
        _(RawOrigin::Signed(member), successor.clone());

        assert!(Pallet::<T>::is_member(&successor));
        Ok(())
    }

    #[benchmark]
    fn vote_urgent() -> Result<(), BenchmarkError> {
        let members = fill_consortium::<T>(MaxMembers::<T>::get());
        let member = members[0].clone();
        // All vote at once, which no chain sees: the rest of them after the decision was made.
        vote_against::<T>(&members, &member);
        let last = members[1].clone();
        let decision = UrgentDecision::RemoveMember {
            member: member.clone(),
        };

        #[extrinsic_call]
        _(RawOrigin::Signed(last), decision);

        assert!(!Pallet::<T>::is_member(&member));
        Ok(())
    }

    #[benchmark]
    fn withdraw_urgent_vote() -> Result<(), BenchmarkError> {
        let members = fill_consortium::<T>(MaxMembers::<T>::get());
        let member = members[0].clone();
        vote_against::<T>(&members, &member);
        let decision = UrgentDecision::RemoveMember {
            member: member.clone(),
        };

        #[extrinsic_call]
        _(RawOrigin::Signed(member), decision);

        assert!(Pallet::<T>::do_try_state().is_ok());
        Ok(())
    }

    #[benchmark]
    fn has_role() {
        let last = list_validators::<T>(T::MaxValidators::get());
        let found;

        #[block]
        {
            found = Pallet::<T>::has_role(&last);
        }

        assert!(found);
    }

    impl_benchmark_test_suite! {
        Pallet,
        crate::mock::ExtBuilder.build(),
        crate::mock::Test,
    }
}
