// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event, ServerCount, ServerCounts};

#[test]
fn the_sponsor_removes_a_relay() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(remove(STUDY, RELAY));
        assert!(!Studies::is_relay(STUDY, &RELAY));
        assert!(!Studies::has_role(&RELAY));
        assert_eq!(
            ServerCounts::<Test>::get(STUDY),
            ServerCount {
                authentication_servers: 1,
                relays: 0
            }
        );
        assert_eq!(
            last_event(),
            Some(Event::RelayRemoved {
                study: STUDY,
                account: RELAY,
            })
        );
    });
}

#[test]
fn a_relay_of_a_closed_study_can_be_removed() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), STUDY));
        assert_ok!(remove(STUDY, RELAY));
        assert!(!Studies::is_relay(STUDY, &RELAY));
    });
}

#[test]
fn removal_makes_room_for_another() {
    ExtBuilder::default().build_and_execute(|| {
        let add = |account| Studies::add_relay(RuntimeOrigin::signed(SPONSOR), STUDY, account);
        for account in 30..29 + u64::from(MaxServers::get()) {
            assert_ok!(add(account));
        }
        assert_ok!(remove(STUDY, 30));
        assert_ok!(add(50));
    });
}

#[test]
fn nobody_but_the_sponsor_removes_a_relay() {
    ExtBuilder::default().build_and_execute(|| {
        for who in [CONSORTIUM, AUTHENTICATION_SERVER, RELAY, STRANGER] {
            assert_noop!(
                Studies::remove_relay(RuntimeOrigin::signed(who), STUDY, RELAY),
                Error::<Test>::NotTheSponsor
            );
        }
        assert_noop!(
            Studies::remove_relay(RuntimeOrigin::root(), STUDY, RELAY),
            DispatchError::BadOrigin
        );
    });
}

#[test]
fn a_study_that_does_not_exist_has_nothing_to_remove() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(remove(NO_STUDY, RELAY), Error::<Test>::UnknownStudy);
    });
}

#[test]
fn an_account_without_the_role_cannot_lose_it() {
    ExtBuilder::default().build_and_execute(|| {
        for account in [STRANGER, SPONSOR, AUTHENTICATION_SERVER] {
            assert_noop!(remove(STUDY, account), Error::<Test>::NotARelay);
        }
    });
}

fn remove(study: u32, account: u64) -> sp_runtime::DispatchResult {
    Studies::remove_relay(RuntimeOrigin::signed(SPONSOR), study, account)
}
