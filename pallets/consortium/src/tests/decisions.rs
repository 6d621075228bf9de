// SPDX-License-Identifier: Apache-2.0

//! Decisions as the members make them: by the collective.

use codec::Encode;
use frame_support::{assert_noop, assert_ok, weights::Weight};
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    DispatchError,
};

use super::{decide, executed, next_session};
use crate::{mock::*, Call};

#[test]
fn two_thirds_of_the_members_are_enough() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(decide(add_candidate(), 3, &[1, 2, 3]));
        assert!(Consortium::is_validator(&CANDIDATE));
    });
}

#[test]
fn half_of_the_members_are_not_enough_whatever_threshold_they_ask_for() {
    ExtBuilder.build_and_execute(|| {
        assert_eq!(
            decide(add_candidate(), 2, &[1, 2]),
            Err(DispatchError::BadOrigin)
        );
        assert!(!Consortium::is_validator(&CANDIDATE));
    });
}

#[test]
fn one_member_is_not_enough_even_without_a_vote() {
    ExtBuilder.build_and_execute(|| {
        // With a threshold of one the collective carries a proposal out at once.
        let call = add_candidate();
        let length = call.encoded_size() as u32;
        assert_ok!(Council::propose(
            RuntimeOrigin::signed(1),
            1,
            Box::new(call),
            length
        ));
        assert_eq!(executed(), Some(Err(DispatchError::BadOrigin)));
        assert!(!Consortium::is_validator(&CANDIDATE));
    });
}

#[test]
fn who_is_silent_does_not_agree() {
    ExtBuilder.build_and_execute(|| {
        // One aye more than half of five members, then silence until the vote is over.
        let five = vec![5].try_into().expect("it is one");
        assert_ok!(Consortium::add_members(RuntimeOrigin::root(), five));
        let call = add_candidate();
        let length = call.encoded_size() as u32;
        let hash = BlakeTwo256::hash_of(&call);
        assert_ok!(Council::propose(
            RuntimeOrigin::signed(1),
            4,
            Box::new(call),
            length
        ));
        for member in [1, 2, 3] {
            assert_ok!(Council::vote(RuntimeOrigin::signed(member), hash, 0, true));
        }
        let close = || Council::close(RuntimeOrigin::signed(1), hash, 0, Weight::MAX, length);
        assert_noop!(
            close(),
            pallet_collective::Error::<Test, pallet_collective::Instance1>::TooEarly
        );
        (0..5).for_each(|_| next_session());
        assert_ok!(close());
        assert_eq!(executed(), None);
        assert!(!Consortium::is_validator(&CANDIDATE));
    });
}

#[test]
fn a_stranger_cannot_even_propose() {
    ExtBuilder.build_and_execute(|| {
        let call = add_candidate();
        let length = call.encoded_size() as u32;
        assert_noop!(
            Council::propose(RuntimeOrigin::signed(STRANGER), 1, Box::new(call), length),
            pallet_collective::Error::<Test, pallet_collective::Instance1>::NotMember
        );
    });
}

#[test]
fn a_decision_that_fails_says_so() {
    ExtBuilder.build_and_execute(|| {
        let purge = RuntimeCall::Session(pallet_session::Call::purge_keys {});
        let decision = RuntimeCall::Consortium(Call::dispatch_as_root {
            call: Box::new(purge),
        });
        assert_eq!(
            decide(decision, 3, &[1, 2, 3]),
            Err(DispatchError::BadOrigin)
        );
    });
}

#[test]
fn the_members_decide_who_is_a_member() {
    ExtBuilder.build_and_execute(|| {
        let members = vec![5].try_into().expect("it is one");
        let add = RuntimeCall::Consortium(Call::add_members { members });
        assert_ok!(decide(add, 3, &[1, 2, 3]));
        assert!(Consortium::is_member(&5));
        // Three of five are less than two thirds.
        assert_eq!(
            decide(add_candidate(), 3, &[1, 2, 3]),
            Err(DispatchError::BadOrigin)
        );
        assert_ok!(decide(add_candidate(), 4, &[1, 2, 3, 5]));
    });
}

#[test]
fn the_members_of_a_stalled_chain_reach_root() {
    ExtBuilder.build_and_execute(|| {
        // Root only, with effect on the state alone.
        let note = RuntimeCall::System(frame_system::Call::set_heap_pages { pages: 64 });
        let decision = RuntimeCall::Consortium(Call::dispatch_as_root {
            call: Box::new(note),
        });
        assert_ok!(decide(decision, 3, &[2, 3, 4]));
        assert_eq!(
            sp_io::storage::get(sp_core::storage::well_known_keys::HEAP_PAGES).as_deref(),
            Some(&64u64.encode()[..])
        );
    });
}

fn add_candidate() -> RuntimeCall {
    RuntimeCall::Consortium(Call::add_validator {
        validator: CANDIDATE,
    })
}
