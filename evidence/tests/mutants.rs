// SPDX-License-Identifier: Apache-2.0

//! Proofs with something changed in them: whatever the crates of the chain's nodes say of one, the reader says.

mod support;

use codec::{Decode, DecodeAll, Encode};
use mhealth_evidence::{Blobs, FormatError, Handover, HeadProof};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sp_core::H256;
use sp_runtime::generic::DigestItem;
use support::*;

/// How many mutants; set to try more.
const MUTANTS: &str = "MHEALTH_MUTANTS";

fn mutants(usual: usize) -> usize {
    let asked = std::env::var(MUTANTS).ok();
    asked.map_or(usual, |asked| asked.parse().expect("a number"))
}

/// The fields of a proof, as the chain's nodes would write and read them.
type ByNodes = (
    Option<(NodeHeader, Vec<Vec<u8>>)>,
    Vec<(NodeHeader, Vec<u8>)>,
    NodeHeader,
    Vec<NodeHeader>,
    Vec<u8>,
    Vec<Vec<u8>>,
);

/// Reads bytes as a proof, by both; they agree in what they read.
fn decoded(bytes: &[u8]) -> Option<HeadProof> {
    let ours = HeadProof::from_bytes(bytes);
    let theirs = bytes.split_first().filter(|(version, _)| **version == 1);
    let theirs = theirs.and_then(|(_, rest)| ByNodes::decode_all(&mut &rest[..]).ok());
    let theirs = theirs.filter(|it| it.encode() == bytes[1..]);
    let within = |it: &ByNodes| {
        it.1.len() <= HeadProof::MOST_HANDOVERS && it.3.len() <= HeadProof::MOST_DESCENDANTS
    };
    assert_eq!(ours.is_ok(), theirs.is_some_and(|it| within(&it)));
    if let Ok(proof) = &ours {
        assert_eq!(proof.to_bytes(), bytes);
    }
    ours.ok()
}

/// Both agree on what a proof shows. Says whether it shows anything.
fn agree(genesis: [u8; 32], proof: &HeadProof) -> bool {
    let (ours, theirs) = (shown(genesis, proof), oracle(genesis, proof));
    let shows = ours.is_some();
    // Not assert_eq: what is printed should be short.
    assert!(
        ours == theirs,
        "{:?} {:?}",
        ours.map(|it| it.0),
        theirs.map(|it| it.0)
    );
    shows
}

#[test]
fn a_genuine_proof_shows_what_stands_in_the_state() {
    for world in [World::new(), World::newer()] {
        let bytes = world.proof.to_bytes();
        let proof = decoded(&bytes).unwrap();
        assert_eq!(proof, world.proof);
        assert!(agree(world.genesis, &proof));
        let (block, set, said) = shown(world.genesis, &proof).unwrap();
        assert_eq!((block, set), (world.headers[3].hash(), 2));
        assert_eq!(said.iter().filter(|it| it.is_err()).count(), 0);
        assert_eq!(said.iter().filter(|it| **it == Ok(None)).count(), 6);
    }
}

#[test]
fn no_flipped_bit_shows_another_thing() {
    for world in World::small() {
        let bytes = world.proof.to_bytes();
        let genuine = shown(world.genesis, &world.proof).unwrap();
        let mut read = 0;
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Some(proof) = decoded(&flipped) else {
                continue;
            };
            read += 1;
            agree(world.genesis, &proof);
            // A flipped node is none of the state's; what it said is then not proved.
            let Some((block, set, said)) = shown(world.genesis, &proof) else {
                continue;
            };
            assert_eq!((block, set), (genuine.0, genuine.1), "bit {bit}");
            for (said, genuine) in said.iter().zip(&genuine.2) {
                assert!(said == genuine || said.is_err(), "bit {bit}");
            }
        }
        assert!(read > 4 * bytes.len());
    }
}

