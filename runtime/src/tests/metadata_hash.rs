// SPDX-License-Identifier: Apache-2.0

//! A hardware wallet signs a digest of the metadata with the call, so that what it shows is what the chain does (RFC 78). That the
//! digest of a released runtime is the one that wallets compute, `scripts/test hardware-wallets` finds out.

use codec::{Decode, Encode};
use frame_metadata_hash_extension::CheckMetadataHash;
use frame_support::{assert_ok, dispatch::GetDispatchInfo, pallet_prelude::TransactionSource};
use frame_system::ChainContext;
use sp_keyring::Sr25519Keyring::Bob;
use sp_runtime::{
    generic::SignedPayload,
    traits::{Applyable, Checkable},
    transaction_validity::{InvalidTransaction, TransactionValidityError, UnknownTransaction},
};

use crate::{
    admission::Unsigned,
    testing::{development, extension},
    Executive, Runtime, RuntimeCall, System, UncheckedExtrinsic,
};

const DIGEST: [u8; 32] = [7; 32];
const ANOTHER: [u8; 32] = [8; 32];

/// Bob closes his study. His wallet signed for one digest, and the runtime has another, or the same.
fn transaction(wallets: [u8; 32], runtimes: [u8; 32]) -> UncheckedExtrinsic {
    let call: RuntimeCall = pallet_studies::Call::close_study { study: 0 }.into();
    let with = |digest| {
        let mut extension = extension(0);
        extension.7 = CheckMetadataHash::new_with_custom_hash(digest);
        extension
    };
    let payload = SignedPayload::new(call.clone(), with(wallets)).expect("nothing is missing");
    let signature = payload.using_encoded(|payload| Bob.sign(payload));
    UncheckedExtrinsic::new_signed(
        call,
        Bob.to_account_id().into(),
        signature.into(),
        with(runtimes),
    )
}

/// What the executive does in the pool and in a block, but for one thing: it encodes and decodes what comes. The runtime's digest is not
/// among a transaction's bytes, so the one of a test would be lost.
fn apply(transaction: UncheckedExtrinsic) -> Result<(), TransactionValidityError> {
    let length = transaction.encoded_size();
    let checked = transaction.check(&ChainContext::<Runtime>::default())?;
    let info = checked.get_dispatch_info();
    checked.validate::<Unsigned>(TransactionSource::External, &info, length)?;
    let outcome = checked.apply::<Unsigned>(&info, length)?;
    assert_ok!(outcome);
    Ok(())
}

#[test]
fn what_was_signed_for_this_runtimes_metadata_is_taken() {
    development().execute_with(|| {
        assert_ok!(apply(transaction(DIGEST, DIGEST)));
        let study = pallet_studies::Studies::<Runtime>::get(0).expect("it is there");
        assert_eq!(study.status, pallet_studies::StudyStatus::Closed);
    });
}

#[test]
fn what_was_signed_for_other_metadata_is_refused() {
    development().execute_with(|| {
        let bad_proof = TransactionValidityError::from(InvalidTransaction::BadProof);
        assert_eq!(apply(transaction(ANOTHER, DIGEST)), Err(bad_proof));
    });
}

#[test]
fn a_runtime_without_a_digest_says_that_it_has_none() {
    development().execute_with(|| {
        let bytes = transaction(DIGEST, DIGEST).encode();
        // As it comes over the network: what it is checked against is the runtime's own.
        let transaction = UncheckedExtrinsic::decode(&mut &bytes[..]).expect("it was encoded");
        let none = TransactionValidityError::from(UnknownTransaction::CannotLookup);
        let source = TransactionSource::External;
        let outcome = Executive::validate_transaction(source, transaction, System::block_hash(0));
        assert_eq!(outcome, Err(none));
    });
}
