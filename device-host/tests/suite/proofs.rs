// SPDX-License-Identifier: Apache-2.0

//! Which proofs of its head a device takes.

use std::path::Path;

use hashchain::DeviceId;
use mhealth_api::{Head, Key};
use mhealth_device_host::{
    chain::{Checked, FinalHead, HeadChecker, ProofFault, Question},
    PublicKey, Store,
};
use mhealth_evidence::HeadProof;

use crate::{
    store_at, store_in_memory,
    support::{
        proofs::{astray, first_authorities, justification, prove},
        world::{OnChain, World},
    },
};

const DEVICE: DeviceId = DeviceId(3);

/// A chain with enough devices for several pages.
fn chain() -> World {
    let world = World::default();
    for number in 0..70u8 {
        let device = OnChain {
            key: Key([number; 32]),
            participant: mhealth_api::Hash([0; 32]),
            genesis: hashchain::LinkHash([number; 32]),
            entries: Vec::new(),
            status: mhealth_api::DeviceStatus::Active,
        };
        world.state().devices.push(device);
    }
    world.state().block = 9;
    world
}

fn question(record: bool) -> Question {
    Question {
        device: DEVICE,
        key: PublicKey([3; 32]),
        record,
    }
}

/// What a relay hands out for what the checker knows.
fn proof(world: &World, checker: &HeadChecker, record: bool) -> HeadProof {
    prove(&world.state(), DEVICE, checker.set(), record)
}

fn check(checker: &HeadChecker, proof: &HeadProof) -> Result<Checked, ProofFault> {
    checker.check(&question(false), &proof.to_bytes())
}

fn code(checked: Result<Checked, ProofFault>) -> &'static str {
    checked.expect_err("no proof").code
}

fn head(checked: Result<Checked, ProofFault>) -> FinalHead {
    match checked {
        Ok(Checked::Head(head)) => head,
        other => panic!("no head: {other:?}"),
    }
}

fn knowing(world: &World) -> (Store, HeadChecker) {
    let store = store_in_memory();
    let checker = store.checker(false);
    head(check(&checker, &proof(world, &checker, false)));
    (store, checker)
}

#[test]
fn a_genuine_proof_shows_the_head_and_the_enrolment() {
    let world = chain();
    let store = store_in_memory();
    let checker = store.checker(false);
    assert_eq!(checker.set(), None);
    for record in [false, true] {
        let proof = proof(&world, &checker, record);
        let found = head(checker.check(&question(record), &proof.to_bytes()));
        let expected = Head {
            length: 0,
            hash: hashchain::LinkHash([3; 32]),
        };
        assert_eq!((found.device(), found.head()), (DEVICE, expected));
        assert_eq!(found.block(), Some(9));
        assert_eq!(checker.set(), Some(0));
    }
    // A proof of the head alone is none of the enrolment.
    let bare = proof(&world, &checker, false);
    assert_eq!(
        code(checker.check(&question(true), &bare.to_bytes())),
        "not_proved"
    );
}

#[test]
fn a_proof_leads_over_any_number_of_changes_of_authorities() {
    let world = chain();
    let (_store, checker) = knowing(&world);
    let most = HeadProof::MOST_HANDOVERS as u64;
    for _ in 0..2 * most + 10 {
        world.hand_over();
    }
    for set in [most, 2 * most] {
        let step = check(&checker, &proof(&world, &checker, false));
        assert_eq!(step, Ok(Checked::OnTheWay));
        assert_eq!(checker.set(), Some(set));
    }
    let block = world.state().block as u32;
    let found = head(check(&checker, &proof(&world, &checker, false)));
    assert_eq!(found.block(), Some(block));
    assert_eq!(checker.set(), Some(2 * most + 10));
}

#[test]
fn answers_that_led_to_another_chains_authorities_are_forgotten() {
    let world = chain();
    let (_store, checker) = knowing(&world);
    world.hand_over();
    world.state().block += 200;
    let most = HeadProof::MOST_HANDOVERS as u64;
    assert_eq!(check(&checker, &astray()), Ok(Checked::OnTheWay));
    assert_eq!(checker.set(), Some(most));
    // Nothing of this chain leads on from there; what was known before is known still.
    let genuine = prove(&world.state(), DEVICE, Some(0), false);
    assert_eq!(code(check(&checker, &genuine)), "handover_not_final");
    assert_eq!(checker.set(), Some(0));
    let found = head(check(&checker, &genuine));
    assert_eq!(found.block(), Some(world.state().block as u32));
    assert_eq!(checker.set(), Some(1));
}