#[test]
fn no_shorter_and_no_longer_bytes_are_a_proof() {
    let bytes = World::new().proof.to_bytes();
    for length in 0..bytes.len() {
        let code = HeadProof::from_bytes(&bytes[..length]).unwrap_err().code();
        assert_eq!(code, "proof_malformed");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(HeadProof::from_bytes(&longer), Err(FormatError::Malformed));
    let other = [&[2], &bytes[1..]].concat();
    assert_eq!(
        HeadProof::from_bytes(&other),
        Err(FormatError::UnknownVersion(2))
    );
    let large = [&bytes[..], &vec![0; HeadProof::LARGEST]].concat();
    assert_eq!(HeadProof::from_bytes(&large), Err(FormatError::TooLarge));
}

#[test]
fn more_handovers_than_an_answer_may_have_are_no_proof() {
    let world = World::new();
    let mut proof = world.proof.clone();
    let handover = proof.finality.handovers[0].clone();
    proof.finality.handovers = vec![handover.clone(); 64];
    assert!(HeadProof::from_bytes(&proof.to_bytes()).is_ok());
    proof.finality.handovers.push(handover);
    assert_eq!(
        HeadProof::from_bytes(&proof.to_bytes()),
        Err(FormatError::TooLarge)
    );
    assert_eq!(decoded(&proof.to_bytes()), None);
}

#[test]
fn mutants_of_the_bytes_are_judged_as_by_nodes() {
    let mutants = mutants(50_000);
    let random = &mut StdRng::seed_from_u64(19);
    let worlds = [World::new(), World::newer()];
    let (mut read, mut shown) = (0, 0);
    for mutant in 0..mutants {
        let world = &worlds[mutant % 2];
        let mut bytes = world.proof.to_bytes();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut bytes, random);
        }
        if let Some(proof) = decoded(&bytes) {
            read += 1;
            shown += usize::from(agree(world.genesis, &proof));
        }
    }
    // They reach what they are to test.
    assert!(
        read > mutants / 10 && shown > mutants / 100,
        "{read} {shown}"
    );
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let place = random.random_range(0..bytes.len());
    match random.random_range(0..8) {
        0 | 1 => bytes[place] ^= 1 << random.random_range(0..8),
        2 | 3 => bytes[place] = random.random(),
        // The nodes at the end, where a change leaves the rest of the proof as it was.
        4 => {
            let place = bytes.len() - 1 - random.random_range(0..bytes.len() / 3);
            bytes[place] = random.random();
        }
        5 => bytes.insert(place, random.random()),
        6 => drop(bytes.remove(place)),
        _ => {
            let length = random.random_range(1..100.min(bytes.len() / 2));
            let from = random.random_range(0..bytes.len() - length);
            let to = random.random_range(0..bytes.len() - length);
            bytes.copy_within(from..from + length, to);
        }
    }
}

#[test]
fn mutants_that_are_signed_anew_are_judged_as_by_nodes() {
    let mutants = mutants(10_000);
    let random = &mut StdRng::seed_from_u64(20);
    let worlds = [World::new(), World::newer()];
    let mut shown = 0;
    for mutant in 0..mutants {
        let world = &worlds[mutant % 2];
        let mut proof = world.proof.clone();
        for _ in 0..random.random_range(1..3) {
            rebuild(&mut proof, world, &worlds[1 - mutant % 2], random);
        }
        let read = decoded(&proof.to_bytes()).unwrap_or(proof);
        shown += usize::from(agree(world.genesis, &read));
    }
    assert!(shown > mutants / 10 && shown < mutants * 9 / 10, "{shown}");
}

/// Some voters, mostly enough of the right set.
fn some_voters(world: &World, random: &mut StdRng) -> (Vec<u8>, u64) {
    let set = random.random_range(0..3u64);
    let seeds = &world.sets[set as usize];
    let count = random.random_range(1..=seeds.len() + 1);
    let mut voters: Vec<u8> = seeds.choose_multiple(random, count).copied().collect();
    if random.random_bool(0.2) {
        voters.push(*voters.choose(random).unwrap_or(&1));
    }
    if random.random_bool(0.2) {
        voters.push(random.random_range(1..15));
    }
    let set = if random.random_bool(0.9) {
        set
    } else {
        random.random_range(0..4)
    };
    (voters, set)
}

