// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchResult;

use crate::{mock::*, Error, Event, MAX_AUDITOR_KEYS};

fn set(key: [u8; 32]) -> DispatchResult {
    Studies::set_auditor_key(RuntimeOrigin::signed(SPONSOR), STUDY, key)
}

fn takes(epoch: u32) -> bool {
    let study = Studies::study(STUDY).expect("it is there");
    let key = Studies::auditor_key_for_enrolment(STUDY, &study, epoch);
    assert!(key.is_none() || key == study.auditor_key_of(epoch));
    key.is_some()
}

#[test]
fn a_new_auditor_key_begins_an_epoch_and_the_former_keys_stay_on_record() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(set([8; 32]));
        assert_eq!(
            last_event(),
            Some(Event::AuditorKeySet {
                study: STUDY,
                epoch: 1,
                auditor_key: [8; 32],
            })
        );
        assert_ok!(set([9; 32]));
        let study = Studies::study(STUDY).expect("it is there");
        assert_eq!((study.auditor_key, study.auditor_epoch()), ([9; 32], 2));
        assert_eq!(study.former_auditor_keys.to_vec(), [AUDITOR_KEY, [8; 32]]);
    });
}

#[test]
fn nobody_but_the_sponsor_sets_the_auditor_key() {
    ExtBuilder::default().build_and_execute(|| {
        for who in [CONSORTIUM, AUTHENTICATION_SERVER, RELAY, STRANGER] {
            assert_noop!(
                Studies::set_auditor_key(RuntimeOrigin::signed(who), STUDY, [8; 32]),
                Error::<Test>::NotTheSponsor
            );
        }
        assert_noop!(
            Studies::set_auditor_key(RuntimeOrigin::signed(SPONSOR), NO_STUDY, [8; 32]),
            Error::<Test>::UnknownStudy
        );
    });
}

#[test]
fn a_weak_key_and_one_that_the_study_had_before_are_refused() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(set([0; 32]), Error::<Test>::WeakAuditorKey);
        assert_noop!(set(AUDITOR_KEY), Error::<Test>::AuditorKeyWasUsed);
        assert_ok!(set([8; 32]));
        assert_noop!(set(AUDITOR_KEY), Error::<Test>::AuditorKeyWasUsed);
    });
}

#[test]
fn the_number_of_a_studys_auditor_keys_has_a_bound() {
    ExtBuilder::default().build_and_execute(|| {
        for key in 0..MAX_AUDITOR_KEYS as u8 - 1 {
            assert_ok!(set([100 + key; 32]));
        }
        assert_noop!(set([99; 32]), Error::<Test>::TooManyAuditorKeys);
    });
}

#[test]
fn the_epoch_before_is_taken_for_a_while_and_no_older_or_later_one() {
    ExtBuilder::default().build_and_execute(|| {
        assert!(takes(0) && !takes(1));
        assert_ok!(set([8; 32]));
        System::set_block_number(1 + AUDITOR_KEY_GRACE);
        assert!(takes(0) && takes(1) && !takes(2));
        System::set_block_number(2 + AUDITOR_KEY_GRACE);
        assert!(!takes(0) && takes(1));
        assert_ok!(set([9; 32]));
        assert!(!takes(0) && takes(1) && takes(2));
        assert!(!takes(u32::MAX));
    });
}
