// SPDX-License-Identifier: Apache-2.0

//! How decisions about validators reach those who make blocks.

use codec::Encode;
use frame_support::{assert_noop, assert_ok};
use pallet_session::{Event as SessionEvent, SessionManager};
use sp_runtime::RuntimeAppPublic;

use super::{decided, next_session, set_keys};
use crate::{mock::*, SessionKeyChanges};

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

#[test]
fn a_validator_changes_its_keys_once_in_a_period() {
    ExtBuilder.build_and_execute(|| {
        let may = Consortium::may_change_session_keys;
        // Those of the genesis are nobody's change.
        assert!(may(&2));
        assert_ok!(set_keys(2));
        next_session();
        assert!(!may(&2) && may(&1));
        System::set_block_number(SESSION_KEY_PERIOD);
        assert!(!may(&2));
        System::set_block_number(1 + SESSION_KEY_PERIOD);
        assert!(may(&2));
        assert_ok!(Session::purge_keys(RuntimeOrigin::signed(2)));
        // Who has none sets them at once or later, and then keeps them.
        next_session();
        assert!(may(&2));
        let now = System::block_number();
        assert_ok!(set_keys(2));
        next_session();
        assert!(!may(&2));
        System::set_block_number(now + SESSION_KEY_PERIOD);
        assert!(may(&2));
    });
}

/// Else whoever is wrong about its keys is away for a period.
#[test]
fn wrong_keys_are_corrected_before_they_count_and_make_one_set() {
    ExtBuilder.build_and_execute(|| {
        for _ in 0..3 {
            assert!(Consortium::may_change_session_keys(&2));
            assert_ok!(set_keys(2));
        }
        assert_ok!(Session::purge_keys(RuntimeOrigin::signed(2)));
        assert_ok!(set_keys(2));
        assert!(Consortium::may_change_session_keys(&2));
        next_session();
        assert!(!Consortium::may_change_session_keys(&2));
        (0..3).for_each(|_| next_session());
        assert!(announced_changes() <= 1);
    });
}

#[test]
fn a_change_of_keys_that_fails_is_none() {
    ExtBuilder.build_and_execute(|| {
        // Another's keys, with a proof as by that one.
        let keys = keys(1);
        let proof = keys.dummy.sign(&2u64.encode()).expect("the key is there");
        assert_noop!(
            Session::set_keys(RuntimeOrigin::signed(2), keys, proof.encode()),
            pallet_session::Error::<Test>::DuplicatedKey
        );
        assert!(Consortium::may_change_session_keys(&2));
        assert_eq!(SessionKeyChanges::<Test>::iter().count(), 0);
    });
}

#[test]
fn who_is_no_validator_changes_its_keys_as_it_likes() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(set_keys(4));
        assert_ok!(set_keys(4));
        assert!(Consortium::may_change_session_keys(&4));
        assert_ok!(Consortium::add_validator(decided(), 4));
        assert_ok!(set_keys(4));
        next_session();
        assert!(!Consortium::may_change_session_keys(&4));
        // The consortium takes it off the list and back, if it has to.
        assert_ok!(Consortium::remove_validator(decided(), 4));
        assert!(Consortium::may_change_session_keys(&4));
        assert_ok!(set_keys(4));
        assert_ok!(Consortium::add_validator(decided(), 4));
        assert!(Consortium::may_change_session_keys(&4));
    });
}

#[test]
fn the_last_validator_with_keys_is_known() {
    ExtBuilder.build_and_execute(|| {
        let is_last = Consortium::has_last_session_keys;
        for validator in [1, 2] {
            assert!(!is_last(&3));
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(validator)));
        }
        // One that is not on the list does not count.
        assert!(Consortium::has_session_keys(&CANDIDATE));
        assert!(is_last(&3) && !is_last(&1) && !is_last(&CANDIDATE));
        assert_ok!(set_keys(1));
        assert!(!is_last(&3));
    });
}

/// How often the session pallet announced another set of validators.
fn announced_changes() -> usize {
    System::read_events_for_pallet::<SessionEvent<Test>>()
        .iter()
        .filter(|event| matches!(event, SessionEvent::NewQueued))
        .count()
}
