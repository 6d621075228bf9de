// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use super::{decided, last_event, set_keys};
use crate::{mock::*, Error, Event, Validators};

#[test]
fn the_consortium_adds_a_validator() {
    ExtBuilder.build_and_execute(|| {
        assert!(!Consortium::has_role(&CANDIDATE));
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        assert!(Consortium::is_validator(&CANDIDATE));
        assert!(Consortium::has_role(&CANDIDATE));
        assert_eq!(
            last_event(),
            Some(Event::ValidatorAdded {
                validator: CANDIDATE
            })
        );
    });
}

#[test]
fn validators_stand_in_the_order_of_their_appointment() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        assert_ok!(Consortium::remove_validator(decided(), 1));
        assert_ok!(Consortium::add_validator(decided(), 1));
        assert_eq!(Validators::<Test>::get().into_inner(), [2, 3, CANDIDATE, 1]);
    });
}

#[test]
fn an_account_without_session_keys_is_no_validator() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(
            Consortium::add_validator(decided(), STRANGER),
            Error::<Test>::NoSessionKeys
        );
    });
}

#[test]
fn a_member_sets_its_keys_and_becomes_a_validator() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(
            Consortium::add_validator(decided(), 4),
            Error::<Test>::NoSessionKeys
        );
        assert_ok!(set_keys(4));
        assert_ok!(Consortium::add_validator(decided(), 4));
        assert!(Consortium::is_validator(&4));
    });
}

#[test]
fn a_validator_is_not_added_twice() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(
            Consortium::add_validator(decided(), 1),
            Error::<Test>::AlreadyValidator
        );
    });
}

#[test]
fn there_are_at_most_max_validators() {
    MaxValidators::set(3);
    ExtBuilder.build_and_execute(|| {
        assert_noop!(
            Consortium::add_validator(decided(), CANDIDATE),
            Error::<Test>::TooManyValidators
        );
        assert_ok!(Consortium::remove_validator(decided(), 1));
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
    });
}

#[test]
fn nobody_adds_a_validator_alone() {
    ExtBuilder.build_and_execute(|| {
        for origin in [
            RuntimeOrigin::signed(1),
            RuntimeOrigin::signed(STRANGER),
            RuntimeOrigin::none(),
            pallet_collective::RawOrigin::Member(1).into(),
            pallet_collective::RawOrigin::Members(2, 4).into(),
        ] {
            assert_noop!(
                Consortium::add_validator(origin, CANDIDATE),
                DispatchError::BadOrigin
            );
        }
    });
}
