// SPDX-License-Identifier: Apache-2.0

use codec::Encode;
use frame_support::{assert_ok, dispatch::GetDispatchInfo, pallet_prelude::TransactionSource};
use pallet_client_hashchain::{DeviceId, HostSha256, LastTrusted, Run, SuspensionReason};
use sp_core::{ed25519, Pair, H256};
use sp_keyring::Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Eve, Ferdie};
use sp_runtime::{
    traits::{DispatchTransaction, TransactionExtension},
    transaction_validity::{
        InvalidTransaction::{self, Custom},
        TransactionPriority, TransactionValidityError, ValidTransaction,
    },
};

use super::{CheckRole, ACCOUNT_HAS_NO_ROLE, DEVICE_MAY_NOT_WRITE, DEVICE_MAY_ONLY_SUBMIT};
use crate::{
    testing::{development, signed, DAY_ONE},
    AccountId, ClientHashchain, Executive, Nonce, RuntimeCall, RuntimeOrigin, Studies, System,
    TxExtension,
};

fn remark() -> RuntimeCall {
    frame_system::Call::remark { remark: vec![] }.into()
}

fn batch() -> RuntimeCall {
    batch_of(&[])
}

/// One empty run of each of these devices.
fn batch_of(devices: &[DeviceId]) -> RuntimeCall {
    let runs: Vec<_> = devices.iter().map(|device| run_of(*device)).collect();
    pallet_client_hashchain::Call::submit_batch {
        runs: runs.try_into().expect("they are few"),
    }
    .into()
}

fn run_of(device: DeviceId) -> Run {
    Run {
        device,
        sequence: 1,
        previous: H256::zero(),
        entries: Default::default(),
        signature: None,
    }
}

fn validate(
    who: &AccountId,
    call: &RuntimeCall,
) -> Result<ValidTransaction, TransactionValidityError> {
    CheckRole
        .validate_only(
            RuntimeOrigin::signed(who.clone()),
            call,
            &call.get_dispatch_info(),
            0,
            TransactionSource::External,
            0,
        )
        .map(|(validity, ..)| validity)
}

fn prepare(who: &AccountId) -> Result<(), TransactionValidityError> {
    let call = remark();
    let origin = RuntimeOrigin::signed(who.clone());
    CheckRole.prepare((), &origin, &call, &call.get_dispatch_info(), 0)
}

fn refused(reason: u8) -> TransactionValidityError {
    Custom(reason).into()
}

/// What the whole pipeline says when the transaction reaches the pool.
fn pool(who: Sr25519Keyring, nonce: Nonce) -> Result<ValidTransaction, TransactionValidityError> {
    Executive::validate_transaction(
        TransactionSource::External,
        signed(who, nonce, remark()),
        System::block_hash(0),
    )
}

/// What the whole pipeline says when a block contains the transaction.
fn block(who: Sr25519Keyring, nonce: Nonce) -> Result<(), TransactionValidityError> {
    let outcome = Executive::apply_extrinsic(signed(who, nonce, remark()))?;
    assert_ok!(outcome);
    Ok(())
}

/// Enrols the device of this seed in study 0; it gets number 0.
fn enrol(seed: u8) -> AccountId {
    let pair = ed25519::Pair::from_seed(&[seed; 32]);
    let (key, commitment, escrow) = (pair.public().0, [1; 32], vec![2; 81]);
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &System::block_hash(0).0,
        study: hashchain::StudyId(0),
        server: Charlie.to_account_id().as_ref(),
        device_key: &key,
        predecessor: None,
        secret_commitment: &commitment,
        escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&escrow),
    });
    assert_ok!(ClientHashchain::enrol(
        RuntimeOrigin::signed(Charlie.to_account_id()),
        0,
        key,
        H256(commitment),
        escrow.try_into().expect("it is short"),
        None,
        pair.sign(&message).0,
    ));
    key.into()
}

#[test]
fn an_account_without_a_role_is_refused_by_the_pool_and_in_a_block() {
    development().execute_with(|| {
        assert_eq!(pool(Ferdie, 0), Err(refused(ACCOUNT_HAS_NO_ROLE)));
        assert_eq!(block(Ferdie, 0), Err(refused(ACCOUNT_HAS_NO_ROLE)));
    });
}

#[test]
fn the_check_is_made_again_before_dispatch() {
    development().execute_with(|| {
        assert_ok!(prepare(&Dave.to_account_id()));
        assert_eq!(
            prepare(&Ferdie.to_account_id()),
            Err(refused(ACCOUNT_HAS_NO_ROLE))
        );
    });
}

#[test]
fn members_sponsors_authentication_servers_and_relays_pass() {
    development().execute_with(|| {
        for who in [Alice, Bob, Charlie, Dave, Eve] {
            assert_ok!(pool(who, 0));
            assert_ok!(block(who, 0));
        }
    });
}

