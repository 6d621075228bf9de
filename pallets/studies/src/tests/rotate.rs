// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchResult;

use crate::{mock::*, Error, Event, GenesisStudy, Rotations, Successors};

/// The account that takes over.
const NEW: u64 = 20;

fn rotate(who: u64, successor: u64) -> DispatchResult {
    Studies::rotate(RuntimeOrigin::signed(who), STUDY, successor)
}

fn sponsor() -> RuntimeOrigin {
    RuntimeOrigin::signed(SPONSOR)
}

#[test]
fn every_role_changes_its_own_account() {
    type Holds = fn(u64) -> bool;
    let checks: [(u64, Holds); 3] = [
        (SPONSOR, |who| Studies::is_sponsor(STUDY, &who)),
        (AUTHENTICATION_SERVER, |who| {
            Studies::is_authentication_server(STUDY, &who)
        }),
        (RELAY, |who| Studies::is_relay(STUDY, &who)),
    ];
    for (who, holds) in checks {
        ExtBuilder::default().build_and_execute(|| {
            assert_ok!(rotate(who, NEW));
            assert!(holds(NEW) && !holds(who));
            assert!(Studies::has_role(&NEW) && !Studies::has_role(&who));
            assert_eq!(
                last_event(),
                Some(Event::AccountRotated {
                    study: STUDY,
                    former: who,
                    account: NEW,
                })
            );
            // The former account has no say any more.
            assert_noop!(rotate(who, 21), Error::<Test>::NoRoleInStudy);
        });
    }
}

#[test]
fn an_account_with_several_roles_gives_all_of_them_up() {
    let study = GenesisStudy {
        relays: vec![SPONSOR],
        authentication_servers: vec![SPONSOR],
        ..genesis_study()
    };
    ExtBuilder::default()
        .studies(vec![study, genesis_study()])
        .build_and_execute(|| {
            assert_ok!(rotate(SPONSOR, NEW));
            assert!(Studies::is_sponsor(STUDY, &NEW));
            assert!(Studies::is_authentication_server(STUDY, &NEW));
            assert!(Studies::is_relay(STUDY, &NEW));
            // In another study it is what it was.
            assert!(Studies::is_sponsor(1, &SPONSOR));
        });
}

#[test]
fn the_former_account_keeps_its_nonce_and_the_new_one_is_admitted() {
    ExtBuilder::default().build_and_execute(|| {
        System::inc_account_nonce(RELAY);
        assert_ok!(rotate(RELAY, NEW));
        assert_eq!(System::providers(&NEW), 1);
        assert_eq!(
            (System::providers(&RELAY), System::account_nonce(RELAY)),
            (1, 1)
        );
    });
}

#[test]
fn what_the_former_account_did_is_its_successors() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(rotate(RELAY, 20));
        assert_ok!(rotate(20, 21));
        assert_eq!(Studies::present_account(STUDY, RELAY), 21);
        assert_eq!(Studies::present_account(STUDY, STRANGER), STRANGER);
        let (mut rotations, next) = Studies::rotations(STUDY, None);
        rotations.sort_unstable();
        assert_eq!((rotations, next), (vec![(RELAY, 20), (20, 21)], None));
        // Also when the role is gone.
        assert_ok!(Studies::remove_relay(sponsor(), STUDY, 21));
        assert_eq!(Studies::present_account(STUDY, RELAY), 21);
    });
}

#[test]
fn nobody_escapes_its_removal_by_changing_its_account() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(rotate(RELAY, 20));
        assert_ok!(rotate(20, 21));
        assert_ok!(Studies::remove_relay(sponsor(), STUDY, RELAY));
        assert!(!Studies::is_relay(STUDY, &21));
        assert_eq!(
            last_event(),
            Some(Event::RelayRemoved {
                study: STUDY,
                account: 21
            })
        );
        assert_ok!(rotate(AUTHENTICATION_SERVER, 30));
        assert_ok!(Studies::remove_authentication_server(
            sponsor(),
            STUDY,
            AUTHENTICATION_SERVER
        ));
        assert!(!Studies::is_authentication_server(STUDY, &30));
    });
}

#[test]
fn the_consortium_takes_a_study_back_from_who_stole_its_sponsors_key() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(rotate(SPONSOR, STRANGER));
        let consortium = RuntimeOrigin::signed(CONSORTIUM);
        assert_ok!(Studies::replace_sponsor(consortium.clone(), STUDY, NEW));
        assert!(Studies::is_sponsor(STUDY, &NEW));
        assert_noop!(
            Studies::replace_sponsor(consortium, STUDY, SPONSOR),
            Error::<Test>::AccountWasGivenUp
        );
    });
}

#[test]
fn the_new_account_is_new_to_the_study() {
    ExtBuilder::default().build_and_execute(|| {
        for successor in [SPONSOR, AUTHENTICATION_SERVER, RELAY] {
            assert_noop!(rotate(RELAY, successor), Error::<Test>::SuccessorIsNotNew);
        }
        assert_ok!(rotate(RELAY, 20));
        assert_noop!(rotate(20, RELAY), Error::<Test>::SuccessorIsNotNew);
        assert_noop!(
            rotate(AUTHENTICATION_SERVER, RELAY),
            Error::<Test>::SuccessorIsNotNew
        );
        // Nor is an account that was given up appointed again.
        assert_noop!(
            Studies::add_relay(sponsor(), STUDY, RELAY),
            Error::<Test>::AccountWasGivenUp
        );
        assert_noop!(
            Studies::add_authentication_server(sponsor(), STUDY, RELAY),
            Error::<Test>::AccountWasGivenUp
        );
    });
}

