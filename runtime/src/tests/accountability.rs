// SPDX-License-Identifier: Apache-2.0

//! What validators answer for, by the ways that reports take on this chain.

use codec::{Decode, Encode};
use finality_grandpa::Precommit;
use frame_support::{assert_err, assert_ok};
use pallet_accountability::{Equivocation, Offences, TwoVotes, MAX_HEADER_LENGTH};
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use sp_consensus_grandpa::{localized_payload, AuthorityPair, Message, OpaqueKeyOwnershipProof};
use sp_core::{
    offchain::{testing::TestTransactionPoolExt, TransactionPoolExt},
    Pair, H256,
};
use sp_keyring::{
    Ed25519Keyring as Voter,
    Sr25519Keyring::{self, Alice, Bob, Eve, Ferdie},
};
use sp_runtime::{
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity},
    Digest, DigestItem,
};

use crate::{
    testing::{local, signed},
    Accountability, Executive, Header, Runtime, RuntimeCall, Session, UncheckedExtrinsic,
    ACCOUNT_HAS_NO_ROLE,
};

/// Bob's two precommits of a round of the first set, signed by `signer`.
fn two_votes(signer: Voter, round: u64) -> TwoVotes<Runtime> {
    let vote = |mark: u8| {
        let precommit = Precommit {
            target_hash: H256::repeat_byte(mark),
            target_number: 1,
        };
        let message = Message::<Header>::Precommit(precommit.clone());
        let signer = AuthorityPair::from(signer.pair());
        let signature = signer.sign(&localized_payload(round, 0, &message));
        (precommit, signature)
    };
    let votes = finality_grandpa::Equivocation {
        round_number: round,
        identity: Voter::Bob.public().into(),
        first: vote(1),
        second: vote(2),
    };
    TwoVotes::<Runtime>::new(0, votes.into())
}

/// A header of block 1 in a slot of Bob's, the second of four validators.
fn sealed(author: Sr25519Keyring, mark: u8) -> Vec<u8> {
    let slot = CompatibleDigestItem::<AuthoritySignature>::aura_pre_digest(9.into());
    let digest = Digest { logs: vec![slot] };
    let mark = H256::repeat_byte(mark);
    let mut header = Header {
        parent_hash: mark,
        number: 1,
        state_root: mark,
        extrinsics_root: mark,
        digest,
    };
    let signature: AuthoritySignature = author.sign(header.hash().as_bytes()).into();
    header.digest.push(DigestItem::aura_seal(signature));
    header.encode()
}

fn bobs_offences() -> Vec<Equivocation> {
    let offences = Offences::<Runtime>::get(Bob.to_account_id());
    let equivocation = |offence: &pallet_accountability::OffenceOf<Runtime>| offence.equivocation;
    offences.iter().map(equivocation).collect()
}

fn validity(source: TransactionSource, report: UncheckedExtrinsic) -> TransactionValidity {
    Executive::validate_transaction(source, report, H256::zero())
}

/// What GRANDPA in a node makes of two votes: the transaction that it puts into its own pool.
fn reported_by_the_node(proof: TwoVotes<Runtime>) -> Option<UncheckedExtrinsic> {
    let mut chain = local();
    let (pool, transactions) = TestTransactionPoolExt::new();
    chain.register_extension(TransactionPoolExt::new(pool));
    chain.execute_with(|| {
        let owner: OpaqueKeyOwnershipProof = grandpa_api::owner(proof.offender())?;
        grandpa_api::submit(proof, owner)
    })?;
    let transactions = &transactions.read().transactions;
    assert_eq!(transactions.len(), 1);
    Some(Decode::decode(&mut &transactions[0][..]).expect("the pool gets transactions"))
}

/// The runtime's own API for GRANDPA, as a node calls it.
mod grandpa_api {
    use sp_consensus_grandpa::{
        runtime_decl_for_grandpa_api::GrandpaApi, AuthorityId, OpaqueKeyOwnershipProof,
    };

    use super::{Runtime, TwoVotes};
    use crate::Block;

    pub(super) fn owner(voter: &AuthorityId) -> Option<OpaqueKeyOwnershipProof> {
        <Runtime as GrandpaApi<Block>>::generate_key_ownership_proof(0, voter.clone())
    }

    pub(super) fn submit(proof: TwoVotes<Runtime>, owner: OpaqueKeyOwnershipProof) -> Option<()> {
        <Runtime as GrandpaApi<Block>>::submit_report_equivocation_unsigned_extrinsic(proof, owner)
    }
}

/// The runtime's own API for two blocks, as a node calls it.
fn report_of_blocks(first: Vec<u8>, second: Vec<u8>) -> Option<UncheckedExtrinsic> {
    use pallet_accountability_runtime_api::runtime_decl_for_accountability_api::AccountabilityApi;
    let report =
        <Runtime as AccountabilityApi<crate::Block>>::block_equivocation_report(first, second)?;
    Some(Decode::decode(&mut &report[..]).expect("it is a transaction"))
}

