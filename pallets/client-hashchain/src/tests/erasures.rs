// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, ErasureReceipt, Erasures, Error, Event, LastTrusted};
use frame_support::{assert_noop, assert_ok};
use sp_core::H256;
use sp_runtime::{AccountId32, DispatchResult};

const RECEIPT: H256 = H256([0x5a; 32]);

fn erase(who: AccountId32, device: u32, receipt: H256) -> DispatchResult {
    ClientHashchain::erase(RuntimeOrigin::signed(who), device, receipt)
}

fn resume(device: u32) -> DispatchResult {
    ClientHashchain::resume(RuntimeOrigin::signed(SPONSOR), device)
}

#[docify::export]
#[test]
fn the_sponsor_writes_down_that_a_devices_data_were_erased_and_the_device_ends_with_it() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(3);
        assert_ok!(suspend(phone.id));
        System::reset_events();
        assert_ok!(erase(SPONSOR, phone.id, RECEIPT));
        let (device, receipt) = (phone.id, RECEIPT);
        assert_eq!(events(), [Event::DeviceErased { device, receipt }]);
        let expected = ErasureReceipt {
            receipt,
            submitter: SPONSOR,
            block: 1,
        };
        assert_eq!(Erasures::<Test>::get(device), Some(expected));
        assert_noop!(resume(device), Error::<Test>::DeviceErased);
        let head = HashchainPallet::head_of(device).expect("enrolled");
        assert_eq!(head.length, 3, "nothing is deleted");
    });
}

/// What a device could still register, no receipt may excuse.
#[test]
fn the_data_of_a_device_that_may_still_write_are_not_erased_on_record() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_noop!(
            erase(SPONSOR, phone.id, RECEIPT),
            Error::<Test>::StillActive
        );
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        assert_ok!(erase(SPONSOR, phone.id, RECEIPT));
    });
}

#[test]
fn nobody_but_the_studys_sponsor_writes_an_erasure_down() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_ok!(suspend(phone.id));
        assert_noop!(
            erase(AUTHENTICATION_SERVER, phone.id, RECEIPT),
            Error::<Test>::OnlyTheSponsor
        );
        for stranger in [RELAY, FOREIGN_RELAY, phone.account()] {
            assert_noop!(
                erase(stranger, phone.id, RECEIPT),
                Error::<Test>::NotTheStudysOffice
            );
        }
        assert_noop!(erase(SPONSOR, 77, RECEIPT), Error::<Test>::UnknownDevice);
    });
}

#[test]
fn a_receipt_is_written_once_and_never_changed() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert_ok!(suspend(phone.id));
        assert_ok!(erase(SPONSOR, phone.id, RECEIPT));
        for receipt in [RECEIPT, H256([1; 32])] {
            assert_noop!(
                erase(SPONSOR, phone.id, receipt),
                Error::<Test>::AlreadyErased
            );
        }
    });
}

/// A server's retirement that is pending, or that the sponsor ends, opens no way back.
#[test]
fn an_erased_device_stays_shut_whatever_becomes_of_its_retirement() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        let server = RuntimeOrigin::signed(AUTHENTICATION_SERVER);
        assert_ok!(ClientHashchain::retire(
            server,
            phone.id,
            LastTrusted::Latest
        ));
        assert_ok!(erase(SPONSOR, phone.id, RECEIPT));
        assert_ok!(ClientHashchain::veto_retirement(
            RuntimeOrigin::signed(SPONSOR),
            phone.id
        ));
        assert_noop!(resume(phone.id), Error::<Test>::DeviceErased);
    });
}
