// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event};

#[test]
fn the_sponsor_reopens_its_study_and_finds_it_as_it_was() {
    ExtBuilder::default().build_and_execute(|| {
        let before = Studies::study(STUDY);
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_ok!(Studies::reopen_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_eq!(Studies::study(STUDY), before);
        assert_eq!(last_event(), Some(Event::StudyReopened { study: STUDY }));
    });
}

#[test]
fn nobody_but_the_sponsor_reopens_a_study() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        for who in [CONSORTIUM, AUTHENTICATION_SERVER, RELAY, STRANGER] {
            assert_noop!(
                Studies::reopen_study(RuntimeOrigin::signed(who), STUDY),
                Error::<Test>::NotTheSponsor
            );
        }
        assert_noop!(
            Studies::reopen_study(RuntimeOrigin::root(), STUDY),
            DispatchError::BadOrigin
        );
    });
}

#[test]
fn a_study_that_does_not_exist_cannot_be_reopened() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(
            Studies::reopen_study(RuntimeOrigin::signed(SPONSOR), NO_STUDY),
            Error::<Test>::UnknownStudy
        );
    });
}

#[test]
fn an_open_study_cannot_be_reopened() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(
            Studies::reopen_study(RuntimeOrigin::signed(SPONSOR), STUDY),
            Error::<Test>::AlreadyOpen
        );
    });
}
