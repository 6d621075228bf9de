// SPDX-License-Identifier: Apache-2.0

//! Rival histories of devices that may not write, and the places that their evidence has.

use crate::{
    mock::*, Conflicts, DeviceStatus, Error, Event, LastTrusted, RefusalReason, Run,
    SuspensionReason,
};
use frame_support::{assert_noop, assert_ok};

fn status(device: u32) -> DeviceStatus {
    HashchainPallet::head_of(device).expect("enrolled").status
}

/// A phone with two entries, and a copy of it that has the first alone.
fn forked(study: u32) -> (Phone, Phone) {
    let mut phone = Phone::enrolled(study, 1);
    phone.registered(1);
    let copy = phone.clone();
    phone.registered(1);
    (phone, copy)
}

fn close(study: u32) {
    assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), study));
}

#[docify::export]
#[test]
fn a_signed_fork_of_a_suspended_device_is_kept_and_nobody_resumes_it() {
    run(|| {
        let (phone, mut copy) = forked(SIGNED);
        assert_ok!(suspend(phone.id));
        let events = submit_batch(RELAY, vec![copy.run(1, 66)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::DeviceSuspended)]);
        assert!(Conflicts::<Test>::get(phone.id).stored[0].signed);
        assert_eq!(
            status(phone.id),
            DeviceStatus::Suspended(SuspensionReason::Fork)
        );
        assert_noop!(
            ClientHashchain::resume(RuntimeOrigin::signed(SPONSOR), phone.id),
            Error::<Test>::ForkedDeviceCannotResume
        );
    });
}

#[test]
fn a_signed_fork_in_a_closed_study_is_kept_and_suspends_the_device() {
    run(|| {
        let (phone, mut copy) = forked(SIGNED);
        close(SIGNED);
        let events = submit_batch(RELAY, vec![copy.run(1, 66)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::StudyClosed)]);
        assert_eq!(Conflicts::<Test>::get(phone.id).stored.len(), 1);
        assert_eq!(
            status(phone.id),
            DeviceStatus::Suspended(SuspensionReason::Fork)
        );
    });
}

#[test]
fn a_signed_fork_of_a_retired_device_is_kept_and_the_device_stays_retired() {
    run(|| {
        let (phone, mut copy) = forked(SIGNED);
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        let events = submit_batch(RELAY, vec![copy.run(1, 66)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::DeviceRetired)]);
        assert_eq!(Conflicts::<Test>::get(phone.id).stored.len(), 1);
        assert_eq!(status(phone.id), DeviceStatus::Retired);
    });
}

#[test]
fn a_second_fork_is_kept_and_the_device_is_not_reported_suspended_again() {
    run(|| {
        let (phone, copy) = forked(SIGNED);
        submit_batch(RELAY, vec![copy.clone().run(1, 66)]);
        let events = submit_batch(RELAY, vec![copy.clone().run(1, 67)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::DeviceSuspended)]);
        assert_eq!(Conflicts::<Test>::get(phone.id).stored.len(), 2);
        let again = |event: &Event<Test>| matches!(event, Event::DeviceSuspended { .. });
        assert!(!events.iter().any(again));
    });
}

/// Nothing that is registered there need be signed, so a signed rival is no proof against the device: a relay may have been
/// first with a forgery. It is what the phone has to say, and it is kept.
#[test]
fn under_the_papers_policy_the_phones_late_run_is_kept_and_its_status_stays() {
    let cases: [fn(u32); 3] = [
        |_| close(PAPER),
        |device| suspend(device).expect("active"),
        |device| retire(device, LastTrusted::Latest).expect("active"),
    ];
    for shut in cases {
        run(|| {
            let (phone, mut copy) = forked(PAPER);
            shut(phone.id);
            let before = status(phone.id);
            submit_batch(RELAY, vec![copy.run(1, 66)]);
            assert!(Conflicts::<Test>::get(phone.id).stored[0].signed);
            assert_eq!(status(phone.id), before);
        });
    }
}

