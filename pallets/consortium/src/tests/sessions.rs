// SPDX-License-Identifier: Apache-2.0

//! How decisions about validators reach those who make blocks.

use frame_support::assert_ok;
use pallet_session::{Event as SessionEvent, SessionManager};

use super::{decided, next_session, set_keys};
use crate::mock::*;

#[test]
fn a_new_validator_makes_blocks_from_the_session_after_next() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        assert_eq!(Session::validators(), VALIDATORS);
        next_session();
        assert_eq!(Session::validators(), VALIDATORS);
        next_session();
        assert_eq!(Session::validators(), [1, 2, 3, CANDIDATE]);
    });
}

#[test]
fn a_former_validator_makes_blocks_until_the_session_after_next() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::remove_validator(decided(), 2));
        next_session();
        assert_eq!(Session::validators(), VALIDATORS);
        next_session();
        assert_eq!(Session::validators(), [1, 3]);
    });
}

#[test]
fn a_change_that_is_taken_back_before_it_takes_effect_is_undone_one_session_later() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        next_session();
        assert_ok!(Consortium::remove_validator(decided(), CANDIDATE));
        next_session();
        assert_eq!(Session::validators(), [1, 2, 3, CANDIDATE]);
        next_session();
        assert_eq!(Session::validators(), VALIDATORS);
    });
}

#[test]
fn validators_that_do_not_change_are_not_announced_as_a_change() {
    ExtBuilder.build_and_execute(|| {
        (0..4).for_each(|_| next_session());
        assert_eq!(Session::current_index(), 4);
        assert_eq!(announced_changes(), 0);

        assert_ok!(Consortium::add_validator(decided(), CANDIDATE));
        (0..4).for_each(|_| next_session());
        assert_eq!(announced_changes(), 1);
        assert_eq!(Consortium::new_session(99), None);
    });
}

#[test]
fn a_validator_that_purged_its_keys_pauses_until_it_sets_new_ones() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Session::purge_keys(RuntimeOrigin::signed(2)));
        next_session();
        next_session();
        assert_eq!(Session::validators(), [1, 3]);
        assert!(Consortium::is_validator(&2));

        assert_ok!(set_keys(2));
        next_session();
        next_session();
        assert_eq!(Session::validators(), VALIDATORS);
    });
}

#[test]
fn no_empty_set_of_validators_is_ever_told() {
    ExtBuilder.build_and_execute(|| {
        for validator in VALIDATORS {
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(validator)));
        }
        assert_eq!(Consortium::new_session(1), None);
    });
}

/// How often the session pallet announced another set of validators.
fn announced_changes() -> usize {
    System::read_events_for_pallet::<SessionEvent<Test>>()
        .iter()
        .filter(|event| matches!(event, SessionEvent::NewQueued))
        .count()
}
