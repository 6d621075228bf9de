// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, DeviceStatus, Devices, Error, Event, LastTrusted, SuspensionReason};
use frame_support::{assert_noop, assert_ok};
use sp_core::H256;

fn resume(device: u32) -> sp_runtime::DispatchResult {
    ClientHashchain::resume(RuntimeOrigin::signed(AUTHENTICATION_SERVER), device)
}

#[test]
fn a_suspended_device_goes_on_where_it_was_after_it_is_resumed() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        assert_ok!(suspend(phone.id));
        assert!(!HashchainPallet::has_role(&phone.account()));
        assert_ok!(resume(phone.id));
        assert!(HashchainPallet::has_role(&phone.account()));
        phone.registered(1);
    });
}

#[test]
fn only_the_studys_office_changes_the_status_of_a_device() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        let by = RuntimeOrigin::signed;
        for stranger in [RELAY, FOREIGN_RELAY, phone.account()] {
            assert_noop!(
                ClientHashchain::suspend(by(stranger.clone()), phone.id, SuspensionReason::Lost),
                Error::<Test>::NotTheStudysOffice
            );
            assert_noop!(
                ClientHashchain::resume(by(stranger.clone()), phone.id),
                Error::<Test>::NotTheStudysOffice
            );
            assert_noop!(
                ClientHashchain::retire(by(stranger), phone.id, LastTrusted::Latest),
                Error::<Test>::NotTheStudysOffice
            );
        }
    });
}

#[test]
fn a_status_changes_only_from_the_one_it_is_in() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_noop!(resume(phone.id), Error::<Test>::NotSuspended);
        assert_ok!(suspend(phone.id));
        assert_noop!(suspend(phone.id), Error::<Test>::NotActive);
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        assert_noop!(resume(phone.id), Error::<Test>::NotSuspended);
        assert_noop!(suspend(phone.id), Error::<Test>::NotActive);
        assert_noop!(
            retire(phone.id, LastTrusted::Latest),
            Error::<Test>::DeviceRetired
        );
        for result in [suspend(77), resume(77), retire(77, LastTrusted::Latest)] {
            assert_eq!(result, Err(Error::<Test>::UnknownDevice.into()));
        }
    });
}

#[test]
fn only_the_chain_suspends_for_a_fork_and_nobody_resumes_from_it() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        assert_noop!(
            ClientHashchain::suspend(
                RuntimeOrigin::signed(SPONSOR),
                phone.id,
                SuspensionReason::Fork
            ),
            Error::<Test>::ForkNeedsProof
        );
        let rival = phone.clone().run(1, 66);
        phone.registered(1);
        submit_batch(RELAY, vec![rival]);
        assert_noop!(resume(phone.id), Error::<Test>::ForkedDeviceCannotResume);
        assert_ok!(retire(phone.id, LastTrusted::Latest));
    });
}

#[test]
fn the_study_names_the_last_entry_that_it_trusts() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut other = Phone::enrolled(SIGNED, 2);
        other.registered(1);
        phone.registered(2);
        let trusted = phone.head;
        phone.registered(2);
        assert_noop!(
            retire(phone.id, LastTrusted::Entry(0)),
            Error::<Test>::NotAnEntryOfThisDevice
        );
        assert_noop!(
            retire(phone.id, LastTrusted::Entry(99)),
            Error::<Test>::NotAnEntryOfThisDevice
        );
        System::reset_events();
        assert_ok!(retire(phone.id, LastTrusted::Entry(2)));
        assert_eq!(
            events(),
            [Event::DeviceRetired {
                device: phone.id,
                trusted_length: 2,
                trusted_head: trusted,
            }]
        );
        let head = HashchainPallet::head_of(phone.id).expect("enrolled");
        assert_eq!(head.status, DeviceStatus::Retired);
        assert_eq!(head.length, 4, "nothing is deleted");
    });
}

#[test]
fn a_device_none_of_whose_entries_is_trusted_ends_at_link_zero() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let genesis = phone.head;
        phone.registered(2);
        assert_ok!(retire(phone.id, LastTrusted::Nothing));
        let trusted = Devices::<Test>::get(phone.id).and_then(|record| record.trusted);
        assert_eq!(
            trusted.map(|trusted| (trusted.length, trusted.hash)),
            Some((0, genesis))
        );
        assert_ne!(genesis, H256::zero());
    });
}

/// A server that was broken into does not take a whole study off the chain before somebody looks.
#[test]
fn a_server_changes_the_status_of_only_so_many_devices_in_a_window() {
    run(|| {
        let server = || RuntimeOrigin::signed(AUTHENTICATION_SERVER);
        let by_server = |device| ClientHashchain::suspend(server(), device, SuspensionReason::Lost);
        let seeds = 0..MAX_STATUS_CHANGES as u8 + 3;
        let phones: Vec<_> = seeds.map(|seed| Phone::enrolled(SIGNED, seed).id).collect();
        let (now, later) = phones.split_at(MAX_STATUS_CHANGES as usize);
        assert_ok!(by_server(now[0]));
        assert_ok!(resume(now[0]));
        for device in &now[..MAX_STATUS_CHANGES as usize - 2] {
            assert_ok!(ClientHashchain::retire(
                server(),
                *device,
                LastTrusted::Latest
            ));
        }
        let too_many = Error::<Test>::TooManyStatusChanges;
        assert_noop!(by_server(later[0]), too_many);
        // Another study's servers, and the sponsor, are not bound by it, ...
        let other = Phone::enrolled(PAPER, 99).id;
        assert_ok!(by_server(other));
        assert_ok!(suspend(later[0]));
        assert_noop!(resume(later[0]), Error::<Test>::TooManyStatusChanges);
        // ... and when the window is over there is another.
        System::set_block_number(STATUS_WINDOW.into());
        assert_ok!(resume(later[0]));
        assert_ok!(by_server(later[1]));
    });
}
