// SPDX-License-Identifier: Apache-2.0

//! GRANDPA's justifications, compared with the crates of the chain's nodes.

mod support;

use codec::Encode;
use mhealth_evidence::{forces_authorities, next_authorities, AuthoritySet, NotFinal};
use mhealth_justification::Voters;
use proptest::prelude::*;
use sp_core::{Pair, H256};
use sp_runtime::generic::{Digest, DigestItem};
use support::*;

fn ours(weights: &[(u8, u64)]) -> Option<AuthoritySet> {
    let keys = weights
        .iter()
        .map(|(seed, weight)| (voter(*seed).public().0, *weight));
    AuthoritySet::new(7, keys.collect())
}

fn theirs(weights: &[(u8, u64)]) -> Option<Voters> {
    let keys = weights
        .iter()
        .map(|(seed, weight)| (voter(*seed).public().into(), *weight));
    Voters::new(7, keys.collect())
}

/// What both say of a justification, when they say the same.
fn both(weights: &[(u8, u64)], justification: &[u8]) -> Option<(H256, u32)> {
    let shown = ours(weights).unwrap().check(justification).ok();
    let oracle = theirs(weights)
        .unwrap()
        .check::<NodeHeader>(justification)
        .ok();
    assert_eq!(
        shown.map(|it| (H256(it.hash), it.number, it.round)),
        oracle.map(|it| (it.hash, it.number, it.round)),
    );
    shown.map(|it| (H256(it.hash), it.number))
}

const FOUR: [(u8, u64); 4] = [(1, 1), (2, 1), (3, 1), (4, 1)];

fn start() -> NodeHeader {
    NodeHeader {
        parent_hash: H256::default(),
        number: 40,
        state_root: H256::default(),
        extrinsics_root: H256::default(),
        digest: Digest::default(),
    }
}

/// Blocks above one: two branches, `1-2-3` and `1-4-5`.
fn tree() -> Vec<NodeHeader> {
    let root = start();
    let one = child(&root, H256::repeat_byte(1), vec![]);
    let two = child(&one, H256::repeat_byte(2), vec![]);
    let three = child(&two, H256::repeat_byte(3), vec![]);
    let four = child(&one, H256::repeat_byte(4), vec![]);
    let five = child(&four, H256::repeat_byte(5), vec![]);
    vec![root, one, two, three, four, five]
}

#[test]
fn more_than_two_thirds_make_a_block_final() {
    let block = start();
    let by = |seeds: &[u8]| both(&FOUR, &justify(&block, seeds, 7));
    assert_eq!(by(&[1, 3, 4]), Some(of(&block)));
    assert_eq!(by(&[1, 2, 3, 4]), Some(of(&block)));
    // Too few.
    assert_eq!(by(&[1, 2]), None);
    assert_eq!(by(&[]), None);
    // One voter twice or more is one voter.
    assert_eq!(by(&[1, 2, 2]), None);
    assert_eq!(by(&[1, 2, 2, 2, 2, 2]), None);
    assert_eq!(by(&[1, 2, 3, 3]), Some(of(&block)));
    // Unknown voters change nothing, unless there are more signatures than anybody looks at.
    assert_eq!(by(&[1, 2, 5, 6]), None);
    assert_eq!(by(&[1, 2, 3, 5]), Some(of(&block)));
    assert_eq!(by(&[1, 2, 3, 5, 6, 7, 8, 9, 10]), None);
    // Another set, or an older one.
    assert_eq!(both(&FOUR, &justify(&block, &[1, 2, 3], 6)), None);
    assert_eq!(both(&FOUR, &justify(&block, &[1, 2, 3], 8)), None);
}

#[test]
fn weights_are_counted_and_a_voter_without_one_is_none() {
    let block = start();
    let by = |weights: &[(u8, u64)], seeds: &[u8]| both(weights, &justify(&block, seeds, 7));
    assert_eq!(by(&[(1, 7), (2, 1), (3, 2)], &[1]), Some(of(&block)));
    assert_eq!(by(&[(1, 6), (2, 1), (3, 3)], &[1]), None);
    assert_eq!(by(&[(1, 1), (2, 0)], &[1]), Some(of(&block)));
    assert_eq!(by(&[(1, 1), (2, 0)], &[2]), None);
    assert_eq!(by(&[(1, 1), (2, 1), (1, 5)], &[1]), Some(of(&block)));
    for none in [&[][..], &[(1, 0)], &[(1, u64::MAX), (2, 1)]] {
        assert!(ours(none).is_none() && theirs(none).is_none());
    }
}