#[test]
fn an_unsigned_rival_of_a_device_that_may_not_write_leaves_nothing() {
    for study in [PAPER, SIGNED] {
        run(|| {
            let (phone, mut copy) = forked(study);
            assert_ok!(suspend(phone.id));
            let mut rival = copy.run(1, 66);
            rival.signature = None;
            submit_batch(RELAY, vec![rival.clone()]);
            rival.signature = Some([6; 64]);
            submit_batch(RELAY, vec![rival]);
            assert!(Conflicts::<Test>::get(phone.id).stored.is_empty());
            assert_eq!(
                status(phone.id),
                DeviceStatus::Suspended(SuspensionReason::Lost)
            );
        });
    }
}

/// A rival of the copy, signed or not.
fn rival(copy: &Phone, salt: u8, signed: bool) -> Run {
    let mut rival = copy.clone().run(1, salt);
    rival.signature = rival.signature.filter(|_| signed);
    rival
}

/// How many rivals of a device are stored, and how many are not.
fn places(device: u32) -> (usize, u32) {
    let conflicts = Conflicts::<Test>::get(device);
    (conflicts.stored.len(), conflicts.not_stored)
}

/// The last word on whether evidence was stored, and on how many rivals are not.
fn reported(events: &[Event<Test>]) -> Option<(bool, u32)> {
    events.iter().rev().find_map(|event| match event {
        Event::ConflictRecorded {
            stored, not_stored, ..
        } => Some((*stored, *not_stored)),
        _ => None,
    })
}

#[docify::export]
#[test]
fn unsigned_rivals_leave_the_signed_ones_their_places() {
    run(|| {
        let (phone, copy) = forked(PAPER);
        // A relay has one place, ...
        submit_batch(RELAY, vec![rival(&copy, 1, false), rival(&copy, 2, false)]);
        assert_eq!(places(phone.id), (1, 1));
        // ... two of them fill what is there for unsigned rivals, ...
        submit_batch(SECOND_RELAY, vec![rival(&copy, 3, false)]);
        submit_batch(THIRD_RELAY, vec![rival(&copy, 4, false)]);
        assert_eq!(places(phone.id), (2, 2));
        // ... and what the phone signed has a place all the same.
        let events = submit_batch(RELAY, vec![rival(&copy, 5, true)]);
        assert_eq!(reported(&events), Some((true, 2)));
        assert!(Conflicts::<Test>::get(phone.id).stored[2].signed);
    });
}

#[test]
fn evidence_is_stored_once_and_what_has_no_place_is_counted() {
    run(|| {
        let (phone, copy) = forked(PAPER);
        for salt in 1..=4 {
            submit_batch(RELAY, vec![rival(&copy, salt, true)]);
            let again = submit_batch(SECOND_RELAY, vec![rival(&copy, salt, true)]);
            assert_eq!(reported(&again), Some((false, 0)));
        }
        assert_eq!(places(phone.id), (4, 0));
        let events = submit_batch(RELAY, vec![rival(&copy, 5, true)]);
        assert_eq!(reported(&events), Some((false, 1)));
        assert_eq!(places(phone.id), (4, 1));
    });
}

/// A relay that takes the signature off a run on its way does not keep the signed run from being stored.
#[test]
fn a_rival_that_came_unsigned_first_is_stored_with_its_signature_too() {
    run(|| {
        let (phone, copy) = forked(PAPER);
        submit_batch(RELAY, vec![rival(&copy, 1, false)]);
        let events = submit_batch(SECOND_RELAY, vec![rival(&copy, 1, true)]);
        assert_eq!(reported(&events), Some((true, 0)));
        let unsigned_again = submit_batch(THIRD_RELAY, vec![rival(&copy, 1, false)]);
        assert_eq!(reported(&unsigned_again), Some((false, 0)));
        assert_eq!(places(phone.id), (2, 0));
    });
}
