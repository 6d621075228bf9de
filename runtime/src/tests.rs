// SPDX-License-Identifier: Apache-2.0

mod accountability;
mod digests;
mod model;
mod one_member;
mod succession;

use codec::Encode;
use frame_support::{
    assert_noop, assert_ok,
    dispatch::{DispatchClass, GetDispatchInfo},
    weights::Weight,
};
use pallet_client_hashchain::{Run, RunEntry, MAX_BATCH_LENGTH};
use pallet_collective::RawOrigin;
use pallet_studies::StudyPolicy;
use sp_core::{storage::well_known_keys::CODE, H256};
use sp_keyring::{
    Ed25519Keyring,
    Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Eve, Ferdie},
};
use sp_runtime::{
    traits::{BlakeTwo256, Dispatchable, Hash as _},
    DispatchError,
};

mod finality;

use crate::{
    genesis,
    limits::{MaxProposalWeight, RuntimeBlockLength, RuntimeBlockWeights},
    testing::{development, local, signed},
    ClientHashchain, Consortium, Council, Grandpa, Members, Runtime, RuntimeCall, RuntimeOrigin,
    Session, Studies,
};

mod metadata_hash;
mod view_functions;

fn accounts(keys: &[Sr25519Keyring]) -> Vec<crate::AccountId> {
    keys.iter().map(|key| key.to_account_id()).collect()
}

fn assert_organisations(organisations: &[Sr25519Keyring]) {
    let expected = accounts(organisations);
    assert_eq!(Session::validators(), expected);
    assert_eq!(
        pallet_consortium::Validators::<Runtime>::get().into_inner(),
        expected
    );
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(Members::members().into_inner(), sorted);
    assert_eq!(
        pallet_collective::Members::<Runtime, pallet_collective::Instance1>::get(),
        sorted
    );
    let authors: Vec<_> = organisations
        .iter()
        .map(|key| key.public().into())
        .collect();
    assert_eq!(
        pallet_aura::Authorities::<Runtime>::get().into_inner(),
        authors
    );
    let voters: Vec<_> = organisations
        .iter()
        .map(|key| {
            let voter = Ed25519Keyring::iter().find(|voter| voter.to_seed() == key.to_seed());
            (
                voter
                    .expect("both rings have the same names")
                    .public()
                    .into(),
                1,
            )
        })
        .collect();
    assert_eq!(Grandpa::grandpa_authorities(), voters);
    assert_ok!(Consortium::do_try_state());
}

fn assert_study_is_ready() {
    let study = ClientHashchain::study_view(0).expect("study 0 is there from the first block on");
    assert_eq!(study.sponsor, Bob.to_account_id());
    assert_eq!(study.auditor_key, genesis::DEVELOPMENT_AUDITOR_KEY);
    assert!(study.device_signed && study.open);
    assert_eq!(Studies::authentication_servers(0), accounts(&[Charlie]));
    assert!(Studies::is_relay(0, &Dave.to_account_id()));
    assert!(Studies::is_relay(0, &Eve.to_account_id()));
    assert!(!Studies::has_role(&Ferdie.to_account_id()));
    assert_ok!(Studies::do_try_state());
}

#[test]
fn the_development_preset_has_one_validator_and_a_study() {
    development().execute_with(|| {
        assert_organisations(&[Alice]);
        assert_study_is_ready();
    });
}

#[test]
fn the_local_preset_has_four_validators_and_a_study() {
    local().execute_with(|| {
        assert_organisations(&[Alice, Bob, Charlie, Dave]);
        assert_study_is_ready();
    });
}

#[test]
fn there_are_no_other_presets() {
    assert_eq!(genesis::preset_names().len(), 2);
    for name in genesis::preset_names() {
        assert!(genesis::preset(&name).is_some());
    }
    assert!(genesis::preset(&"production".into()).is_none());
}

/// Lets `voters` decide on a call as Root, the first of them proposing it, and says whether it was done.
fn decide(voters: &[Sr25519Keyring], call: impl Into<RuntimeCall>) -> Result<(), DispatchError> {
    let motion = pallet_consortium::Call::dispatch_as_root {
        call: Box::new(call.into()),
    };
    decide_on(voters, motion.into())
}

/// Lets `voters` decide on a motion, the first of them proposing it, and says whether it was done.
fn decide_on(voters: &[Sr25519Keyring], motion: RuntimeCall) -> Result<(), DispatchError> {
    let hash = BlakeTwo256::hash_of(&motion);
    let length = motion.encoded_size() as u32;
    let weight = motion.get_dispatch_info().call_weight;
    let threshold = voters.len() as u32;
    let proposer = RuntimeOrigin::signed(voters[0].to_account_id());
    let index = pallet_collective::ProposalCount::<Runtime, pallet_collective::Instance1>::get();
    assert_ok!(Council::propose(
        proposer.clone(),
        threshold,
        Box::new(motion),
        length
    ));
    for voter in voters {
        let voter = RuntimeOrigin::signed(voter.to_account_id());
        assert_ok!(Council::vote(voter, hash, index, true));
    }
    assert_ok!(Council::close(proposer, hash, index, weight, length));
    executed()
}