fn rotate_in(study: u32, who: u64, successor: u64) -> DispatchResult {
    Studies::rotate(RuntimeOrigin::signed(who), study, successor)
}

/// A relay has one account and one database for all its studies.
#[test]
fn an_account_with_roles_in_several_studies_has_one_successor_in_all() {
    ExtBuilder::default()
        .studies(vec![genesis_study(); 3])
        .build_and_execute(|| {
            for study in 0..3 {
                assert_ok!(rotate_in(study, RELAY, NEW));
                assert!(Studies::is_relay(study, &NEW) && !Studies::is_relay(study, &RELAY));
                let rotations = Studies::rotations(study, None);
                assert_eq!(rotations, (vec![(RELAY, NEW)], None));
            }
            // And so has the successor.
            for study in 0..3 {
                assert_ok!(rotate_in(study, NEW, 21));
                assert_eq!(Studies::present_account(study, RELAY), 21);
            }
            // Each of the others has its own.
            assert_noop!(rotate_in(0, SPONSOR, NEW), Error::<Test>::SuccessorIsNotNew);
            assert_ok!(rotate_in(0, SPONSOR, 30));
            assert_noop!(rotate_in(1, SPONSOR, 21), Error::<Test>::SuccessorIsNotNew);
            assert_ok!(rotate_in(1, SPONSOR, 30));
            assert_eq!(Successors::<Test>::get(SPONSOR), Some(30));
        });
}

#[test]
fn a_successor_that_is_somebody_in_the_other_study_is_not_taken_there() {
    ExtBuilder::default()
        .studies(vec![genesis_study(); 2])
        .build_and_execute(|| {
            assert_ok!(rotate(RELAY, NEW));
            // The sponsor was faster.
            assert_ok!(Studies::add_relay(sponsor(), 1, NEW));
            assert_noop!(rotate_in(1, RELAY, NEW), Error::<Test>::SuccessorIsNotNew);
            assert_ok!(rotate_in(1, NEW, 21));
            assert_noop!(rotate_in(1, RELAY, NEW), Error::<Test>::SuccessorIsNotNew);
            // A new key still is nobody. The first successor stays on record.
            assert_ok!(rotate_in(1, RELAY, 22));
            assert_eq!(Successors::<Test>::get(RELAY), Some(NEW));
        });
}

/// What the former account did would be told of whoever is named.
#[test]
fn nobody_who_is_on_the_chain_is_made_the_successor_of_somebody_else() {
    const OTHER_SPONSOR: u64 = 50;
    const OTHER_RELAY: u64 = 51;
    const DISMISSED: u64 = 52;
    const PHONE: u64 = 53;
    let other = GenesisStudy {
        sponsor: OTHER_SPONSOR,
        relays: vec![OTHER_RELAY, DISMISSED],
        ..genesis_study()
    };
    ExtBuilder::default()
        .studies(vec![genesis_study(), other])
        .build_and_execute(|| {
            let other_sponsor = RuntimeOrigin::signed(OTHER_SPONSOR);
            assert_ok!(Studies::remove_relay(other_sponsor, 1, DISMISSED));
            // As the pallet of the devices does with an enrolled key.
            Studies::admit(&PHONE);
            for successor in [OTHER_SPONSOR, OTHER_RELAY, DISMISSED, PHONE] {
                for who in [SPONSOR, AUTHENTICATION_SERVER, RELAY] {
                    let refused = Error::<Test>::SuccessorIsNotNew;
                    assert_noop!(rotate(who, successor), refused);
                }
            }
            assert_ok!(rotate(RELAY, NEW));
        });
}

#[test]
fn an_account_is_changed_so_many_times_and_then_appointed_anew() {
    ExtBuilder::default().build_and_execute(|| {
        let mut relay = RELAY;
        for next in 20..20 + u64::from(MaxRotations::get()) {
            assert_ok!(rotate(relay, next));
            relay = next;
        }
        assert_noop!(rotate(relay, 40), Error::<Test>::TooManyRotations);
        assert_ok!(Studies::remove_relay(sponsor(), STUDY, relay));
        assert_ok!(Studies::add_relay(sponsor(), STUDY, 40));
        assert_ok!(rotate(40, 41));
    });
}

#[test]
fn an_account_is_changed_in_a_closed_study_but_not_in_one_that_does_not_exist() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::close_study(sponsor(), STUDY));
        assert_ok!(rotate(RELAY, NEW));
        assert_noop!(
            Studies::rotate(RuntimeOrigin::signed(SPONSOR), NO_STUDY, 21),
            Error::<Test>::UnknownStudy
        );
        assert_noop!(rotate(STRANGER, 21), Error::<Test>::NoRoleInStudy);
        assert_eq!(Rotations::<Test>::iter().count(), 2);
    });
}
