// SPDX-License-Identifier: Apache-2.0

//! What the consortium may do about finality.

use codec::Decode;
use frame_support::assert_err;
use pallet_finality::{Call, Error, LastFinal, Sets};
use sp_consensus_grandpa::AuthorityId;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionSource};

use super::*;
use crate::{
    limits::{FINAL_REPORT, LEAST_LAG},
    Finality, System,
};

/// The block that the tests prove to be final: its hash is that of these bytes.
const FINAL: u32 = 3;

/// A finality proof by these organisations, as voters of set 0.
fn proof(organisations: &[Sr25519Keyring]) -> Vec<u8> {
    let target = (hash(), FINAL);
    // A precommit, in round 1 of set 0.
    let payload = ((1u8, target), 1u64, 0u64).encode();
    let signed: Vec<_> = organisations
        .iter()
        .map(|organisation| {
            let voter = Ed25519Keyring::iter().find(|it| it.to_seed() == organisation.to_seed());
            let voter = voter.expect("both lists have the same names");
            let key: AuthorityId = voter.public().into();
            (target, voter.sign(&payload), key)
        })
        .collect();
    let none = Vec::<crate::Header>::new();
    let justification = (1u64, target, signed, none.clone()).encode();
    (hash(), justification, none).encode()
}

fn hash() -> H256 {
    H256::repeat_byte(3)
}

fn in_block(number: u32) {
    System::set_block_number(number);
    frame_system::BlockHash::<Runtime>::insert(FINAL, hash());
}

fn report(organisations: &[Sr25519Keyring]) -> Result<(), DispatchError> {
    let proof = proof(organisations).try_into().expect("it is short");
    // A relay, which is no validator.
    Finality::report_final(RuntimeOrigin::signed(Eve.to_account_id()), 0, proof)
}

fn note() -> RuntimeCall {
    Call::note_stalled { last_final: FINAL }.into()
}

#[test]
fn two_thirds_of_the_consortium_help_grandpa_over_a_stall_that_is_proved() {
    local().execute_with(|| {
        in_block(FINAL + LEAST_LAG + 1);
        let nothing = decide_on(&[Alice, Bob, Charlie], note());
        assert_eq!(nothing, Err(Error::<Runtime>::NothingProved.into()));
        assert_ok!(report(&[Alice, Bob, Charlie]));
        let half = decide_on(&[Alice, Bob], note());
        assert_eq!(half, Err(DispatchError::BadOrigin));
        assert_ok!(decide_on(&[Alice, Bob, Charlie], note()));
        let forced = pallet_grandpa::PendingChange::<Runtime>::get().and_then(|it| it.forced);
        assert_eq!(forced, Some(FINAL));
        assert_eq!(Grandpa::current_set_id(), 1);
        assert_eq!(Sets::<Runtime>::get(1).map(|set| set.after), Some(FINAL));
        assert_ok!(Finality::do_try_state());
    });
}

#[test]
fn nobody_changes_the_authorities_by_force_while_finality_is_alive() {
    local().execute_with(|| {
        in_block(FINAL + LEAST_LAG - 1);
        let too_few = report(&[Alice, Bob]);
        assert_eq!(too_few, Err(Error::<Runtime>::NotProved.into()));
        assert_ok!(report(&[Alice, Bob, Charlie, Dave]));
        let alive = decide_on(&[Alice, Bob, Charlie, Dave], note());
        assert_eq!(alive, Err(Error::<Runtime>::NotStalled.into()));
        assert_eq!(LastFinal::<Runtime>::get().map(|it| it.number), Some(FINAL));
        // Neither by the call that the guarded one stands for.
        let plain = pallet_grandpa::Call::note_stalled {
            delay: 10,
            best_finalized_block_number: 0,
        };
        let refused = pallet_consortium::Error::<Runtime>::Guarded;
        assert_eq!(
            decide(&[Alice, Bob, Charlie, Dave], plain),
            Err(refused.into())
        );
        assert_eq!(pallet_grandpa::Stalled::<Runtime>::get(), None);
    });
}

/// What a validator's node makes of the votes that it has seen, for its own pool.
fn reported() -> Option<crate::UncheckedExtrinsic> {
    use pallet_finality_runtime_api::runtime_decl_for_finality_api::FinalityApi;
    let proof = proof(&[Alice, Bob, Charlie]);
    let report = <Runtime as FinalityApi<crate::Block>>::final_report(proof)?;
    Some(Decode::decode(&mut &report[..]).expect("it is a transaction"))
}

#[test]
fn a_validators_node_shows_what_is_final_in_a_block_of_its_own_and_strangers_do_not() {
    local().execute_with(|| {
        in_block(FINAL + FINAL_REPORT - 1);
        assert_eq!(reported(), None);
        in_block(FINAL + FINAL_REPORT);
        let report = reported().expect("nothing else became final for long enough");
        let validity =
            |source| crate::Executive::validate_transaction(source, report.clone(), H256::zero());
        let valid = validity(TransactionSource::Local).expect("it may");
        assert!(!valid.propagate);
        assert_err!(
            validity(TransactionSource::External),
            InvalidTransaction::Call
        );
        let applied = crate::Executive::apply_extrinsic(report.clone());
        assert_ok!(applied.expect("it is valid"));
        assert_eq!(LastFinal::<Runtime>::get().map(|it| it.number), Some(FINAL));
        let again = crate::Executive::apply_extrinsic(report.clone());
        assert_err!(again, InvalidTransaction::Stale);
        assert_eq!(reported(), None);
        assert_ok!(Finality::do_try_state());
    });
}
