// SPDX-License-Identifier: Apache-2.0

//! What cannot be undone waits when an authentication server asks for it.

use crate::{mock::*, DeviceStatus, Devices, Error, Event, LastTrusted, SuspensionReason};
use frame_support::{assert_noop, assert_ok};
use pallet_client_hashchain_runtime_api::DeviceState;
use sp_core::{ed25519, Pair};
use sp_runtime::{AccountId32, DispatchResult};

fn by(who: AccountId32) -> RuntimeOrigin {
    RuntimeOrigin::signed(who)
}

/// An authentication server asks to retire a device.
fn ask(device: u32) -> DispatchResult {
    ClientHashchain::retire(by(AUTHENTICATION_SERVER), device, LastTrusted::Latest)
}

fn veto(who: AccountId32, device: u32) -> DispatchResult {
    ClientHashchain::veto_retirement(by(who), device)
}

fn state(device: u32) -> DeviceState {
    HashchainPallet::device_view(device)
        .expect("enrolled")
        .state
}

/// The block from which on a retirement holds that is asked for in block 1.
const HOLDS: u64 = 1 + RETIREMENT_DELAY;

#[test]
fn a_server_suspends_the_device_at_once_and_retires_it_after_the_delay() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        System::reset_events();
        assert_ok!(ask(phone.id));
        assert_eq!(
            events(),
            [
                Event::DeviceSuspended {
                    device: phone.id,
                    reason: SuspensionReason::Administrative,
                },
                Event::RetirementPending {
                    device: phone.id,
                    retires_at: HOLDS,
                },
            ]
        );
        assert!(submit(RELAY, phone.clone().run(1, 0)).is_err());
        System::set_block_number(HOLDS - 1);
        let view = HashchainPallet::device_view(phone.id).expect("enrolled");
        assert_eq!(view.state, DeviceState::Suspended);
        assert_eq!(view.retires_at, Some(HOLDS as u32));
        assert_noop!(
            enrol(SIGNED, &ed25519::Pair::from_seed(&[9; 32]), Some(phone.id)),
            Error::<Test>::RetirementPending
        );

        // Nobody has to do anything for it to hold.
        System::set_block_number(HOLDS);
        let view = HashchainPallet::device_view(phone.id).expect("enrolled");
        assert_eq!(view.state, DeviceState::Retired);
        assert_eq!((view.trusted_length, view.retires_at), (Some(2), None));
        assert_noop!(
            ClientHashchain::resume(by(SPONSOR), phone.id),
            Error::<Test>::NotSuspended
        );
        assert_noop!(veto(SPONSOR, phone.id), Error::<Test>::NoRetirementPending);
    });
}

#[test]
fn a_successor_writes_down_that_its_predecessor_is_retired() {
    run(|| {
        let mut old = Phone::enrolled(SIGNED, 1);
        old.registered(2);
        assert_ok!(ask(old.id));
        System::set_block_number(HOLDS);
        System::reset_events();
        let new = Phone::succeeding(SIGNED, 2, Some(old.id));
        assert!(matches!(
            events()[..],
            [
                Event::DeviceRetired {
                    device: 0,
                    trusted_length: 2,
                    ..
                },
                Event::DeviceEnrolled { .. }
            ]
        ));
        let record = Devices::<Test>::get(old.id).expect("enrolled");
        assert_eq!(record.successor, Some(new.id));
        assert_eq!(record.trusted.map(|trusted| trusted.hash), Some(old.head));
        let head = HashchainPallet::head_of(old.id).expect("enrolled");
        assert_eq!(head.status, DeviceStatus::Retired);
    });
}

#[test]
fn the_server_that_asks_again_is_told_to_wait_and_later_has_it_written_down() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_ok!(ask(phone.id));
        assert_noop!(ask(phone.id), Error::<Test>::RetirementPending);
        System::set_block_number(HOLDS);
        assert_noop!(
            retire(phone.id, LastTrusted::Nothing),
            Error::<Test>::DeviceRetired
        );
        assert_ok!(ask(phone.id));
        let head = HashchainPallet::head_of(phone.id).expect("enrolled");
        assert_eq!(head.status, DeviceStatus::Retired);
        assert_noop!(ask(phone.id), Error::<Test>::DeviceRetired);
    });
}

#[docify::export]
#[test]
fn the_sponsor_vetoes_a_retirement_and_the_device_goes_on() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        assert_ok!(ask(phone.id));
        assert_ok!(veto(SPONSOR, phone.id));
        System::set_block_number(HOLDS);
        assert_eq!(state(phone.id), DeviceState::Suspended);
        assert_ok!(ClientHashchain::resume(by(SPONSOR), phone.id));
        phone.registered(1);
    });
}

#[test]
fn only_the_sponsor_vetoes_and_only_what_is_pending() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_noop!(veto(SPONSOR, phone.id), Error::<Test>::NoRetirementPending);
        assert_ok!(ask(phone.id));
        assert_noop!(
            veto(AUTHENTICATION_SERVER, phone.id),
            Error::<Test>::OnlyTheSponsor
        );
        assert_noop!(veto(RELAY, phone.id), Error::<Test>::NotTheStudysOffice);
        assert_noop!(veto(SPONSOR, 77), Error::<Test>::UnknownDevice);
    });
}

#[test]
fn while_a_retirement_is_pending_nobody_resumes_the_device() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_ok!(ask(phone.id));
        for who in [AUTHENTICATION_SERVER, SPONSOR] {
            assert_noop!(
                ClientHashchain::resume(by(who), phone.id),
                Error::<Test>::RetirementPending
            );
        }
    });
}

#[test]
fn a_server_cannot_say_that_entries_are_not_trusted() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(1);
        for last_trusted in [LastTrusted::Nothing, LastTrusted::Entry(0)] {
            assert_noop!(
                ClientHashchain::retire(by(AUTHENTICATION_SERVER), phone.id, last_trusted),
                Error::<Test>::OnlyTheSponsor
            );
        }
    });
}

#[test]
fn the_sponsor_retires_at_once_what_a_server_asked_to_retire() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(1);
        assert_ok!(ask(phone.id));
        assert_ok!(retire(phone.id, LastTrusted::Nothing));
        assert_eq!(state(phone.id), DeviceState::Retired);
        let record = Devices::<Test>::get(phone.id).expect("enrolled");
        assert_eq!(record.trusted.map(|trusted| trusted.length), Some(0));
        assert_eq!(record.retires_at, None);
    });
}

#[test]
fn a_fork_that_comes_while_a_retirement_is_pending_is_kept_and_the_device_retires() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let rival = phone.clone().run(1, 66);
        phone.registered(1);
        assert_ok!(suspend(phone.id));
        assert_ok!(ask(phone.id));
        submit_batch(RELAY, vec![rival]);
        let head = HashchainPallet::head_of(phone.id).expect("enrolled");
        let forked = DeviceStatus::Suspended(SuspensionReason::Fork);
        assert_eq!(head.status, forked);
        System::set_block_number(HOLDS);
        assert_eq!(state(phone.id), DeviceState::Retired);
    });
}

#[test]
fn a_chain_that_says_nothing_else_has_a_delay_of_a_day() {
    let day = crate::GenesisConfig::<Test>::default().retirement_delay;
    assert_eq!(day, 24 * 60 * 60 / 2);
}
