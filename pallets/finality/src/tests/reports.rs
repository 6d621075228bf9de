// SPDX-License-Identifier: Apache-2.0

//! What nodes show the chain by themselves.

#![allow(deprecated, reason = "what the pool asks of the pallets")]

use frame_support::{assert_err, assert_noop, assert_ok};
use frame_system::RawOrigin::{None as Nobody, Root};
use sp_consensus_grandpa::SetId;
use sp_runtime::{
    traits::{Dispatchable, ValidateUnsigned},
    transaction_validity::{
        InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction,
    },
};

use super::{last_final, proof, report, Voters};
use crate::{mock::*, signing, Call, Error, LastFinal, LeastLag};

const STALE: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::Stale);
const BAD_PROOF: TransactionValidityError =
    TransactionValidityError::Invalid(InvalidTransaction::BadProof);

fn call(voters: &Voters, set: SetId, number: u64) -> Call<Test> {
    let proof = proof(voters, set, block_hash(number), number);
    Call::report_final { set, proof }
}

/// What a node with these voters' signatures under a block makes of it.
fn reported(voters: &Voters, set: SetId, number: u64) -> Option<Call<Test>> {
    let proof = signing::proof::<Test>(voters, set, block_hash(number), number);
    Finality::final_report(proof)
}

fn in_pool(
    source: TransactionSource,
    call: &Call<Test>,
) -> Result<ValidTransaction, TransactionValidityError> {
    Finality::validate_unsigned(source, call)
}

fn in_own_pool(call: &Call<Test>) -> Result<ValidTransaction, TransactionValidityError> {
    in_pool(TransactionSource::Local, call)
}

/// Has a block's author put it into its block.
fn put_in_block(call: Call<Test>) {
    assert_ok!(Finality::pre_dispatch(&call));
    assert_ok!(RuntimeCall::from(call).dispatch(Nobody.into()));
}

#[test]
fn a_node_shows_one_final_block_in_a_period_and_nobody_signs_for_it() {
    test(|| {
        let all = voters();
        go_to(REPORT_PERIOD + 2);
        assert_eq!(reported(&all, 0, REPORT_PERIOD - 1), None);
        let first = reported(&all, 0, REPORT_PERIOD).expect("it is due");
        assert_eq!(first, call(&all, 0, REPORT_PERIOD));
        let valid = in_own_pool(&first).expect("it is due");
        assert!(!valid.propagate);
        // Another block has the same place in the pool.
        let other = in_own_pool(&call(&all[1..], 0, REPORT_PERIOD + 1)).expect("it is due");
        assert_eq!(valid.provides, other.provides);
        put_in_block(first.clone());
        assert_eq!(last_final(), Some(REPORT_PERIOD));

        // Whoever has the same, or a little later block, has nothing to say for a period.
        go_to(2 * REPORT_PERIOD + 1);
        for number in [REPORT_PERIOD, 2 * REPORT_PERIOD - 1] {
            assert_eq!(reported(&all, 0, number), None);
            assert_err!(in_own_pool(&call(&all, 0, number)), STALE);
            assert_err!(Finality::pre_dispatch(&call(&all, 0, number)), STALE);
        }
        let next = reported(&all, 0, 2 * REPORT_PERIOD).expect("it is due");
        assert_ne!(
            in_own_pool(&next).expect("it is due").provides,
            valid.provides
        );
        put_in_block(next);
        assert_eq!(last_final(), Some(2 * REPORT_PERIOD));
    });
}

#[test]
fn when_nothing_becomes_final_any_more_the_last_final_block_is_shown_whatever_was_before() {
    test(|| {
        let all = voters();
        go_to(REPORT_PERIOD + 3);
        put_in_block(call(&all, 0, REPORT_PERIOD));
        let last = REPORT_PERIOD + 2;
        go_to(last + REPORT_PERIOD - 1);
        assert_eq!(reported(&all, 0, last), None);
        go_to(last + REPORT_PERIOD);
        put_in_block(reported(&all, 0, last).expect("finality stands still"));
        assert_eq!(last_final(), Some(last));
        // That is all there is to say, and the consortium's decision is about this block.
        assert_eq!(reported(&all, 0, last), None);
        go_to(last + LEAST_LAG);
        let older = Finality::note_stalled(Root.into(), REPORT_PERIOD);
        assert_noop!(older, Error::<Test>::AnotherLastFinal);
        assert_ok!(Finality::note_stalled(Root.into(), last));
    });
}