#[test]
fn votes_for_descendants_count_for_the_block_before_them() {
    let tree = tree();
    let commit = |target: usize, votes: &[(u8, usize)], ancestry: &[usize]| {
        let votes: Vec<Vote> = votes
            .iter()
            .map(|(seed, it)| (*seed, of(&tree[*it])))
            .collect();
        let ancestry = ancestry.iter().map(|it| tree[*it].clone()).collect();
        both(
            &FOUR,
            &justification(of(&tree[target]), &votes, 7, ancestry),
        )
    };
    let split = [(1, 1), (2, 3), (3, 5)];
    assert_eq!(commit(1, &split, &[2, 3, 4, 5]), Some(of(&tree[1])));
    // What lies between has to be there, and more does no harm.
    assert_eq!(commit(1, &split, &[2, 3, 5]), None);
    assert_eq!(commit(1, &split, &[0, 1, 2, 3, 4, 5]), Some(of(&tree[1])));
    // No other block than the highest that enough voters are for.
    assert_eq!(commit(2, &split, &[2, 3, 4, 5]), None);
    assert_eq!(commit(0, &split, &[0, 1, 2, 3, 4, 5]), None);
    assert_eq!(commit(1, &[(1, 3), (2, 3), (3, 3)], &[2, 3]), None);
    assert_eq!(commit(2, &[(1, 2), (2, 3), (3, 3), (4, 3)], &[3]), None);
    assert_eq!(
        commit(3, &[(1, 2), (2, 3), (3, 3), (4, 3)], &[3]),
        Some(of(&tree[3]))
    );
    // Not all descend from the lowest block that was voted for.
    assert_eq!(commit(4, &[(1, 4), (2, 4), (3, 4), (4, 3)], &[3, 4]), None);
}

#[test]
fn who_votes_twice_counts_for_everything_but_only_a_third_may() {
    let tree = tree();
    let commit = |target: usize, votes: &[(u8, usize)]| {
        let votes: Vec<Vote> = votes
            .iter()
            .map(|(seed, it)| (*seed, of(&tree[*it])))
            .collect();
        justification(of(&tree[target]), &votes, 7, tree[1..].to_vec())
    };
    let fork = [(1, 3), (2, 3), (3, 5), (3, 1)];
    assert_eq!(both(&FOUR, &commit(3, &fork)), Some(of(&tree[3])));
    let voted = [(1, 3), (2, 5), (3, 5), (3, 1)];
    assert_eq!(both(&FOUR, &commit(3, &voted)), None);
    assert_eq!(both(&FOUR, &commit(1, &voted)), Some(of(&tree[1])));
    // Two of four: the nodes' crate would say that the block is final, of which the voters have signed the opposite, too.
    let cheats = [(4, 1), (1, 3), (2, 3), (2, 5), (3, 5), (3, 3)];
    let two_cheat = commit(3, &cheats);
    assert!(theirs(&FOUR)
        .unwrap()
        .check::<NodeHeader>(&two_cheat)
        .is_ok());
    assert_eq!(ours(&FOUR).unwrap().check(&two_cheat), Err(NotFinal));
}

#[test]
fn a_justification_is_whole() {
    let tree = tree();
    let votes: Vec<Vote> = vec![
        (1, of(&tree[2])),
        (2, of(&tree[3])),
        (3, of(&tree[2])),
        (4, of(&tree[2])),
    ];
    let good = justification(of(&tree[2]), &votes, 7, vec![tree[3].clone()]);
    assert_eq!(both(&FOUR, &good), Some(of(&tree[2])));
    for length in 0..good.len() {
        assert_eq!(both(&FOUR, &good[..length]), None);
    }
    assert_eq!(both(&FOUR, &[&good[..], &[0]].concat()), None);
    for bit in 0..8 * good.len() {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Nothing in it can be changed.
        assert_eq!(both(&FOUR, &flipped), None, "bit {bit}");
    }
    // Three quarters are enough, whatever the fourth's vote is about, but every signature has to be right.
    let mut unsigned = good.clone();
    let last_signature = 8 + 36 + 1 + 3 * 132 + 36;
    unsigned[last_signature] ^= 1;
    assert_eq!(both(&FOUR, &unsigned), None);
    // A count that promises more than there is takes no memory.
    let promised = [&good[..44], &[0xfe, 0xff, 0xff, 0xff], &good[45..]].concat();
    assert_eq!(both(&FOUR, &promised), None);
}

