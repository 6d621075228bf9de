// SPDX-License-Identifier: Apache-2.0

//! Roles over several studies, and what is left of an account that lost them.

use frame_support::assert_ok;

use crate::{mock::*, RoleCount, RoleCounts};

#[test]
fn an_account_has_a_role_until_it_loses_its_last_one() {
    ExtBuilder::default().build_and_execute(|| {
        let sponsor = RuntimeOrigin::signed(SPONSOR);
        assert_ok!(Studies::add_relay(sponsor.clone(), STUDY, 30));
        assert_ok!(Studies::add_authentication_server(
            sponsor.clone(),
            STUDY,
            30
        ));
        assert_ok!(Studies::replace_sponsor(
            RuntimeOrigin::signed(CONSORTIUM),
            STUDY,
            30
        ));
        assert_eq!(
            Studies::roles(&30),
            RoleCounts {
                sponsor: 1,
                authentication_server: 1,
                relay: 1
            }
        );

        let sponsor = RuntimeOrigin::signed(30);
        assert_ok!(Studies::remove_relay(sponsor.clone(), STUDY, 30));
        assert!(Studies::has_role(&30));
        assert_eq!(Studies::roles(&30).relay, 0);
        assert_ok!(Studies::remove_authentication_server(sponsor, STUDY, 30));
        assert!(Studies::has_role(&30));
        assert_ok!(Studies::replace_sponsor(
            RuntimeOrigin::signed(CONSORTIUM),
            STUDY,
            SPONSOR
        ));
        assert!(!Studies::has_role(&30));
        assert_eq!(RoleCount::<Test>::get(30), None);
    });
}

#[test]
fn an_account_keeps_its_nonce_when_its_role_is_taken_and_given_back() {
    ExtBuilder::default().build_and_execute(|| {
        let sponsor = RuntimeOrigin::signed(SPONSOR);
        System::inc_account_nonce(RELAY);
        System::inc_account_nonce(RELAY);

        assert_ok!(Studies::remove_relay(sponsor.clone(), STUDY, RELAY));
        assert!(!Studies::has_role(&RELAY));
        assert_eq!(System::account_nonce(RELAY), 2);

        assert_ok!(Studies::add_relay(sponsor, STUDY, RELAY));
        assert!(Studies::has_role(&RELAY));
        assert_eq!(System::account_nonce(RELAY), 2);
    });
}

#[test]
fn an_account_is_admitted_once_however_many_roles_it_gets() {
    ExtBuilder::default().build_and_execute(|| {
        let sponsor = RuntimeOrigin::signed(SPONSOR);
        assert_ok!(Studies::add_relay(sponsor.clone(), STUDY, 30));
        assert_ok!(Studies::add_authentication_server(sponsor, STUDY, 30));
        assert_eq!(System::providers(&30), 1);
    });
}

#[test]
fn admission_alone_is_no_role() {
    ExtBuilder::default().build_and_execute(|| {
        Studies::admit(&30);
        Studies::admit(&30);
        assert_eq!(System::providers(&30), 1);
        assert!(!Studies::has_role(&30));
    });
}

#[test]
fn the_servers_of_a_study_can_be_listed() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::add_relay(
            RuntimeOrigin::signed(SPONSOR),
            STUDY,
            30
        ));
        let mut relays = Studies::relays(STUDY);
        relays.sort_unstable();
        assert_eq!(relays, [RELAY, 30]);
        assert_eq!(
            Studies::authentication_servers(STUDY),
            [AUTHENTICATION_SERVER]
        );
        assert!(Studies::relays(NO_STUDY).is_empty());
    });
}
