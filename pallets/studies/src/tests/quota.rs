// SPDX-License-Identifier: Apache-2.0

//! What a study may make the chain keep.

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Allowance, Amounts, Error, Event, Quota};

fn default() -> Allowance {
    DefaultAllowance::get()
}

#[test]
fn a_study_has_the_default_allowance_until_the_consortium_grants_another() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(Studies::quota(STUDY).allowance, default());
        let allowance = Allowance {
            device_entries: 7,
            ..default()
        };
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_ok!(Studies::set_allowance(consortium, STUDY, allowance));
        assert_eq!(Studies::quota(STUDY).allowance, allowance);
        assert_eq!(
            last_event(),
            Some(Event::AllowanceSet {
                study: STUDY,
                allowance
            })
        );
    });
}

#[test]
fn nobody_but_the_consortium_grants_allowances_and_only_to_studies() {
    ExtBuilder::default().build_and_execute(|| {
        let sponsor = RuntimeOrigin::signed(SPONSOR);
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_noop!(
            Studies::set_allowance(sponsor, STUDY, default()),
            DispatchError::BadOrigin
        );
        assert_noop!(
            Studies::set_allowance(consortium, NO_STUDY, default()),
            Error::<Test>::UnknownStudy
        );
    });
}

#[test]
fn a_study_enrols_as_many_devices_as_it_may() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::take_device(STUDY));
        assert_ok!(Studies::take_device(STUDY));
        assert_noop!(Studies::take_device(STUDY), Error::<Test>::NoDeviceLeft);
    });
}

#[test]
fn what_was_used_stays_counted_when_the_allowance_changes() {
    ExtBuilder::default().build_and_execute(|| {
        Studies::count_entries(STUDY, 60, 6_000);
        assert_eq!(Studies::quota(STUDY).left(), (40, 4_000));
        let mut allowance = default();
        allowance.study.entries = 50;
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_ok!(Studies::set_allowance(consortium, STUDY, allowance));
        assert_eq!(Studies::quota(STUDY).left(), (0, 4_000));
        let used = Amounts {
            entries: 60,
            bytes: 6_000,
            admissions: 2,
            devices: 0,
        };
        assert_eq!(Studies::quota(STUDY), Quota { allowance, used });
    });
}

/// Accounts stay on the chain with their nonce, so a sponsor that appoints and dismisses for ever would fill it.
#[test]
fn a_study_brings_as_many_accounts_to_the_chain_as_it_may() {
    ExtBuilder::default().build_and_execute(|| {
        let sponsor = || RuntimeOrigin::signed(SPONSOR);
        // The genesis has brought two.
        let mut allowance = default();
        allowance.study.admissions = 4;
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_ok!(Studies::set_allowance(consortium, STUDY, allowance));
        for account in [30, 31] {
            assert_ok!(Studies::add_relay(sponsor(), STUDY, account));
            assert_ok!(Studies::remove_relay(sponsor(), STUDY, account));
        }
        let none_left = Error::<Test>::NoAdmissionLeft;
        assert_noop!(Studies::add_relay(sponsor(), STUDY, 32), none_left);
        let server = Studies::add_authentication_server(sponsor(), STUDY, 32);
        assert_noop!(server, Error::<Test>::NoAdmissionLeft);

        // Who was here before comes back.
        assert_ok!(Studies::add_relay(sponsor(), STUDY, 30));
        assert_ok!(Studies::add_authentication_server(sponsor(), STUDY, RELAY));
    });
}
