// SPDX-License-Identifier: Apache-2.0

//! Reports that nobody signed.

#![allow(deprecated, reason = "what the pool asks of the pallets")]

use frame_support::{assert_err, assert_ok};
use sp_runtime::{
    traits::{Dispatchable, ValidateUnsigned},
    transaction_validity::{
        InvalidTransaction, TransactionSource, TransactionValidity, TransactionValidityError,
    },
};

use super::recorded;
use crate::{mock::*, Call, KnownOwner};

const STALE: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::Stale);
const BAD_PROOF: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::BadProof);

fn two_blocks(number: u64) -> Call<Test> {
    Call::report_block_equivocation {
        first: sealed(ALICE, number, FIRST_SLOT, 1),
        second: sealed(ALICE, number, FIRST_SLOT, 2),
    }
}

fn blocks_validity(source: TransactionSource, call: &Call<Test>) -> TransactionValidity {
    Accountability::validate_unsigned(source, call)
}

fn votes(round: u64) -> pallet_grandpa::Call<Test> {
    pallet_grandpa::Call::report_equivocation_unsigned {
        equivocation_proof: Box::new(two_votes(BOB, 0, round, 1, 2)),
        key_owner_proof: KnownOwner,
    }
}

#[test]
fn a_node_puts_two_blocks_into_its_own_block_without_a_signature_and_once() {
    on_chain(|| {
        let call = two_blocks(1);
        let valid = blocks_validity(TransactionSource::Local, &call).expect("it may");
        assert!(!valid.propagate);
        // Another proof of the same has the same place in the pool.
        let same = blocks_validity(TransactionSource::Local, &two_blocks(2)).expect("it may");
        assert_eq!(valid.provides, same.provides);
        assert_ok!(Accountability::pre_dispatch(&call));

        let nobody = RuntimeOrigin::none();
        assert_ok!(RuntimeCall::from(call.clone()).dispatch(nobody));
        assert_eq!(recorded(ALICE).len(), 1);
        assert_err!(blocks_validity(TransactionSource::Local, &call), STALE);
        assert_err!(Accountability::pre_dispatch(&two_blocks(2)), STALE);
    });
}

#[test]
fn strangers_bring_nothing_without_a_signature() {
    on_chain(|| {
        let source = TransactionSource::External;
        assert_err!(
            blocks_validity(source, &two_blocks(1)),
            InvalidTransaction::Call
        );
        let votes = Grandpa::validate_unsigned(source, &votes(1));
        assert_err!(votes, InvalidTransaction::Call);
    });
}

#[test]
fn what_proves_nothing_gets_into_no_block() {
    on_chain(|| {
        let call = Call::report_block_equivocation {
            first: sealed(ALICE, 1, FIRST_SLOT, 1),
            second: sealed(BOB, 1, FIRST_SLOT, 2),
        };
        assert_err!(blocks_validity(TransactionSource::Local, &call), BAD_PROOF);
        assert_err!(Accountability::pre_dispatch(&call), BAD_PROOF);
        let call = pallet_grandpa::Call::report_equivocation_unsigned {
            equivocation_proof: Box::new(two_votes(EVE, 0, 1, 1, 2)),
            key_owner_proof: KnownOwner,
        };
        assert_err!(
            Grandpa::validate_unsigned(TransactionSource::Local, &call),
            BAD_PROOF
        );
        assert_err!(Grandpa::pre_dispatch(&call), BAD_PROOF);
    });
}

#[test]
fn a_node_reports_two_votes_without_a_signature_and_once() {
    on_chain(|| {
        assert_ok!(Grandpa::validate_unsigned(
            TransactionSource::Local,
            &votes(1)
        ));
        let proof = Box::new(two_votes(BOB, 0, 1, 1, 2));
        assert_ok!(Grandpa::report_equivocation_unsigned(
            RuntimeOrigin::none(),
            proof,
            KnownOwner
        ));
        assert_eq!(recorded(BOB).len(), 1);
        for round in [1, 2] {
            let again = Grandpa::validate_unsigned(TransactionSource::Local, &votes(round));
            assert_err!(again, STALE);
        }
    });
}
