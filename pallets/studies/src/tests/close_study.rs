// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event, StudyStatus};

#[test]
fn the_sponsor_closes_its_study() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_eq!(
            Studies::study(STUDY).map(|study| study.status),
            Some(StudyStatus::Closed)
        );
        assert_eq!(last_event(), Some(Event::StudyClosed { study: STUDY }));
    });
}

#[test]
fn closing_a_study_leaves_every_role_with_its_holder() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert!(Studies::is_sponsor(STUDY, &SPONSOR));
        assert!(Studies::is_authentication_server(
            STUDY,
            &AUTHENTICATION_SERVER
        ));
        assert!(Studies::is_relay(STUDY, &RELAY));
        assert!(Studies::has_role(&RELAY));
    });
}

#[test]
fn nobody_but_the_sponsor_closes_a_study() {
    ExtBuilder::default().build_and_execute(|| {
        for who in [CONSORTIUM, AUTHENTICATION_SERVER, RELAY, STRANGER] {
            assert_noop!(
                Studies::close_study(RuntimeOrigin::signed(who), STUDY),
                Error::<Test>::NotTheSponsor
            );
        }
        for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
            assert_noop!(
                Studies::close_study(origin, STUDY),
                DispatchError::BadOrigin
            );
        }
    });
}

#[test]
fn a_study_that_does_not_exist_cannot_be_closed() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(
            Studies::close_study(RuntimeOrigin::signed(SPONSOR), NO_STUDY),
            Error::<Test>::UnknownStudy
        );
    });
}

#[test]
fn a_closed_study_cannot_be_closed_again() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_noop!(
            Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY),
            Error::<Test>::AlreadyClosed
        );
    });
}
