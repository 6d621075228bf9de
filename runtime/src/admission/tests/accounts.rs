// SPDX-License-Identifier: Apache-2.0

//! Accounts that may send, and those that may not.

use std::collections::BTreeSet;

use frame_support::assert_ok;
use pallet_admission::{Lane, Places, Rules};
use pallet_client_hashchain::{LastTrusted, SuspensionReason};
use scale_info::TypeInfo;
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Dave, Ferdie};
use sp_runtime::{
    traits::TransactionExtension, transaction_validity::InvalidTransaction,
    transaction_validity::TransactionLongevity,
};

use super::{batch_of, block, enrol, pool, refused, run_of, HashchainCall, Sender};
use crate::{
    admission::Admitted, testing::development, ClientHashchain, RuntimeCall, RuntimeOrigin,
    Studies, TxExtension, ACCOUNT_HAS_NO_ROLE, DEVICE_MAY_NOT_WRITE, DEVICE_MAY_ONLY_SUBMIT,
};

fn batch() -> RuntimeCall {
    batch_of(&[])
}

#[test]
fn an_account_without_a_role_is_refused_by_the_pool_and_in_a_block() {
    development().execute_with(|| {
        let stranger = Sender::from(Ferdie);
        let refusal = refused(ACCOUNT_HAS_NO_ROLE);
        assert_eq!(pool(stranger.next(batch())), Err(refusal));
        assert_eq!(block(stranger.next(batch())), Err(refusal));
    });
}

#[test]
fn a_device_passes_as_long_as_it_may_write() {
    development().execute_with(|| {
        let device = enrol(1);
        let server = RuntimeOrigin::signed(Charlie.to_account_id());
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        let refusal = refused(DEVICE_MAY_NOT_WRITE);
        assert_ok!(pool(device.next(batch())));

        let lost = SuspensionReason::Lost;
        assert_ok!(ClientHashchain::suspend(server.clone(), 0, lost));
        assert_eq!(pool(device.next(batch())), Err(refusal));
        assert_eq!(block(device.next(batch())), Err(refusal));

        assert_ok!(ClientHashchain::resume(server, 0));
        assert_ok!(pool(device.next(batch())));

        assert_ok!(ClientHashchain::retire(sponsor, 0, LastTrusted::Latest));
        assert_eq!(pool(device.next(batch())), Err(refusal));
        assert_eq!(block(device.next(batch())), Err(refusal));
    });
}

#[test]
fn a_device_sends_runs_of_its_own_and_nothing_else() {
    development().execute_with(|| {
        let first = enrol(1);
        enrol(2);
        let submit = |device| HashchainCall::submit {
            run: run_of(device),
        };
        let remark = frame_system::Call::remark { remark: vec![] };
        let foreign = Err(refused(DEVICE_MAY_ONLY_SUBMIT));

        assert_ok!(pool(first.next(submit(0))));
        assert_ok!(pool(first.next(batch_of(&[0, 0]))));
        assert_eq!(pool(first.next(submit(1))), foreign);
        assert_eq!(pool(first.next(batch_of(&[0, 1]))), foreign);
        assert_eq!(pool(first.next(remark.clone())), foreign);
        assert_eq!(
            block(first.next(remark)),
            Err(refused(DEVICE_MAY_ONLY_SUBMIT))
        );

        // As a relay its account brings those of others, too.
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        assert_ok!(Studies::add_relay(sponsor, 0, first.account()));
        assert_ok!(pool(first.next(batch_of(&[0, 1]))));
    });
}

#[test]
fn a_suspended_device_that_is_a_relay_passes_as_a_relay() {
    development().execute_with(|| {
        let device = enrol(1);
        let server = RuntimeOrigin::signed(Charlie.to_account_id());
        assert_ok!(ClientHashchain::suspend(server, 0, SuspensionReason::Lost));
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        assert_ok!(Studies::add_relay(sponsor, 0, device.account()));
        assert_ok!(pool(device.next(batch())));
    });
}

#[test]
fn an_account_that_lost_its_role_is_refused_and_keeps_its_nonce_for_the_next() {
    development().execute_with(|| {
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        let relay = Sender::from(Dave);
        assert_ok!(block(relay.signed(0, batch())));

        for study in [0, 1] {
            assert_ok!(Studies::remove_relay(
                sponsor.clone(),
                study,
                relay.account()
            ));
        }
        let refusal = refused(ACCOUNT_HAS_NO_ROLE);
        assert_eq!(pool(relay.signed(1, batch())), Err(refusal));
        assert_eq!(block(relay.signed(1, batch())), Err(refusal));

        assert_ok!(Studies::add_relay(sponsor, 0, relay.account()));
        let old = block(relay.signed(0, batch()));
        assert_eq!(old, Err(InvalidTransaction::Stale.into()));
        assert_ok!(block(relay.signed(1, batch())));
    });
}

#[test]
fn who_asks_whether_an_account_may_send_is_told_what_the_pool_would_say() {
    development().execute_with(|| {
        let device = enrol(1).account();
        assert!([Alice, Bob, Charlie, Dave]
            .iter()
            .all(|who| super::super::may_send(&who.to_account_id())));
        assert!(super::super::may_send(&device));
        assert!(!super::super::may_send(&Ferdie.to_account_id()));
    });
}

/// Its era alone ends a transaction, so that checking it again does not move it back in the queue.
#[test]
fn the_pool_keeps_a_transaction_as_long_as_its_era_lasts() {
    development().execute_with(|| {
        let immortal = pool(Sender::from(Dave).next(batch())).expect("Dave is a relay");
        assert!(immortal.longevity > TransactionLongevity::MAX / 2);
    });
}

/// Clients read from the metadata how many of their transactions may wait.
#[test]
fn an_account_has_one_of_the_places_that_clients_are_told_of_and_each_is_somebodys() {
    development().execute_with(|| {
        let Places {
            of_a_relay,
            of_a_device,
            behind_runs,
            of_a_server,
            of_others,
        } = Admitted::places();
        let told = [of_a_relay, of_a_device, behind_runs, of_a_server, of_others];
        let offices = [Alice, Bob, Charlie, Dave].map(Sender::from);
        let mut given = BTreeSet::new();
        for sender in offices.into_iter().chain([enrol(1)]) {
            for lane in Lane::ALL {
                given.insert(Admitted::waiting(&sender.account(), lane));
            }
        }
        assert_eq!(given, BTreeSet::from(told));
    });
}

#[test]
fn to_clients_the_extensions_are_those_of_other_chains() {
    let names: Vec<_> = <TxExtension as TransactionExtension<RuntimeCall>>::metadata()
        .into_iter()
        .map(|extension| extension.identifier)
        .collect();
    let usual = [
        "CheckNonZeroSender",
        "CheckSpecVersion",
        "CheckTxVersion",
        "CheckGenesis",
        "CheckMortality",
        "CheckNonce",
        "CheckWeight",
        "CheckMetadataHash",
    ];
    assert_eq!(names, usual);
    assert_eq!(
        pallet_admission::Admit::<crate::Runtime>::type_info(),
        frame_system::CheckNonce::<crate::Runtime>::type_info()
    );
}