#[test]
fn a_device_passes_as_long_as_it_may_write() {
    development().execute_with(|| {
        let device = enrol(1);
        assert_ok!(validate(&device, &batch()));

        let server = RuntimeOrigin::signed(Charlie.to_account_id());
        assert_ok!(ClientHashchain::suspend(
            server.clone(),
            0,
            SuspensionReason::Lost
        ));
        assert_eq!(
            validate(&device, &batch()),
            Err(refused(DEVICE_MAY_NOT_WRITE))
        );
        assert_eq!(prepare(&device), Err(refused(DEVICE_MAY_NOT_WRITE)));

        assert_ok!(ClientHashchain::resume(server.clone(), 0));
        assert_ok!(validate(&device, &batch()));

        assert_ok!(ClientHashchain::retire(server, 0, LastTrusted::Latest));
        assert_eq!(
            validate(&device, &batch()),
            Err(refused(DEVICE_MAY_NOT_WRITE))
        );
    });
}

#[test]
fn a_device_sends_runs_of_its_own_and_nothing_else() {
    development().execute_with(|| {
        let first = enrol(1);
        enrol(2);
        let submit = |device| pallet_client_hashchain::Call::submit {
            run: run_of(device),
        };
        let wrapped = pallet_utility::Call::batch {
            calls: vec![submit(0).into()],
        };
        let foreign = Err(refused(DEVICE_MAY_ONLY_SUBMIT));

        assert_ok!(validate(&first, &submit(0).into()));
        assert_ok!(validate(&first, &batch_of(&[0, 0])));
        assert_eq!(validate(&first, &submit(1).into()), foreign);
        assert_eq!(validate(&first, &batch_of(&[0, 1])), foreign);
        assert_eq!(validate(&first, &remark()), foreign);
        assert_eq!(validate(&first, &wrapped.into()), foreign);
        assert_eq!(prepare(&first), Err(refused(DEVICE_MAY_ONLY_SUBMIT)));

        // With another role, its account may do whatever that role may.
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        assert_ok!(Studies::add_relay(sponsor, 0, first.clone()));
        assert_ok!(validate(&first, &batch_of(&[0, 1])));
    });
}

#[test]
fn a_suspended_device_with_another_role_passes() {
    development().execute_with(|| {
        let device = enrol(1);
        let server = RuntimeOrigin::signed(Charlie.to_account_id());
        assert_ok!(ClientHashchain::suspend(server, 0, SuspensionReason::Lost));
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        assert_ok!(Studies::add_relay(sponsor, 0, device.clone()));
        assert_ok!(validate(&device, &batch()));
    });
}

#[test]
fn an_account_that_lost_its_role_is_refused_and_keeps_its_nonce_for_the_next() {
    development().execute_with(|| {
        let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
        assert_ok!(block(Dave, 0));

        for study in [0, 1] {
            assert_ok!(Studies::remove_relay(
                sponsor.clone(),
                study,
                Dave.to_account_id()
            ));
        }
        assert_eq!(pool(Dave, 1), Err(refused(ACCOUNT_HAS_NO_ROLE)));
        assert_eq!(block(Dave, 1), Err(refused(ACCOUNT_HAS_NO_ROLE)));

        assert_ok!(Studies::add_relay(sponsor, 0, Dave.to_account_id()));
        assert_eq!(block(Dave, 0), Err(InvalidTransaction::Stale.into()));
        assert_ok!(block(Dave, 1));
    });
}

#[test]
fn decisions_go_before_studies_and_studies_before_data() {
    development().execute_with(|| {
        let who = Dave.to_account_id();
        let lane = |call: RuntimeCall| {
            let priority = validate(&who, &call).expect("Dave is a relay").priority;
            priority >> 32
        };
        let suspend = pallet_client_hashchain::Call::suspend {
            device: 0,
            reason: SuspensionReason::Lost,
        };
        let close = pallet_studies::Call::close_study { study: 0 };
        let dismiss = pallet_consortium::Call::remove_validator {
            validator: who.clone(),
        };
        let several = pallet_utility::Call::batch {
            calls: vec![remark()],
        };
        assert_eq!(lane(batch()), 0);
        assert_eq!(lane(several.into()), 0);
        assert_eq!(lane(suspend.into()), 1);
        assert_eq!(lane(close.into()), 1);
        assert_eq!(lane(dismiss.into()), 2);
    });
}

#[test]
fn a_transaction_can_replace_one_from_an_earlier_block() {
    development().execute_with(|| {
        let who = Dave.to_account_id();
        let priority = || -> TransactionPriority {
            validate(&who, &batch()).expect("Dave is a relay").priority
        };
        let earlier = priority();
        System::set_block_number(DAY_ONE + 1);
        assert!(priority() > earlier);
    });
}

#[test]
fn the_pool_keeps_a_transaction_for_64_blocks() {
    development().execute_with(|| {
        let validity = pool(Dave, 0).expect("Dave is a relay");
        assert_eq!(validity.longevity, 64);
    });
}

#[test]
fn the_extension_takes_no_byte_of_a_transaction() {
    assert!(CheckRole.encode().is_empty());
    // What is signed beside the transaction is nothing, by its type.
    let () = CheckRole.implicit().expect("it has none");
    let names: Vec<_> = <TxExtension as TransactionExtension<RuntimeCall>>::metadata()
        .into_iter()
        .map(|extension| extension.identifier)
        .collect();
    assert_eq!(names[0], "CheckRole");
}
