// SPDX-License-Identifier: Apache-2.0

//! What a node does for many runs at once is what the rules say of each by itself: the chain must not depend on which of the two
//! was asked.

use crate::{
    run_checks::{
        run_checks::{links, signed_ones},
        GROUP, SIGNED,
    },
    HostSha256, Run, RunEntry, Runs,
};
use hashchain::{DataDigest, LinkHash, Tag};
use proptest::prelude::*;
use sp_core::{ed25519, Pair, H256};

type Signed = [u8; SIGNED];

fn signed(number: u8) -> Signed {
    let pair = ed25519::Pair::from_seed(&[number; 32]);
    let link = [number; 32];
    let signature = pair.sign(&hashchain::head_message(&LinkHash(link)));
    put_together(&signature.0, &pair.public().0, &link)
}

fn put_together(signature: &[u8; 64], key: &[u8; 32], link: &[u8; 32]) -> Signed {
    let mut signed = [0; SIGNED];
    signed[..64].copy_from_slice(signature);
    signed[64..96].copy_from_slice(key);
    signed[96..].copy_from_slice(link);
    signed
}

fn one_by_one(signed: &[Signed]) -> bool {
    signed.iter().all(|signed| {
        let (signature, rest) = signed.split_first_chunk().expect("it is longer");
        let (key, link) = rest.split_first_chunk().expect("it is longer");
        let link = LinkHash(link.try_into().expect("what is left"));
        sp_io::crypto::ed25519_verify(
            &ed25519::Signature::from_raw(*signature),
            &hashchain::head_message(&link),
            &ed25519::Public::from_raw(*key),
        )
    })
}

/// What the node says of each.
fn each_of(signed: &[u8]) -> Vec<bool> {
    let mut valid = vec![7; signed.len() / SIGNED];
    signed_ones(signed, &mut valid);
    valid.into_iter().map(|valid| valid == 1).collect()
}

fn all_signed(signed: &[u8]) -> bool {
    each_of(signed).into_iter().all(|valid| valid)
}

/// The neutral element as the signature's point, with the scalar 0, and a key.
fn odd(key: [u8; 32]) -> Signed {
    let mut signature = [0; 64];
    signature[0] = 1;
    put_together(&signature, &key, &[7; 32])
}

#[test]
fn odd_signatures_are_judged_alike() {
    // The neutral element as key holds for every message by ZIP 215, and some libraries refuse it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    // A point that is not canonical: y = p + 1, which stands for the neutral element, too.
    let mut other = [0xff; 32];
    other[0] = 0xee;
    other[31] = 0x7f;
    for key in [neutral, other] {
        let all = [signed(1), odd(key), signed(2)];
        assert!(one_by_one(&all));
        assert!(all_signed(all.as_flattened()));
    }
    assert!(all_signed(&[]));
}

/// The vectors of `docs/protocol/hashchain.md`, section 13, with what comes out by ZIP 215.
fn vectors() -> Vec<(Signed, bool)> {
    let file = include_str!("../../../../hashchain/tests/vectors/signatures-v1.json");
    let file: serde_json::Value = serde_json::from_str(file).expect("it is JSON");
    let tests = file["testGroups"][0]["tests"].as_array().expect("a list");
    assert_eq!(file["numberOfTests"], tests.len());
    let vectors = tests.iter().map(|test| {
        let bytes = |name: &str| {
            let digits = test[name].as_str().expect("text");
            sp_core::bytes::from_hex(digits).expect("hexadecimal digits")
        };
        let signed = [bytes("signature"), bytes("deviceKey"), bytes("link")].concat();
        (signed.try_into().expect("fits"), test["zip215"] == "valid")
    });
    vectors.collect()
}

fn by_the_rules(signed: &Signed) -> bool {
    let (signature, rest) = signed.split_first_chunk().expect("it is longer");
    let (key, link) = rest.split_first_chunk().expect("it is longer");
    let message = hashchain::head_message(&LinkHash(link.try_into().expect("what is left")));
    hashchain::is_signed_by_zip215(key, &message, signature)
}