/// The outcome of the last motion that was closed.
fn executed() -> Result<(), DispatchError> {
    let outcome = frame_system::Pallet::<Runtime>::read_events_no_consensus()
        .filter_map(|record| match record.event {
            crate::RuntimeEvent::Council(pallet_collective::Event::Executed { result, .. }) => {
                Some(result)
            }
            _ => None,
        })
        .last();
    outcome.expect("the motion was executed")
}

#[test]
fn two_thirds_of_the_consortium_replace_the_runtime() {
    local().execute_with(|| {
        let code = b"a new runtime".to_vec();
        let replace = frame_system::Call::set_code_without_checks { code: code.clone() };
        assert_ok!(decide(&[Alice, Bob, Charlie], replace));
        assert_eq!(sp_io::storage::get(CODE).map(Vec::from), Some(code));
    });
}

#[test]
fn two_thirds_of_the_consortium_authorise_an_upgrade_by_its_hash() {
    local().execute_with(|| {
        let code_hash = H256::repeat_byte(7);
        let authorise = frame_system::Call::authorize_upgrade { code_hash };
        assert_ok!(decide(&[Alice, Bob, Charlie], authorise));
        let authorised = frame_system::Pallet::<Runtime>::authorized_upgrade();
        assert_eq!(
            authorised.map(|upgrade| *upgrade.code_hash()),
            Some(code_hash)
        );
    });
}

#[test]
fn half_of_the_consortium_decides_nothing() {
    local().execute_with(|| {
        let replace = frame_system::Call::set_code_without_checks { code: vec![1] };
        assert_eq!(
            decide(&[Alice, Bob], replace),
            Err(DispatchError::BadOrigin)
        );
        assert_ne!(sp_io::storage::get(CODE).map(Vec::from), Some(vec![1]));
    });
}

#[test]
fn more_than_half_of_the_consortium_creates_a_study() {
    local().execute_with(|| {
        let create = |ayes| {
            Studies::create_study(
                RawOrigin::Members(ayes, 4).into(),
                Ferdie.to_account_id(),
                StudyPolicy::DeviceSigned,
                [7; 32],
                b"Another study".to_vec().try_into().expect("it is short"),
            )
        };
        assert_noop!(create(2), DispatchError::BadOrigin);
        assert_ok!(create(3));
        assert!(Studies::has_role(&Ferdie.to_account_id()));
    });
}

#[test]
fn nobody_acts_as_root_alone() {
    local().execute_with(|| {
        let replace = frame_system::Call::set_code { code: vec![1] };
        let call: RuntimeCall = pallet_consortium::Call::dispatch_as_root {
            call: Box::new(replace.into()),
        }
        .into();
        let origin = RuntimeOrigin::signed(Alice.to_account_id());
        assert_noop!(
            call.dispatch(origin).map_err(|refused| refused.error),
            DispatchError::BadOrigin
        );
    });
}

/// So many runs of so many entries each, signed.
fn batch(runs: u32, entries: u32) -> RuntimeCall {
    let entry = RunEntry {
        digest: H256::zero(),
        tag: H256::zero(),
    };
    let run = |device| Run {
        device,
        sequence: 1,
        previous: H256::zero(),
        entries: vec![entry; entries as usize]
            .try_into()
            .expect("a run may be that long"),
        signature: Some([0; 64]),
    };
    let runs: Vec<_> = (0..runs).map(run).collect();
    pallet_client_hashchain::Call::submit_batch {
        runs: runs.try_into().expect("a batch may be that long"),
    }
    .into()
}

/// The most work that one ordinary transaction may bring.
fn largest_transaction() -> Weight {
    let limits = RuntimeBlockWeights::get();
    let normal = limits.get(DispatchClass::Normal);
    normal
        .max_extrinsic
        .expect("ordinary transactions are limited")
}

#[test]
fn the_largest_batch_of_single_entries_fits_a_block() {
    development().execute_with(|| {
        let transaction = signed(Dave, 0, batch(MAX_BATCH_LENGTH, 1));
        let weight = transaction.get_dispatch_info().total_weight();
        assert!(
            weight.all_lt(largest_transaction()),
            "{weight:?} of {:?}",
            largest_transaction()
        );
        let length = transaction.encoded_size() as u32;
        assert!(length < *RuntimeBlockLength::get().max.get(DispatchClass::Normal));
    });
}

#[test]
fn sixty_four_of_the_longest_runs_fit_a_block() {
    development().execute_with(|| {
        let transaction = signed(Dave, 0, batch(64, pallet_client_hashchain::MAX_RUN_LENGTH));
        let weight = transaction.get_dispatch_info().total_weight();
        assert!(
            weight.all_lt(largest_transaction()),
            "{weight:?} of {:?}",
            largest_transaction()
        );
    });
}

#[test]
fn the_consortium_can_decide_on_an_upgrade() {
    let call: RuntimeCall = pallet_consortium::Call::dispatch_as_root {
        call: Box::new(frame_system::Call::set_code { code: vec![] }.into()),
    }
    .into();
    let info = call.get_dispatch_info();
    assert_eq!(info.class, DispatchClass::Operational);
    assert!(info.call_weight.all_lte(MaxProposalWeight::get()));
}