fn rebuild(proof: &mut HeadProof, world: &World, other: &World, random: &mut StdRng) {
    let finality = &mut proof.finality;
    let handover = |place: usize, random: &mut StdRng| {
        let parent = &world.headers[place];
        let logs = match random.random_range(0..6) {
            0 => vec![scheduled(&world.sets[place + 1], 1)],
            1 => vec![forced(&world.sets[place + 1])],
            2 => vec![
                DigestItem::Other(vec![1]),
                scheduled(&world.sets[place + 1], 0),
                scheduled(&[1], 0),
            ],
            3 => vec![],
            4 => vec![scheduled(&[], 0)],
            _ => vec![scheduled(&world.sets[place + 1], 0)],
        };
        let header = child(parent, H256::repeat_byte(random.random()), logs);
        let voters = match random.random_bool(0.7) {
            true => (world.sets[place].clone(), place as u64),
            false => some_voters(world, random),
        };
        Handover {
            justification: justify(&header, &voters.0, voters.1),
            header: read(&header),
        }
    };
    match random.random_range(0..14) {
        0 => finality.handovers.truncate(random.random_range(0..3)),
        1 => finality.handovers.reverse(),
        2 | 3 => {
            let place = random.random_range(0..2);
            let made = handover(place, random);
            if let Some(there) = finality.handovers.get_mut(place) {
                *there = made;
            }
        }
        4 => finality.descendants.clear(),
        5 => {
            finality.descendants.clear();
            finality.justification = justify(&written(&finality.block), &world.sets[2], 2);
        }
        6 | 7 => {
            // More blocks after it, of which one is voted for.
            let mut above = vec![written(
                finality.descendants.last().unwrap_or(&finality.block),
            )];
            for _ in 0..random.random_range(0..3) {
                let next = child(
                    above.last().unwrap(),
                    H256::repeat_byte(random.random()),
                    vec![],
                );
                above.push(next);
            }
            let mut votes: Vec<Vote> = some_voters(world, random)
                .0
                .into_iter()
                .chain(
                    world.sets[2]
                        .iter()
                        .copied()
                        .take(random.random_range(0..5)),
                )
                .map(|seed| (seed, of(above.choose(random).unwrap())))
                .collect();
            // Where more than one of four cheats the reader is stricter; tests/finality.rs has that.
            let mut cheat = None;
            let mut first = std::collections::BTreeMap::new();
            votes.retain(|(seed, block)| {
                *first.entry(*seed).or_insert(*block) == *block
                    || *cheat.get_or_insert(*seed) == *seed
            });
            let target = random.random_range(0..above.len());
            if target > 0 {
                finality
                    .descendants
                    .extend(above[1..=target].iter().map(read));
            }
            finality.justification =
                justification(of(&above[target]), &votes, 2, above[1..].to_vec());
        }
        8 => {
            let (voters, set) = some_voters(world, random);
            let last = finality.descendants.last().unwrap_or(&finality.block);
            finality.justification = justify(&written(last), &voters, set);
        }
        9 => finality.nodes = other.proof.finality.nodes.clone(),
        10 | 11 => {
            let kept = finality.nodes.iter().filter(|_| random.random_bool(0.8));
            finality.nodes = kept.map(<[u8]>::to_vec).collect();
        }
        12 => proof.first.clone_from(&other.proof.first),
        _ => {
            // A block of another state, signed by those who may.
            let mut block = written(&finality.block);
            if random.random_bool(0.5) {
                block.state_root = H256(other.proof.finality.block.state_root);
                finality.nodes = other.proof.finality.nodes.clone();
            } else {
                block.number += random.random_range(0..3);
            }
            finality.block = read(&block);
            finality.descendants.clear();
            finality.justification = justify(&block, &world.sets[2][1..], 2);
        }
    }
}

#[test]
fn lists_of_nothing_take_no_more_memory_than_bytes() {
    // Two hundred thousand empty nodes.
    let world = World::new();
    let mut proof = world.proof;
    let nothing: Blobs = vec![[0u8; 0]; 200_000].into_iter().collect();
    proof.finality.nodes = nothing;
    let read = HeadProof::from_bytes(&proof.to_bytes()).unwrap();
    assert_eq!(
        (read.finality.nodes.len(), read.finality.nodes.size()),
        (200_000, 200_000)
    );
    // A count without items.
    assert!(Blobs::decode(&mut &[0xfe, 0xff, 0xff, 0xff, 0][..]).is_err());
}
