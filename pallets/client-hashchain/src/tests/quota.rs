// SPDX-License-Identifier: Apache-2.0

//! A study registers what it may, and a device its share.

use crate::{mock::*, Error, RefusalReason};
use frame_support::{assert_noop, assert_ok};
use pallet_studies::{Allowance, Amounts};
use sp_core::{ed25519, Pair};

type Studies = pallet_studies::Pallet<Test>;

/// Grants a study so many entries and bytes, and a device so many entries.
fn grant(entries: u64, bytes: u64, device_entries: u64) {
    let allowance = Allowance {
        study: Amounts {
            devices: 3,
            entries,
            bytes,
            admissions: 100,
        },
        device_entries,
    };
    assert_ok!(Studies::set_allowance(
        RuntimeOrigin::root(),
        SIGNED,
        allowance
    ));
}

#[test]
fn a_study_registers_as_many_entries_as_it_may_and_goes_on_when_it_is_granted_more() {
    run(|| {
        grant(5, u64::MAX, u64::MAX);
        let mut phones: Vec<_> = (0..3).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(2, 0)).collect();
        let events = submit_batch(RELAY, runs.clone());
        let used_up = [(2, RefusalReason::StudyAllowanceUsed)];
        assert_eq!(refusals(&events), used_up);
        assert_eq!(Studies::quota(SIGNED).used.entries, 4);
        let refused = submit(RELAY, runs[2].clone()).expect_err("the study has no entry left");
        assert_eq!(refused.error, Error::<Test>::StudyAllowanceUsed.into());

        // What is registered is still answered as such, and costs nothing more.
        let events = submit_batch(RELAY, runs.clone());
        assert_eq!(refusals(&events), used_up);
        assert_eq!(Studies::quota(SIGNED).used.entries, 4);

        grant(6, u64::MAX, u64::MAX);
        assert_ok!(submit(RELAY, runs[2].clone()));
        assert_eq!(Studies::quota(SIGNED).left().0, 0);
    });
}

#[test]
fn a_study_registers_as_many_bytes_as_it_may() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        // Device, sequence, previous, two counts, an entry, a signature.
        let one = 4 + 1 + 32 + 2 + 64 + 64;
        grant(u64::MAX, 2 * one, u64::MAX);
        let runs = (0..3).map(|_| phone.run(1, 0)).collect();
        let events = submit_batch(RELAY, runs);
        assert_eq!(refusals(&events), [(2, RefusalReason::StudyAllowanceUsed)]);
        assert_eq!(Studies::quota(SIGNED).used.bytes, 2 * one);
    });
}

#[test]
fn a_device_has_its_share_and_others_go_on() {
    run(|| {
        grant(u64::MAX, u64::MAX, 3);
        let mut flood = Phone::enrolled(SIGNED, 1);
        let mut other = Phone::enrolled(SIGNED, 2);
        let runs = vec![flood.run(3, 0), flood.run(1, 0), other.run(3, 0)];
        let events = submit_batch(RELAY, runs);
        assert_eq!(refusals(&events), [(1, RefusalReason::DeviceAllowanceUsed)]);
    });
}

#[test]
fn a_study_enrols_as_many_devices_as_it_may() {
    run(|| {
        grant(u64::MAX, u64::MAX, u64::MAX);
        for seed in 0..3 {
            Phone::enrolled(SIGNED, seed);
        }
        assert_noop!(
            enrol(SIGNED, &ed25519::Pair::from_seed(&[4; 32]), None),
            pallet_studies::Error::<Test>::NoDeviceLeft
        );
    });
}
