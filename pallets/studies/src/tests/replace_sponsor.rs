// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event};

#[test]
fn the_consortium_replaces_the_sponsor() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(replace(STUDY, 20));
        assert!(Studies::is_sponsor(STUDY, &20));
        assert!(!Studies::is_sponsor(STUDY, &SPONSOR));
        assert_eq!(
            last_event(),
            Some(Event::SponsorReplaced {
                study: STUDY,
                former: SPONSOR,
                sponsor: 20,
            })
        );
    });
}

#[test]
fn the_new_sponsor_takes_over_the_study_with_its_servers() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(replace(STUDY, 20));
        assert_eq!(System::providers(&20), 1);
        assert!(Studies::is_relay(STUDY, &RELAY));
        assert_ok!(Studies::remove_relay(
            RuntimeOrigin::signed(20),
            STUDY,
            RELAY
        ));
        assert_noop!(
            Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY),
            Error::<Test>::NotTheSponsor
        );
    });
}

#[test]
fn the_former_sponsor_keeps_its_other_studies() {
    let studies = vec![genesis_study(), genesis_study()];
    ExtBuilder::default()
        .studies(studies)
        .build_and_execute(|| {
            assert_ok!(replace(0, 20));
            assert!(Studies::has_role(&SPONSOR));
            assert!(Studies::is_sponsor(1, &SPONSOR));
            assert_ok!(replace(1, 20));
            assert!(!Studies::has_role(&SPONSOR));
        });
}

#[test]
fn the_sponsor_of_a_closed_study_can_be_replaced() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_ok!(replace(STUDY, 20));
        assert_ok!(Studies::reopen_study(RuntimeOrigin::signed(20), STUDY));
    });
}

#[test]
fn nobody_but_the_consortium_replaces_the_sponsor() {
    ExtBuilder::default().build_and_execute(|| {
        for origin in [
            RuntimeOrigin::signed(SPONSOR),
            RuntimeOrigin::signed(STRANGER),
            RuntimeOrigin::none(),
        ] {
            assert_noop!(
                Studies::replace_sponsor(origin, STUDY, 20),
                DispatchError::BadOrigin
            );
        }
    });
}

#[test]
fn a_study_that_does_not_exist_gets_no_sponsor() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(replace(NO_STUDY, 20), Error::<Test>::UnknownStudy);
    });
}

#[test]
fn the_sponsor_is_not_replaced_by_itself() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(replace(STUDY, SPONSOR), Error::<Test>::AlreadySponsor);
    });
}

fn replace(study: u32, sponsor: u64) -> sp_runtime::DispatchResult {
    Studies::replace_sponsor(RuntimeOrigin::signed(CONSORTIUM), study, sponsor)
}
