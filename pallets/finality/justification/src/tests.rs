// SPDX-License-Identifier: Apache-2.0

use std::cell::Cell;

use codec::Encode;
use finality_grandpa::{Commit, Precommit, SignedPrecommit};
use sp_consensus_grandpa::localized_payload;
use sp_core::{ed25519, Pair, H256};
use sp_runtime::{
    generic::{self, Digest, DigestItem},
    traits::BlakeTwo256,
};

use super::*;

std::thread_local! {
    /// How often an ancestry was walked in this test.
    pub(super) static WALKS: Cell<usize> = const { Cell::new(0) };
}

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

/// A header of the block after this one, with so many digest items.
fn child(parent: &Block, items: usize) -> Block {
    let none = Default::default();
    let logs = vec![DigestItem::Other(Vec::new()); items];
    Block::new(
        parent.number + 1,
        none,
        none,
        parent.hash(),
        Digest { logs },
    )
}

fn justification(seeds: &[u8], set: u64) -> Vec<u8> {
    let three = (block(3).hash(), 3);
    signed(seeds, set, three, &[three], Vec::new()).encode()
}

/// A justification of one block, in which the voters vote for these in turn.
fn signed(
    seeds: &[u8],
    set: u64,
    (target_hash, target_number): (H256, u32),
    votes: &[(H256, u32)],
    votes_ancestries: Vec<Block>,
) -> GrandpaJustification<Block> {
    let signed = |(seed, (target_hash, target_number)): (&u8, &(H256, u32))| {
        let precommit = Precommit {
            target_hash: *target_hash,
            target_number: *target_number,
        };
        let message = Message::Precommit(precommit.clone());
        let payload = localized_payload(9, set, &message);
        SignedPrecommit {
            precommit,
            signature: voter(*seed).sign(&payload).into(),
            id: voter(*seed).public().into(),
        }
    };
    let precommits = seeds.iter().zip(votes.iter().cycle()).map(signed);
    GrandpaJustification {
        round: 9,
        commit: Commit {
            target_hash,
            target_number,
            precommits: precommits.collect(),
        },
        votes_ancestries,
    }
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

/// Three votes, of which two are for a later block: an ancestry leads down from it.
fn with_ancestry(seeds: &[u8], items: usize) -> GrandpaJustification<Block> {
    let (low, middle) = (block(3), child(&block(3), 1));
    let high = child(&middle, items);
    let votes = [&low, &high, &high].map(|block| (block.hash(), block.number));
    let ancestry = vec![middle, high];
    signed(seeds, 7, (low.hash(), 3), &votes, ancestry)
}

#[test]
fn votes_for_later_blocks_count_for_the_block_from_which_they_descend() {
    let shown = voters().check::<Block>(&with_ancestry(&[1, 2, 3], MOST_DIGEST_ITEMS).encode());
    let shown = shown.unwrap();
    assert_eq!((shown.hash, shown.number), (block(3).hash(), 3));
    assert_eq!(shown.signers.len(), 3);
    // Nobody has headers of so many items.
    let longer = with_ancestry(&[1, 2, 3], MOST_DIGEST_ITEMS + 1);
    assert_eq!(voters().check::<Block>(&longer.encode()), Err(NotFinal));
}

#[test]
fn an_ancestry_is_walked_for_votes_that_are_signed_alone() {
    let walks = |justification: GrandpaJustification<Block>| {
        WALKS.set(0);
        let shown = voters().check::<Block>(&justification.encode());
        (shown.is_ok(), WALKS.get())
    };
    let good = with_ancestry(&[1, 2, 3], 0);
    let mut forged = good.clone();
    forged.commit.precommits[2].signature = good.commit.precommits[1].signature.clone();
    assert_eq!(walks(forged), (false, 0));
    let (is_final, walked) = walks(good);
    assert!(is_final && walked > 0);
}

#[test]
fn headers_lead_from_a_block_down_to_another_one() {
    let low = block(3);
    let ancestor = |items: usize| {
        let middle = child(&low, items);
        let high = child(&middle, 0);
        let headers = vec![high.clone(), middle].encode();
        <Grandpa<Block> as Proofs>::ancestor((high.hash(), 5), 3, &headers)
    };
    assert_eq!(ancestor(MOST_DIGEST_ITEMS), Some(low.hash()));
    assert_eq!(ancestor(MOST_DIGEST_ITEMS + 1), None);
}
