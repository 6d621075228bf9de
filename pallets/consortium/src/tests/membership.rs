// SPDX-License-Identifier: Apache-2.0

//! Members come and go, and keep the nonce of their account.

use frame_support::{assert_noop, assert_ok, traits::ChangeMembers};
use pallet_collective::Instance1;
use sp_runtime::{DispatchError, DispatchResult};

use super::{decided, last_event};
use crate::{mock::*, AdmitMembers, Error, Event};

fn add(members: &[u64]) -> DispatchResult {
    let members = members.to_vec().try_into().expect("they are few");
    Consortium::add_members(decided(), members)
}

fn members() -> Vec<u64> {
    pallet_collective::Members::<Test, Instance1>::get()
}

#[test]
fn the_members_of_the_genesis_vote_and_have_a_place_on_the_chain() {
    ExtBuilder.build_and_execute(|| {
        assert_eq!(
            pallet_collective::Members::<Test, Instance1>::get(),
            MEMBERS
        );
        for member in MEMBERS {
            assert_eq!(System::providers(&member), 1);
            assert!(Consortium::is_member(&member));
            assert!(Consortium::has_role(&member));
        }
        assert!(!Consortium::has_role(&STRANGER));
    });
}

#[test]
fn a_new_member_is_admitted_and_can_vote() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(add(&[STRANGER]));
        assert_eq!(System::providers(&STRANGER), 1);
        assert!(Consortium::has_role(&STRANGER));
        assert!(pallet_collective::Members::<Test, Instance1>::get().contains(&STRANGER));
    });
}

#[test]
fn a_member_that_changes_its_key_or_is_swapped_is_followed() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Members::change_key(RuntimeOrigin::signed(4), 14));
        assert_ok!(Members::swap_member(RuntimeOrigin::root(), 3, 13));
        for (former, member) in [(4, 14), (3, 13)] {
            assert_eq!(System::providers(&member), 1);
            assert!(Consortium::is_member(&member));
            assert!(!Consortium::is_member(&former));
        }
        assert_eq!(
            pallet_collective::Members::<Test, Instance1>::get(),
            [1, 2, 13, 14]
        );
    });
}

#[test]
fn a_member_keeps_its_nonce_when_it_leaves_and_returns() {
    ExtBuilder.build_and_execute(|| {
        System::inc_account_nonce(4);
        assert_ok!(Consortium::remove_member(decided(), 4));
        assert!(!Consortium::has_role(&4));
        assert_eq!(System::account_nonce(4), 1);
        assert_ok!(add(&[4]));
        assert_eq!(System::account_nonce(4), 1);
        assert_eq!(System::providers(&4), 1);
    });
}

#[test]
fn a_prime_member_is_passed_on_to_the_collective() {
    ExtBuilder.build_and_execute(|| {
        <AdmitMembers<Test, Council> as ChangeMembers<u64>>::set_prime(Some(1));
        assert_eq!(pallet_collective::Prime::<Test, Instance1>::get(), Some(1));
        assert_eq!(
            <AdmitMembers<Test, Council> as ChangeMembers<u64>>::get_prime(),
            Some(1)
        );
    });
}

#[test]
fn several_members_are_added_by_one_decision() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(add(&[7, 5]));
        assert_eq!(members(), [1, 2, 3, 4, 5, 7]);
        let members = vec![7, 5].try_into().expect("they are few");
        assert_eq!(last_event(), Some(Event::MembersAdded { members }));
    });
}

#[test]
fn who_is_a_member_cannot_be_added_and_who_is_not_cannot_be_removed() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(add(&[5, 4]), Error::<Test>::AlreadyMember);
        assert_noop!(add(&[5, 5]), Error::<Test>::AlreadyMember);
        assert_noop!(
            Consortium::remove_member(decided(), STRANGER),
            Error::<Test>::NotAMember
        );
    });
}

#[test]
fn there_are_no_more_members_than_there_may_be() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(add(&[10, 11, 12, 13, 14]), Error::<Test>::TooManyMembers);
        assert_ok!(add(&[10, 11, 12, 13]));
    });
}

#[test]
fn a_member_alone_cannot_be_removed_and_cannot_become_one_of_two() {
    ExtBuilder::with_members(&[1]).build_and_execute(|| {
        let decided = || pallet_collective::RawOrigin::Members(1, 1).into();
        assert_noop!(
            Consortium::remove_member(decided(), 1),
            Error::<Test>::LastMember
        );
        assert_noop!(add(&[2]), Error::<Test>::TwoMembers);
        assert_ok!(add(&[2, 3]));
        assert_eq!(members(), [1, 2, 3]);
    });
}

#[test]
fn of_three_members_none_is_removed_without_another_in_its_place() {
    ExtBuilder::with_members(&[1, 2, 3]).build_and_execute(|| {
        assert_noop!(
            Consortium::remove_member(decided(), 3),
            Error::<Test>::TwoMembers
        );
        assert_ok!(Members::swap_member(RuntimeOrigin::root(), 3, 13));
        assert_eq!(members(), [1, 2, 13]);
    });
}

#[test]
#[should_panic = "two members need each other for everything"]
fn no_consortium_begins_with_two_members() {
    ExtBuilder::with_members(&[1, 2]).build();
}

#[test]
fn members_come_and_go_by_decision_alone() {
    ExtBuilder.build_and_execute(|| {
        let one = RuntimeOrigin::signed(1);
        let five = vec![5].try_into().expect("it is one");
        assert_noop!(
            Consortium::add_members(one.clone(), five),
            DispatchError::BadOrigin
        );
        assert_noop!(Consortium::remove_member(one, 4), DispatchError::BadOrigin);
        // Past the checks of this pallet, not even by root.
        assert!(Members::add_member(RuntimeOrigin::root(), 5).is_err());
        assert!(Members::remove_member(RuntimeOrigin::root(), 4).is_err());
    });
}