#[test]
fn the_chain_accepts_exactly_what_the_vectors_say_alone_and_in_a_batch() {
    for (vector, valid) in vectors() {
        assert_eq!(one_by_one(&[vector]), valid);
        assert_eq!(by_the_rules(&vector), valid);
        assert_eq!(all_signed(&vector), valid);
        let among_others = [signed(1), vector, signed(2)];
        assert_eq!(all_signed(among_others.as_flattened()), valid);
    }
    let valid = vectors().into_iter().filter(|(_, valid)| *valid);
    let valid: Vec<Signed> = valid.map(|(vector, _)| vector).collect();
    assert!(all_signed(valid.as_flattened()));
}

#[test]
fn what_is_no_whole_signature_is_not_valid() {
    let two = [signed(1), signed(2)];
    for (bytes, places) in [
        (&two.as_flattened()[1..], 1),
        (two.as_flattened(), 1),
        (two.as_flattened(), 3),
        (&[0], 0),
    ] {
        let mut valid = vec![7; places];
        signed_ones(bytes, &mut valid);
        assert_eq!(valid, vec![0; places]);
    }
}

#[test]
fn the_bad_ones_are_told_among_more_than_one_processor_takes() {
    let mut all: Vec<Signed> = (0..600).map(|number| signed(number as u8)).collect();
    let last = all.len() - 1;
    let few = [&[][..], &[0], &[299, 300], &[GROUP - 1, GROUP, last], &[]];
    let most: Vec<usize> = (0..last).collect();
    // Whether some were bad the last time is remembered, and makes no difference.
    for bad in few.into_iter().chain([&most[..], &[], &[last]]) {
        bad.iter().for_each(|place| all[*place][0] ^= 1);
        let expected = (0..all.len()).map(|place| !bad.contains(&place));
        assert_eq!(each_of(all.as_flattened()), expected.collect::<Vec<_>>());
        bad.iter().for_each(|place| all[*place][0] ^= 1);
    }
}

proptest! {
    #[test]
    fn one_changed_bit_is_seen_together_as_by_itself(
        count in 1u8..20,
        which: prop::sample::Index,
        bit in 0usize..SIGNED * 8,
    ) {
        let mut all: Vec<_> = (0..count).map(signed).collect();
        prop_assert!(all_signed(all.as_flattened()));
        let bad = which.index(usize::from(count));
        all[bad][bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!one_by_one(&all));
        let others: Vec<bool> = (0..usize::from(count)).map(|place| place != bad).collect();
        prop_assert_eq!(each_of(all.as_flattened()), others);
    }

    #[test]
    fn the_chain_and_the_rules_agree_on_whatever_is_made_of_the_vectors(
        which in any::<prop::sample::Index>(),
        bits in prop::collection::vec(0usize..SIGNED * 8, 0..3),
    ) {
        let vectors = vectors();
        let (mut vector, _) = *which.get(&vectors);
        for bit in bits {
            vector[bit / 8] ^= 1 << (bit % 8);
        }
        let valid = by_the_rules(&vector);
        prop_assert_eq!(one_by_one(&[vector]), valid);
        prop_assert_eq!(all_signed([signed(1), vector].as_flattened()), valid);
    }

    #[test]
    fn links_are_those_of_each_run_by_itself(
        lengths in prop::collection::vec(0usize..70, 0..6),
        sequence: u64,
    ) {
        let runs: Vec<Run> = (0..).zip(&lengths).map(|(device, length)| Run {
            device,
            sequence: sequence.wrapping_add(u64::from(device)),
            previous: H256([device as u8; 32]),
            entries: (0..*length)
                .map(|place| RunEntry { digest: hash(place as u64), tag: hash(99) })
                .collect::<Vec<_>>()
                .try_into()
                .expect("short"),
            signature: (device % 2 == 0).then_some([3; 64]),
        }).collect();
        let mut expected = Vec::new();
        for run in &runs {
            let mut previous = LinkHash(run.previous.0);
            for (place, entry) in (0..).zip(&run.entries) {
                previous = hashchain::link::<HostSha256>(
                    run.sequence.wrapping_add(place),
                    &previous,
                    &DataDigest(entry.digest.0),
                    &Tag(entry.tag.0),
                );
                expected.push(previous.0);
            }
        }

        let runs = Runs::try_from(runs).expect("few");
        let mut found = vec![[0; 32]; expected.len()];
        links(runs.as_bytes(), found.as_flattened_mut());

        prop_assert_eq!(found, expected);
    }
}

fn hash(number: u64) -> H256 {
    H256::from_low_u64_be(number)
}
