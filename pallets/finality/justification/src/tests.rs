// SPDX-License-Identifier: Apache-2.0

use codec::Encode;
use finality_grandpa::{Commit, Precommit, SignedPrecommit};
use sp_consensus_grandpa::localized_payload;
use sp_core::{ed25519, Pair};
use sp_runtime::{
    generic::{self, Digest},
    traits::BlakeTwo256,
};

use super::*;

type Block = generic::Header<u32, BlakeTwo256>;

fn block(number: u32) -> Block {
    let none = Default::default();
    Block::new(number, none, none, none, Digest::default())
}

fn voter(seed: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[seed; 32])
}

fn voters() -> Voters {
    let list = (1..=4).map(|seed| (voter(seed).public().into(), 1));
    Voters::new(7, list.collect()).unwrap()
}

fn justification(seeds: &[u8], set: u64) -> Vec<u8> {
    let precommit = Precommit {
        target_hash: block(3).hash(),
        target_number: 3,
    };
    let message = Message::Precommit(precommit.clone());
    let signed = |seed: &u8| SignedPrecommit {
        precommit: precommit.clone(),
        signature: voter(*seed)
            .sign(&localized_payload(9, set, &message))
            .into(),
        id: voter(*seed).public().into(),
    };
    GrandpaJustification::<Block> {
        round: 9,
        commit: Commit {
            target_hash: precommit.target_hash,
            target_number: precommit.target_number,
            precommits: seeds.iter().map(signed).collect(),
        },
        votes_ancestries: Vec::new(),
    }
    .encode()
}

#[test]
fn more_than_two_thirds_of_the_set_make_a_block_final_and_are_named() {
    let shown = voters().check::<Block>(&justification(&[1, 3, 4], 7));
    let shown = shown.unwrap();
    assert_eq!((shown.hash, shown.number), (block(3).hash(), 3));
    let signers = [1, 3, 4].map(|seed| voter(seed).public().into());
    assert_eq!(shown.signers, signers.into_iter().collect());
    // One who is not of the set changes nothing.
    let with_a_stranger = voters().check::<Block>(&justification(&[1, 3, 4, 5], 7));
    assert_eq!(with_a_stranger.unwrap().signers, shown.signers);
}

#[test]
fn too_few_voters_another_set_too_many_signatures_and_other_bytes_show_nothing() {
    let refused = |bytes: &[u8]| voters().check::<Block>(bytes) == Err(NotFinal);
    assert!(refused(&justification(&[1, 2], 7)));
    assert!(refused(&justification(&[1, 2, 2, 2], 7)));
    assert!(refused(&justification(&[1, 2, 3], 6)));
    assert!(refused(&justification(&[1, 2, 3, 5, 6, 7, 8, 9, 10], 7)));
    let good = justification(&[1, 2, 3, 4], 7);
    assert!(!refused(&good));
    for length in 0..good.len() {
        assert!(refused(&good[..length]));
    }
    assert!(refused(&[&good[..], &[0]].concat()));
    assert!(Voters::new(0, Vec::new()).is_none());
}

#[test]
fn a_proof_names_its_block_before_anything_is_checked() {
    let about = |proof: &[u8]| <Grandpa<Block> as Proofs>::about(proof);
    let nobodys = (block(3).hash(), justification(&[], 0), Vec::<Block>::new()).encode();
    assert_eq!(about(&nobodys), Some(3));
    for length in 0..nobodys.len() {
        assert_eq!(about(&nobodys[..length]), None);
    }
}