#[test]
fn while_nodes_show_what_is_final_no_decision_changes_the_authorities_by_force() {
    test(|| {
        let all = voters();
        for now in 2..=3 * LEAST_LAG {
            go_to(now);
            if let Some(call) = reported(&all, 0, now - 1) {
                put_in_block(call);
            }
            // Whoever knows best what the chain knows.
            let Some(last) = last_final() else { continue };
            let decided = Finality::note_stalled(Root.into(), last);
            assert_noop!(decided, Error::<Test>::NotStalled);
        }
    });
}

#[test]
fn a_chain_with_no_more_patience_than_a_period_is_for_trials() {
    test(|| {
        LeastLag::<Test>::put(REPORT_PERIOD);
        let all = voters();
        go_to(REPORT_PERIOD + 1);
        put_in_block(reported(&all, 0, REPORT_PERIOD).expect("it is due"));
        // Every block becomes final at once, and nodes do all that they do by themselves.
        for now in REPORT_PERIOD + 2..=2 * REPORT_PERIOD {
            go_to(now);
            assert_eq!(reported(&all, 0, now - 1), None);
        }
        assert_ok!(Finality::note_stalled(Root.into(), REPORT_PERIOD));
    });
}

#[test]
fn a_node_finds_the_set_that_signed() {
    test(|| {
        let first = voters();
        go_to(CHANGE + 10);
        let second = voters();
        let old = reported(&first, 0, CHANGE).expect("it was the first set's");
        assert_eq!(old, call(&first, 0, CHANGE));
        let new = reported(&second, 1, CHANGE + 1).expect("it is the second's");
        assert_eq!(new, call(&second, 1, CHANGE + 1));
        assert_eq!(reported(&first, 0, CHANGE + 1), None);
        assert_eq!(reported(&second, 1, CHANGE), None);
    });
}

#[test]
fn strangers_show_nothing_without_a_signature_and_nothing_else_is_shown_so() {
    test(|| {
        let all = voters();
        go_to(REPORT_PERIOD + 2);
        let due = call(&all, 0, REPORT_PERIOD);
        assert_err!(
            in_pool(TransactionSource::External, &due),
            InvalidTransaction::Call
        );
        assert_ok!(in_pool(TransactionSource::InBlock, &due));
        let decision = Call::note_stalled { last_final: 1 };
        for source in [TransactionSource::Local, TransactionSource::InBlock] {
            assert_err!(in_pool(source, &decision), InvalidTransaction::Call);
        }
        assert_err!(Finality::pre_dispatch(&decision), InvalidTransaction::Call);
    });
}

#[test]
fn what_proves_nothing_is_not_reported_and_changes_nothing_in_a_block() {
    test(|| {
        let all = voters();
        go_to(REPORT_PERIOD + 2);
        let number = REPORT_PERIOD;
        let strange = signing::proof::<Test>(&all, 0, sp_core::H256([7; 32]), number);
        for proof in [vec![], vec![1; 300], vec![0; 5_000], strange] {
            assert_eq!(Finality::final_report(proof), None);
        }
        assert_eq!(reported(&all[2..], 0, number), None);
        assert_eq!(reported(&signing::generate(4), 0, number), None);
        let too_few = call(&all[2..], 0, number);
        assert_err!(in_own_pool(&too_few), BAD_PROOF);
        // An author that takes it all the same wastes its own block.
        assert_ok!(Finality::pre_dispatch(&too_few));
        assert_noop!(
            RuntimeCall::from(too_few)
                .dispatch(Nobody.into())
                .map_err(|failed| failed.error),
            Error::<Test>::NotProved
        );
        let proof = vec![1; 300].try_into().expect("it is short");
        let junk = Call::report_final { set: 0, proof };
        assert_err!(in_own_pool(&junk), BAD_PROOF);
        assert_err!(Finality::pre_dispatch(&junk), BAD_PROOF);
        assert_eq!(LastFinal::<Test>::get(), None);
        // Whoever has a role and signs may show any younger block at any time.
        assert_ok!(report(&all, 0, number));
        assert_ok!(report(&all, 0, number + 1));
    });
}
