// SPDX-License-Identifier: Apache-2.0

//! Members come and go, and keep the nonce of their account.

use frame_support::{assert_ok, traits::ChangeMembers};
use pallet_collective::Instance1;

use crate::{mock::*, AdmitMembers};

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
        assert_ok!(Members::add_member(RuntimeOrigin::root(), STRANGER));
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
        assert_ok!(Members::remove_member(RuntimeOrigin::root(), 4));
        assert!(!Consortium::has_role(&4));
        assert_eq!(System::account_nonce(4), 1);
        assert_ok!(Members::add_member(RuntimeOrigin::root(), 4));
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
