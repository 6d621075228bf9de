// SPDX-License-Identifier: Apache-2.0

//! One file per call, and one for what no single call owns.

mod add_authentication_server;
mod add_relay;
mod close_study;
mod create_study;
mod genesis;
mod invariants;
mod quota;
mod remove_authentication_server;
mod remove_relay;
mod reopen_study;
mod replace_sponsor;
mod roles;
mod rotate;
mod rotations;
mod set_auditor_key;

use frame_support::assert_ok;

use crate::{mock::*, StudyPolicy};

#[docify::export]
#[test]
fn a_study_is_created_and_gets_its_servers() {
    ExtBuilder::default().studies(vec![]).build_and_execute(|| {
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        let sponsor = RuntimeOrigin::signed(SPONSOR);

        // The consortium creates the study, here the first of the chain.
        assert_ok!(Studies::create_study(
            consortium,
            SPONSOR,
            StudyPolicy::DeviceSigned,
            AUDITOR_KEY,
            title("Insomnia"),
        ));
        // From here on it is the sponsor's business.
        assert_ok!(Studies::add_authentication_server(
            sponsor.clone(),
            0,
            AUTHENTICATION_SERVER
        ));
        assert_ok!(Studies::add_relay(sponsor.clone(), 0, RELAY));
        // Other pallets ask who may do what.
        assert!(Studies::is_authentication_server(0, &AUTHENTICATION_SERVER));
        assert!(Studies::is_relay(0, &RELAY));
        assert!(!Studies::has_role(&STRANGER));
        // A role can be taken away at any moment, even when the study is over.
        assert_ok!(Studies::close_study(sponsor.clone(), 0));
        assert_ok!(Studies::remove_relay(sponsor, 0, RELAY));
        assert!(!Studies::has_role(&RELAY));
    });
}
