// SPDX-License-Identifier: Apache-2.0

//! Calls that nobody signs.

use frame_support::assert_ok;
use sp_keyring::Sr25519Keyring::Alice;
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};

use super::{block, pool, table::calls, undone, Sender};
use crate::{
    admission::unsigned::comes_unsigned,
    testing::{development, extension},
    Runtime, RuntimeCall, RuntimeOrigin, System, UncheckedExtrinsic,
};

const NO_CALL: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::Call);
const NO_ORIGIN: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::UnknownOrigin);
const OF_THE_AUTHOR: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::MandatoryValidation);

/// The refusal by a block, which is left as it was; none if the block takes the transaction, whatever becomes of the call.
fn refusal(transaction: UncheckedExtrinsic) -> Option<TransactionValidityError> {
    undone(|| block(transaction).err())
}

fn is_time(call: &RuntimeCall) -> bool {
    matches!(call, RuntimeCall::Timestamp(_))
}

/// Bare: as inherents and reports come. The pool is asked as by a neighbour of the node.
#[test]
fn without_a_signature_neighbours_bring_nothing_and_blocks_hold_reports_and_the_time() {
    development().execute_with(|| {
        let mut unsigned = 0;
        for call in calls() {
            let bare = UncheckedExtrinsic::new_bare(call.clone());
            let expected = match is_time(&call) {
                true => OF_THE_AUTHOR,
                false => NO_CALL,
            };
            assert_eq!(pool(bare.clone()), Err(expected), "{call:?}");
            if comes_unsigned(&call) {
                unsigned += 1;
                // Of zeros, no report is one.
                assert!(is_time(&call) || refusal(bare).is_some(), "{call:?}");
            } else {
                assert_eq!(refusal(bare), Some(NO_CALL), "{call:?}");
            }
        }
        assert_eq!(unsigned, 4);
    });
}

/// General: with extensions, of which one might stand for a signature. None does.
#[test]
fn extensions_stand_for_no_signature() {
    development().execute_with(|| {
        for call in calls() {
            let general = UncheckedExtrinsic::new_transaction(call.clone(), extension(0));
            let expected = match is_time(&call) {
                true => OF_THE_AUTHOR,
                false => NO_ORIGIN,
            };
            assert_eq!(pool(general.clone()), Err(expected), "{call:?}");
            assert_eq!(refusal(general), Some(NO_ORIGIN), "{call:?}");
        }
    });
}

/// `frame_system` would take it from anybody, before everything else that waits.
#[test]
fn an_authorised_runtime_is_brought_by_a_member_and_by_nobody_without_a_signature() {
    development().execute_with(|| {
        let code = vec![1; 1_000];
        let hash = BlakeTwo256::hash(&code);
        let root = RuntimeOrigin::root();
        assert_ok!(System::authorize_upgrade_without_checks(root, hash));
        let call: RuntimeCall =
            frame_system::Call::<Runtime>::apply_authorized_upgrade { code }.into();

        let bare = UncheckedExtrinsic::new_bare(call.clone());
        assert_eq!(pool(bare.clone()), Err(NO_CALL));
        assert_eq!(refusal(bare), Some(NO_CALL));
        let general = UncheckedExtrinsic::new_transaction(call.clone(), extension(0));
        assert_eq!(pool(general), Err(NO_ORIGIN));

        let signed = Sender::from(Alice).next(call);
        assert_ok!(pool(signed.clone()));
        assert_ok!(block(signed).expect("a member may"));
    });
}
