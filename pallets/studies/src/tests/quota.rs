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

        // Nor does one come back that could be changed once more; who has a role gets another.
        let again = Studies::add_relay(sponsor(), STUDY, 30);
        assert_noop!(again, Error::<Test>::NoAdmissionLeft);
        assert_ok!(Studies::add_authentication_server(sponsor(), STUDY, RELAY));
    });
}

/// A key that others know is changed whatever was used up, and what came in its place is counted.
#[test]
fn an_account_that_is_changed_counts_and_is_never_refused_for_it() {
    ExtBuilder::default().build_and_execute(|| {
        let mut allowance = default();
        allowance.study.admissions = 3;
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_ok!(Studies::set_allowance(consortium, STUDY, allowance));
        let used = || Studies::quota(STUDY).used.admissions;
        assert_eq!(used(), 2);
        for (who, successor) in [(RELAY, 20), (20, 21), (SPONSOR, 22)] {
            let who = RuntimeOrigin::signed(who);
            assert_ok!(Studies::rotate(who, STUDY, successor));
        }
        assert_eq!(used(), 5);
        let sponsor = RuntimeOrigin::signed(22);
        assert_noop!(
            Studies::add_relay(sponsor, STUDY, 30),
            Error::<Test>::NoAdmissionLeft
        );
    });
}

/// Who has been changed as often as may be in one study would begin anew in the other, and so on.
#[test]
fn two_studies_of_a_sponsor_do_not_hand_a_place_to_and_fro_for_ever() {
    let studies = vec![genesis_study(), genesis_study()];
    ExtBuilder::default()
        .studies(studies)
        .build_and_execute(|| {
            let sponsor = || RuntimeOrigin::signed(SPONSOR);
            for study in [0, 1] {
                let mut allowance = default();
                allowance.study.admissions = 8;
                let consortium = RuntimeOrigin::signed(CONSORTIUM);
                assert_ok!(Studies::set_allowance(consortium, study, allowance));
            }
            let (mut holder, mut new) = (RELAY, 100);
            let mut here = 0;
            while new < 200 {
                while Studies::rotate(RuntimeOrigin::signed(holder), here, new).is_ok() {
                    holder = new;
                    new += 1;
                }
                let there = 1 - here;
                if Studies::add_relay(sponsor(), there, holder).is_err() {
                    break;
                }
                assert_ok!(Studies::remove_relay(sponsor(), here, holder));
                here = there;
            }
            let brought = new - 100;
            assert!(
                brought <= 16 + 2 * u64::from(MaxRotations::get()),
                "{brought}"
            );
        });
}
