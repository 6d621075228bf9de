// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use super::{decided, last_event};
use crate::{mock::*, Error, Event, Validators};

#[test]
fn the_consortium_removes_a_validator() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::remove_validator(decided(), 2));
        assert_eq!(Validators::<Test>::get().into_inner(), [1, 3]);
        assert_eq!(last_event(), Some(Event::ValidatorRemoved { validator: 2 }));
    });
}

#[test]
fn a_former_validator_that_is_no_member_has_no_role() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        assert_ok!(Consortium::remove_validator(decided(), CANDIDATE));
        assert!(!Consortium::has_role(&CANDIDATE));
        // A member keeps its vote.
        assert_ok!(Consortium::remove_validator(decided(), 2));
        assert!(Consortium::has_role(&2));
    });
}

#[test]
fn who_does_not_validate_cannot_be_removed() {
    ExtBuilder.build_and_execute(|| {
        for account in [4, CANDIDATE, STRANGER] {
            assert_noop!(
                Consortium::remove_validator(decided(), account),
                Error::<Test>::NotAValidator
            );
        }
    });
}

#[test]
fn the_last_validator_stays() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::remove_validator(decided(), 1));
        assert_ok!(Consortium::remove_validator(decided(), 2));
        assert_noop!(
            Consortium::remove_validator(decided(), 3),
            Error::<Test>::LastValidator
        );
    });
}

#[test]
fn the_last_validator_with_keys_stays() {
    ExtBuilder.build_and_execute(|| {
        for validator in [1, 2] {
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(validator)));
        }
        assert_noop!(
            Consortium::remove_validator(decided(), 3),
            Error::<Test>::LastValidator
        );
        assert_ok!(Consortium::remove_validator(decided(), 1));
    });
}

#[test]
fn nobody_removes_a_validator_alone() {
    ExtBuilder.build_and_execute(|| {
        for origin in [
            RuntimeOrigin::signed(1),
            RuntimeOrigin::signed(STRANGER),
            RuntimeOrigin::none(),
            pallet_collective::RawOrigin::Member(1).into(),
            pallet_collective::RawOrigin::Members(2, 4).into(),
        ] {
            assert_noop!(
                Consortium::remove_validator(origin, 1),
                DispatchError::BadOrigin
            );
        }
    });
}