/// A signature that only ZIP 215 accepts, as the chain's nodes do: with a point of small order in it.
#[test]
fn signatures_are_judged_by_the_rule_of_the_nodes() {
    let odd = identity();
    let authorities = vec![(odd, 1)];
    let set = AuthoritySet::new(7, authorities.clone()).unwrap();
    let list = authorities
        .iter()
        .map(|(key, weight)| (sp_core::ed25519::Public::from_raw(*key).into(), *weight));
    let theirs = Voters::new(7, list.collect()).unwrap();
    // With a key of small order, R = identity and s = 0 hold for every message.
    let mut signature = [0u8; 64];
    signature[0] = 1;
    let block = of(&start());
    let vote = (block.0, block.1, signature, odd);
    let justification = (9u64, block.0, block.1, vec![vote], Vec::<NodeHeader>::new()).encode();
    assert!(theirs.check::<NodeHeader>(&justification).is_ok());
    assert!(set.check(&justification).is_ok());
}

/// The identity, as a key.
fn identity() -> [u8; 32] {
    let mut key = [0; 32];
    key[0] = 1;
    key
}

#[test]
fn the_next_authorities_are_those_that_nodes_read() {
    let other = DigestItem::Consensus(*b"FRNK", vec![1, 2, 3]);
    let not_grandpas = DigestItem::PreRuntime(
        *b"FRNK",
        match scheduled(&[1], 0) {
            DigestItem::Consensus(_, log) => log,
            _ => unreachable!(),
        },
    );
    let longer = match scheduled(&[1], 0) {
        DigestItem::Consensus(name, log) => DigestItem::Consensus(name, [&log[..], &[0]].concat()),
        _ => unreachable!(),
    };
    let cases = [
        vec![],
        vec![scheduled(&[5, 6], 0)],
        vec![scheduled(&[5, 6], 1)],
        // The first change counts.
        vec![scheduled(&[5, 6], 1), scheduled(&[7], 0)],
        vec![scheduled(&[5, 6], 0), scheduled(&[7], 0)],
        vec![forced(&[5])],
        vec![scheduled(&[5, 6], 0), forced(&[5])],
        vec![other, scheduled(&[], 0)],
        vec![not_grandpas],
        vec![longer],
    ];
    for logs in cases {
        let header = child(&start(), H256::default(), logs.clone());
        let theirs = next_by_nodes(&header).map(|list| list.encode());
        assert_eq!(
            next_authorities(&read(&header)).map(|list| list.encode()),
            theirs
        );
        let is_forced = logs.contains(&forced(&[5]));
        assert_eq!(forces_authorities(&read(&header)), is_forced);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_votes_on_any_tree_show_the_same_to_both(
        parents in prop::collection::vec(any::<prop::sample::Index>(), 1..7),
        votes in prop::collection::vec((1..7u8, any::<prop::sample::Index>()), 0..8),
        weights in prop::collection::vec(0..4u64, 5),
        target in any::<prop::sample::Index>(),
        left_out in prop::collection::vec(prop::bool::weighted(0.05), 8),
    ) {
        let mut tree = vec![start()];
        for (place, parent) in parents.iter().enumerate() {
            let parent = tree[parent.index(tree.len())].clone();
            tree.push(child(&parent, H256::repeat_byte(place as u8 + 1), vec![]));
        }
        let votes: Vec<Vote> = votes.iter().map(|(seed, it)| (*seed, of(&tree[it.index(tree.len())]))).collect();
        let ancestry = tree.iter().zip(left_out).filter(|(_, out)| !out).map(|(it, _)| it.clone());
        let weights: Vec<(u8, u64)> = (1..).zip(weights).collect();
        let Some(set) = ours(&weights) else {
            prop_assert!(theirs(&weights).is_none());
            return Ok(());
        };
        let targets = tree.iter().map(of);
        let target = target.index(tree.len());
        let justification_of = |it| justification(it, &votes, 7, ancestry.clone().collect());
        for (place, it) in targets.enumerate() {
            let bytes = justification_of(it);
            let shown = set.check(&bytes).is_ok();
            let oracle = theirs(&weights).unwrap().check::<NodeHeader>(&bytes).is_ok();
            if cheats(&votes, &weights) {
                prop_assert!(!shown);
            } else {
                prop_assert_eq!(shown, oracle);
            }
            if place == target {
                // Another number than the block's.
                prop_assert!(set.check(&justification_of((it.0, it.1 + 1))).is_err());
            }
        }
    }
}

/// Whether more than a third of the weight has signed two different votes.
fn cheats(votes: &[Vote], weights: &[(u8, u64)]) -> bool {
    let of = |seed: u8| votes.iter().filter(move |vote| vote.0 == seed);
    let twice = |seed: u8| of(seed).any(|vote| Some(vote) != of(seed).next());
    let cheating = weights.iter().filter(|(seed, _)| twice(*seed));
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    cheating.map(|(_, weight)| weight).sum::<u64>() > (total - 1) / 3
}
