// SPDX-License-Identifier: Apache-2.0

use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

use crate::{mock::*, Error, Event, NextStudyId, Study, StudyPolicy, StudyStatus};

#[test]
fn the_consortium_creates_an_open_study_without_servers() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Studies::create_study(
            RuntimeOrigin::signed(CONSORTIUM),
            20,
            StudyPolicy::HashchainOnly,
            AUDITOR_KEY,
            title("Migräne"),
        ));

        assert_eq!(
            Studies::study(1),
            Some(Study {
                sponsor: 20,
                policy: StudyPolicy::HashchainOnly,
                status: StudyStatus::Open,
                auditor_key: AUDITOR_KEY,
                title: title("Migräne"),
                former_auditor_keys: Default::default(),
            })
        );
        assert!(Studies::authentication_servers(1).is_empty());
        assert!(Studies::relays(1).is_empty());
        assert_eq!(
            last_event(),
            Some(Event::StudyCreated {
                study: 1,
                sponsor: 20,
                policy: StudyPolicy::HashchainOnly,
            })
        );
    });
}

#[test]
fn the_sponsor_is_admitted_to_the_chain() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(System::providers(&20), 0);
        assert_ok!(create(20));
        assert_eq!(System::providers(&20), 1);
        assert!(Studies::has_role(&20));
        assert!(Studies::is_sponsor(1, &20));
        assert!(!Studies::is_sponsor(0, &20));
    });
}

#[test]
fn studies_are_numbered_in_the_order_of_their_creation() {
    ExtBuilder::default().studies(vec![]).build_and_execute(|| {
        for (study, sponsor) in [(0, 20), (1, 21), (2, 20)] {
            assert_ok!(create(sponsor));
            assert!(Studies::is_sponsor(study, &sponsor));
        }
        assert_eq!(NextStudyId::<Test>::get(), 3);
    });
}

#[test]
fn nobody_but_the_consortium_creates_a_study() {
    ExtBuilder::default().build_and_execute(|| {
        for origin in [
            RuntimeOrigin::signed(SPONSOR),
            RuntimeOrigin::signed(STRANGER),
            RuntimeOrigin::none(),
        ] {
            assert_noop!(
                Studies::create_study(
                    origin,
                    SPONSOR,
                    StudyPolicy::DeviceSigned,
                    AUDITOR_KEY,
                    title("Insomnia"),
                ),
                DispatchError::BadOrigin
            );
        }
    });
}

#[test]
fn a_title_that_nobody_can_read_is_refused() {
    ExtBuilder::default().build_and_execute(|| {
        for illegible in [vec![], vec![0xff, 0xfe], vec![b'a', 0xc3]] {
            assert_noop!(
                Studies::create_study(
                    RuntimeOrigin::signed(CONSORTIUM),
                    SPONSOR,
                    StudyPolicy::DeviceSigned,
                    AUDITOR_KEY,
                    illegible.try_into().expect("test titles are short"),
                ),
                Error::<Test>::IllegibleTitle
            );
        }
    });
}

#[test]
fn an_auditor_key_to_which_nothing_can_be_sealed_is_refused() {
    let with = |first: u8, rest: u8, last: u8| {
        let mut key = [rest; 32];
        (key[0], key[31]) = (first, last);
        key
    };
    ExtBuilder::default().build_and_execute(|| {
        for weak in [
            with(0, 0, 0),
            with(1, 0, 0),
            // The same two with the bit that X25519 ignores, the point of order 4 on the twist, and zero as p.
            with(0, 0, 0x80),
            with(1, 0, 0x80),
            with(0xec, 0xff, 0x7f),
            with(0xed, 0xff, 0x7f),
        ] {
            assert_noop!(
                Studies::create_study(
                    RuntimeOrigin::signed(CONSORTIUM),
                    SPONSOR,
                    StudyPolicy::DeviceSigned,
                    weak,
                    title("Insomnia"),
                ),
                Error::<Test>::WeakAuditorKey
            );
        }
    });
}

#[test]
fn no_number_is_given_twice_even_when_numbers_run_out() {
    let mut ext = ExtBuilder::default().build();
    // Without the check of the invariants: all studies below the last number are missing.
    ext.execute_with(|| {
        NextStudyId::<Test>::put(u32::MAX);
        assert_noop!(create(SPONSOR), Error::<Test>::NoStudyIdLeft);
    });
}

fn create(sponsor: u64) -> sp_runtime::DispatchResult {
    Studies::create_study(
        RuntimeOrigin::signed(CONSORTIUM),
        sponsor,
        StudyPolicy::DeviceSigned,
        AUDITOR_KEY,
        title("Insomnia"),
    )
}
