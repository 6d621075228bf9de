// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event, ServerCount, ServerCounts};

#[test]
fn the_sponsor_adds_a_relay() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(add(STUDY, 30));
        assert!(Studies::is_relay(STUDY, &30));
        assert_eq!(
            ServerCounts::<Test>::get(STUDY),
            ServerCount {
                authentication_servers: 1,
                relays: 2
            }
        );
        assert_eq!(
            last_event(),
            Some(Event::RelayAdded {
                study: STUDY,
                account: 30,
            })
        );
    });
}

#[test]
fn a_relay_is_admitted_to_the_chain() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(System::providers(&30), 0);
        assert_ok!(add(STUDY, 30));
        assert_eq!(System::providers(&30), 1);
        assert!(Studies::has_role(&30));
    });
}

#[test]
fn a_relay_of_one_study_is_none_of_another() {
    let studies = vec![genesis_study(), genesis_study()];
    ExtBuilder::default()
        .studies(studies)
        .build_and_execute(|| {
            assert_ok!(add(1, 30));
            assert!(Studies::is_relay(1, &30));
            assert!(!Studies::is_relay(0, &30));
        });
}

#[test]
fn nobody_but_the_sponsor_adds_a_relay() {
    ExtBuilder::default().build_and_execute(|| {
        for who in [CONSORTIUM, AUTHENTICATION_SERVER, RELAY, STRANGER] {
            assert_noop!(
                Studies::add_relay(RuntimeOrigin::signed(who), STUDY, 30),
                Error::<Test>::NotTheSponsor
            );
        }
        assert_noop!(
            Studies::add_relay(RuntimeOrigin::root(), STUDY, 30),
            DispatchError::BadOrigin
        );
    });
}

#[test]
fn a_study_that_does_not_exist_gets_no_relay() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(add(NO_STUDY, 30), Error::<Test>::UnknownStudy);
    });
}

#[test]
fn a_closed_study_gets_no_relay_until_it_is_reopened() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_noop!(add(STUDY, 30), Error::<Test>::StudyIsClosed);
        assert_ok!(Studies::reopen_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_ok!(add(STUDY, 30));
    });
}

#[test]
fn the_same_relay_is_not_added_twice() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(add(STUDY, RELAY), Error::<Test>::AlreadyRelay);
    });
}

#[test]
fn a_study_has_at_most_max_servers_of_them() {
    ExtBuilder::default().build_and_execute(|| {
        for account in 30..29 + u64::from(MaxServers::get()) {
            assert_ok!(add(STUDY, account));
        }
        assert_noop!(add(STUDY, 50), Error::<Test>::TooManyRelays);
        // The other kind of server has a limit of its own.
        assert_ok!(Studies::add_authentication_server(
            RuntimeOrigin::signed(SPONSOR),
            STUDY,
            50
        ));
    });
}

fn add(study: u32, account: u64) -> sp_runtime::DispatchResult {
    Studies::add_relay(RuntimeOrigin::signed(SPONSOR), study, account)
}