#[test]
fn two_votes_are_reported_by_the_node_that_sees_them_and_disable() {
    let report = reported_by_the_node(two_votes(Voter::Bob, 3)).expect("it reports");
    local().execute_with(|| {
        let valid = validity(TransactionSource::Local, report.clone()).expect("it may");
        assert!(!valid.propagate);
        assert_err!(
            validity(TransactionSource::External, report.clone()),
            InvalidTransaction::Call
        );
        assert_ok!(Executive::apply_extrinsic(report.clone()).expect("it is valid"));
        let votes = Equivocation::TwoVotes {
            set_id: 0,
            round: 3,
        };
        assert_eq!(bobs_offences(), [votes]);
        assert_eq!(Session::disabled_validators(), [1]);
        assert_err!(
            Executive::apply_extrinsic(report),
            InvalidTransaction::Stale
        );
        assert_eq!(bobs_offences().len(), 1);
        assert_ok!(Accountability::do_try_state());
    });
}

#[test]
fn votes_that_somebody_else_signed_get_nowhere() {
    let report = reported_by_the_node(two_votes(Voter::Alice, 3)).expect("a node would not");
    local().execute_with(|| {
        for source in [TransactionSource::Local, TransactionSource::InBlock] {
            let refused = validity(source, report.clone());
            assert_err!(refused, InvalidTransaction::BadProof);
        }
        assert_err!(
            Executive::apply_extrinsic(report),
            InvalidTransaction::BadProof
        );
        assert!(bobs_offences().is_empty());
    });
}

#[test]
fn two_votes_are_handed_in_by_whoever_has_a_role() {
    let call = || -> RuntimeCall {
        pallet_grandpa::Call::report_equivocation {
            equivocation_proof: Box::new(two_votes(Voter::Bob, 3)),
            key_owner_proof: Default::default(),
        }
        .into()
    };
    local().execute_with(|| {
        assert_err!(
            Executive::apply_extrinsic(signed(Ferdie, 0, call())),
            InvalidTransaction::Custom(ACCOUNT_HAS_NO_ROLE)
        );
        assert_ok!(Executive::apply_extrinsic(signed(Eve, 0, call())).expect("it is valid"));
        let offences = Offences::<Runtime>::get(Bob.to_account_id());
        assert_eq!(offences[0].reporter, Some(Eve.to_account_id()));
        let again = Executive::apply_extrinsic(signed(Eve, 1, call())).expect("it is valid");
        let refused = pallet_accountability::Error::<Runtime>::AlreadyRecorded;
        assert_err!(again, refused);
    });
}

#[test]
fn two_blocks_are_reported_by_the_node_that_sees_them_and_disable() {
    local().execute_with(|| {
        let report = report_of_blocks(sealed(Bob, 1), sealed(Bob, 2)).expect("it reports");
        let valid = validity(TransactionSource::Local, report.clone()).expect("it may");
        assert!(!valid.propagate);
        assert_err!(
            validity(TransactionSource::External, report.clone()),
            InvalidTransaction::Call
        );
        assert_ok!(Executive::apply_extrinsic(report.clone()).expect("it is valid"));
        assert_eq!(bobs_offences(), [Equivocation::TwoBlocks { slot: 9 }]);
        assert_eq!(Session::disabled_validators(), [1]);
        assert_err!(
            Executive::apply_extrinsic(report),
            InvalidTransaction::Stale
        );
        assert_eq!(report_of_blocks(sealed(Bob, 1), sealed(Bob, 3)), None);
        assert_ok!(Accountability::do_try_state());
    });
}

#[test]
fn a_node_makes_no_report_of_what_proves_nothing() {
    local().execute_with(|| {
        let one = sealed(Bob, 1);
        for other in [
            one.clone(),
            sealed(Alice, 2),
            Vec::new(),
            vec![0; MAX_HEADER_LENGTH as usize + 1],
        ] {
            assert_eq!(report_of_blocks(one.clone(), other), None);
        }
    });
}

#[test]
fn two_blocks_are_handed_in_by_whoever_has_a_role() {
    let call = || -> RuntimeCall {
        let header = |mark| sealed(Bob, mark).try_into().expect("it is short");
        pallet_accountability::Call::report_block_equivocation {
            first: header(1),
            second: header(2),
        }
        .into()
    };
    local().execute_with(|| {
        assert_err!(
            Executive::apply_extrinsic(signed(Ferdie, 0, call())),
            InvalidTransaction::Custom(ACCOUNT_HAS_NO_ROLE)
        );
        assert_ok!(Executive::apply_extrinsic(signed(Eve, 0, call())).expect("it is valid"));
        assert_eq!(bobs_offences().len(), 1);
    });
}
