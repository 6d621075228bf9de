// SPDX-License-Identifier: Apache-2.0

//! Hashing is pluggable: another SHA-256, as the runtime's host function is one, gives the same results.

use hashchain::{
    data_digest, encoding, escrow_commitment, genesis, link, secret_commitment, DataDigest,
    Enrolment, LinkHash, LinkVerifier, Native, Sha256, Tag,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::making::{flip, made};

/// SHA-256 as FIPS 180-4 writes it, its constants computed from the primes.
struct ByTheBook;

impl Sha256 for ByTheBook {
    fn sha256(data: &[u8]) -> [u8; 32] {
        let primes: Vec<u128> = (2..312)
            .filter(|n| (2..*n).all(|divisor| n % divisor != 0))
            .collect();
        // The first 32 bits of the fractional parts of the cube roots and square roots.
        let k: Vec<u32> = primes.iter().map(|p| root(p << 96, 3) as u32).collect();
        let mut state: Vec<u32> = primes[..8]
            .iter()
            .map(|p| root(p << 64, 2) as u32)
            .collect();

        let mut padded = data.to_vec();
        padded.push(0x80);
        padded.resize(padded.len().next_multiple_of(64), 0);
        if padded.len() < data.len() + 9 {
            padded.resize(padded.len() + 64, 0);
        }
        let end = padded.len() - 8;
        padded[end..].copy_from_slice(&(data.len() as u64 * 8).to_be_bytes());

        for block in padded.chunks_exact(64) {
            let mut w: Vec<u32> = block
                .chunks_exact(4)
                .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
                .collect();
            for t in 16..64 {
                let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
                let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
                w.push(
                    w[t - 16]
                        .wrapping_add(s0)
                        .wrapping_add(w[t - 7])
                        .wrapping_add(s1),
                );
            }
            let mut v = state.clone();
            for t in 0..64 {
                let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
                let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
                let one = [s1, choice, k[t], w[t]]
                    .into_iter()
                    .fold(v[7], u32::wrapping_add);
                let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
                let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
                v.rotate_right(1);
                v[4] = v[4].wrapping_add(one);
                v[0] = one.wrapping_add(s0).wrapping_add(majority);
            }
            for (sum, word) in state.iter_mut().zip(v) {
                *sum = sum.wrapping_add(word);
            }
        }
        let digest: Vec<u8> = state.into_iter().flat_map(u32::to_be_bytes).collect();
        digest.try_into().expect("eight words")
    }
}

/// The largest whole number whose power is not above `n`.
fn root(n: u128, power: u32) -> u128 {
    let mut root = 0;
    for bit in (0..40).rev() {
        let more: u128 = root | 1 << bit;
        if more.checked_pow(power).is_some_and(|p| p <= n) {
            root = more;
        }
    }
    root
}

#[test]
fn the_second_implementation_is_sha_256() {
    let digest = hex::encode(ByTheBook::sha256(b"abc"));
    assert_eq!(
        digest,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_hash_is_the_same_whoever_computes_it(
        envelope in vec(any::<u8>(), 0..300), sequence in any::<u64>(),
        (a, b, c) in any::<([u8; 32], [u8; 32], [u8; 32])>(),
    ) {
        prop_assert_eq!(Native::sha256(&envelope), ByTheBook::sha256(&envelope));
        prop_assert_eq!(data_digest::<Native>(&envelope), data_digest::<ByTheBook>(&envelope));
        prop_assert_eq!(
            data_digest::<Native>(&envelope).0,
            encoding::hash::<ByTheBook>("data", &[&envelope])
        );
        prop_assert_eq!(
            escrow_commitment::<Native>(&envelope),
            escrow_commitment::<ByTheBook>(&envelope)
        );
        let (previous, digest, tag) = (LinkHash(a), DataDigest(b), Tag(c));
        prop_assert_eq!(
            link::<Native>(sequence, &previous, &digest, &tag),
            link::<ByTheBook>(sequence, &previous, &digest, &tag)
        );
    }

    #[test]
    fn every_chain_is_judged_the_same_whoever_hashes(made in made(), bit in any::<Index>()) {
        let secret = made.secret();
        prop_assert_eq!(
            secret_commitment::<Native>(&secret),
            secret_commitment::<ByTheBook>(&secret)
        );
        let enrolment = Enrolment {
            chain: &made.chain,
            study: hashchain::StudyId(made.study),
            device_key: &made.device_key,
            predecessor: None,
            secret_commitment: &made.secret_commitment,
            escrow_commitment: &escrow_commitment::<ByTheBook>(&made.escrow),
        };
        prop_assert_eq!(genesis::<Native>(&enrolment), genesis::<ByTheBook>(&enrolment));

        let mut native = LinkVerifier::<Native>::new(made.genesis());
        let mut by_the_book = LinkVerifier::<ByTheBook>::new(made.genesis());
        for entry in &made.entries {
            let mut altered = *entry;
            flip(&mut altered.tag.0, bit);
            prop_assert_eq!(native.check(&altered), by_the_book.check(&altered));
            prop_assert_eq!(native.follow(entry), Ok(()));
            prop_assert_eq!(by_the_book.follow(entry), Ok(()));
        }
        prop_assert_eq!(native.check_head(&made.head), by_the_book.check_head(&made.head));
    }
}