#[test]
fn a_proof_leads_over_a_change_by_force_for_who_trusts_its_block() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: &Path = &folder.path().join("state.db");
    let world = chain();
    let mut store = store_at(path);
    let phone = crate::device(&store, "P-1");
    let checker = store.checker(false);
    let found = head(check(&checker, &proof(&world, &checker, false)));
    store.set_number(phone.id(), &found).expect("numbered");
    store.confirm(phone.id(), 0, 1, &found).expect("confirmed");
    let change = world.appoint_by_force();
    world.hand_over();
    let later = proof(&world, &checker, false);
    assert_eq!(code(check(&checker, &later)), "change_by_force");
    assert!(checker.checkpoints().is_empty());
    let mut other = change;
    other.hash[0] ^= 1;
    store.trust(other).expect("kept");
    assert_eq!(
        code(check(&store.checker(false), &later)),
        "change_by_force"
    );

    store.trust(change).expect("kept");
    drop((checker, store));
    let store = store_at(path);
    let checker = store.checker(false);
    // A relay is told of them, which passes them on to its node.
    assert_eq!(checker.checkpoints().len(), 2);
    assert_eq!(checker.set(), Some(0));
    let found = head(check(&checker, &later));
    assert_eq!(
        (checker.set(), found.block()),
        (Some(2), Some(world.state().block as u32))
    );
    // Once it is behind, nobody has to be told any more.
    assert!(checker.checkpoints().is_empty());
}

#[test]
fn what_is_known_of_the_authorities_is_kept_with_the_first_thing_it_confirms() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: &Path = &folder.path().join("state.db");
    let world = chain();
    world.hand_over();
    let store = store_at(path);
    let phone = crate::device(&store, "P-1");
    let checker = store.checker(false);
    let found = head(check(&checker, &proof(&world, &checker, false)));
    store.set_number(phone.id(), &found).expect("numbered");
    store.confirm(phone.id(), 0, 1, &found).expect("confirmed");
    drop((checker, store));

    let store = store_at(path);
    let checker = store.checker(false);
    assert_eq!(checker.set(), Some(1));
    // And how far it has seen.
    world.state().block -= 1;
    assert_eq!(
        code(check(&checker, &proof(&world, &checker, false))),
        "proof_too_old"
    );
}

#[test]
fn what_is_no_proof_is_refused_with_its_code_and_changes_nothing() {
    let world = chain();
    let (_store, checker) = knowing(&world);
    let genuine = proof(&world, &checker, false);
    let with = |change: &dyn Fn(&mut HeadProof)| {
        let mut proof = genuine.clone();
        change(&mut proof);
        proof.to_bytes()
    };
    let signed_by = |signers: &[u8], set| {
        let block = genuine.finality.block.clone();
        let signed = justification(&block, set, signers);
        with(&|proof| proof.finality.justification.clone_from(&signed))
    };
    let bytes = genuine.to_bytes();
    let elsewhere = prove(&world.state(), DeviceId(40), Some(0), false);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "proof_malformed"),
        (
            "truncated",
            bytes[..bytes.len() - 1].to_vec(),
            "proof_malformed",
        ),
        ("too long", [&bytes[..], &[0]].concat(), "proof_malformed"),
        (
            "much too long",
            vec![1; HeadProof::LARGEST + 1],
            "proof_too_large",
        ),
        (
            "of another version",
            [&[2], &bytes[1..]].concat(),
            "proof_version_unknown",
        ),
        ("too few votes", signed_by(&[0, 1], 0), "block_not_final"),
        (
            "doubled votes",
            signed_by(&[0, 0, 1, 1], 0),
            "block_not_final",
        ),
        (
            "strangers' votes",
            signed_by(&[7, 8, 9], 0),
            "block_not_final",
        ),
        (
            "of another set",
            signed_by(&[0, 1, 2], 1),
            "block_not_final",
        ),
        ("another device's page", elsewhere.to_bytes(), "not_proved"),
        (
            "another block",
            with(&|proof| proof.finality.block.number += 1),
            "block_not_final",
        ),
        (
            "another state",
            with(&|proof| proof.finality.block.state_root = [1; 32]),
            "block_not_final",
        ),
        (
            "without nodes",
            with(&|proof| proof.finality.nodes = Default::default()),
            "chain_not_proved",
        ),
    ];
    for (name, bytes, expected) in cases {
        let refused = checker.check(&question(false), &bytes);
        assert_eq!(code(refused), expected, "{name}");
    }
    let unknown = Question {
        device: DeviceId(70),
        ..question(false)
    };
    let proof = prove(&world.state(), unknown.device, Some(0), false);
    assert_eq!(
        code(checker.check(&unknown, &proof.to_bytes())),
        "device_not_on_chain"
    );
    head(check(&checker, &genuine));
}

#[test]
fn no_single_bit_of_a_proof_can_be_another() {
    let world = chain();
    let genuine = {
        let store = store_in_memory();
        proof(&world, &store.checker(false), true).to_bytes()
    };
    let expected = {
        let store = store_in_memory();
        head(store.checker(false).check(&question(true), &genuine))
    };
    for bit in 0..8 * genuine.len() {
        let mut altered = genuine.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let store = store_in_memory();
        let checker = store.checker(false);
        if let Ok(checked) = checker.check(&question(true), &altered) {
            // Votes beyond two thirds, and nodes that lead elsewhere, need not be right.
            assert_eq!(checked, Checked::Head(expected.clone()), "bit {bit}");
        } else {
            assert_eq!(checker.set(), None, "bit {bit}");
        }
    }
}

#[test]
fn a_device_that_knows_nothing_begins_at_the_first_block_of_its_own_chain_only() {
    let world = chain();
    let store = store_in_memory();
    let checker = store.checker(false);
    let genuine = proof(&world, &checker, false);
    let mut without = genuine.clone();
    without.first = None;
    assert_eq!(code(check(&checker, &without)), "first_authorities_missing");
    let mut other = genuine.clone();
    let first = other.first.as_mut().expect("it begins there");
    first.genesis.extrinsics_root = [1; 32];
    assert_eq!(code(check(&checker, &other)), "another_chain");
    let mut headless = genuine.clone();
    headless.first.as_mut().expect("it begins there").nodes = Default::default();
    assert_eq!(
        code(check(&checker, &headless)),
        "first_authorities_not_proved"
    );
    assert_eq!(checker.set(), None);
    head(check(&checker, &genuine));
    assert_eq!(first_authorities().genesis.number, 0);
}

#[test]
fn an_older_set_does_not_speak_for_the_chain_any_more() {
    let world = chain();
    let (_store, checker) = knowing(&world);
    let before = proof(&world, &checker, false);
    world.hand_over();
    head(check(&checker, &proof(&world, &checker, false)));
    // Genuine once; and made afresh by those who were replaced.
    assert_eq!(code(check(&checker, &before)), "proof_too_old");
    let mut afresh = proof(&world, &checker, false);
    afresh.finality.block.number += 5;
    afresh.finality.justification = justification(&afresh.finality.block, 0, &[0, 1, 2, 3]);
    assert_eq!(code(check(&checker, &afresh)), "block_not_final");
}

#[test]
fn devices_of_one_file_may_see_blocks_in_any_order_and_none_goes_back() {
    let world = chain();
    let (_store, checker) = knowing(&world);
    let other = Question {
        device: DeviceId(5),
        ..question(false)
    };
    let old = prove(&world.state(), DEVICE, Some(0), false).to_bytes();
    world.state().block += 3;
    let new = prove(&world.state(), DEVICE, Some(0), false).to_bytes();
    head(checker.check(&question(false), &new));
    // They stand on one page.
    head(checker.check(&other, &old));
    assert_eq!(code(checker.check(&question(false), &old)), "proof_too_old");
    head(checker.check(&other, &new));
    assert_eq!(code(checker.check(&other, &old)), "proof_too_old");
}

#[test]
fn a_word_is_taken_only_by_who_was_told_so() {
    let store = store_in_memory();
    let head = Head {
        length: 3,
        hash: hashchain::LinkHash([3; 32]),
    };
    let word = store.checker(false).take_word(DEVICE, head, None);
    assert_eq!(word.expect_err("no").code, "words_not_trusted");
    let word = store.checker(true).take_word(DEVICE, head, None);
    assert_eq!(word.expect("taken").block(), None);
}
