// SPDX-License-Identifier: Apache-2.0

//! Signatures checked together and one by one: the chain must not depend on which of the two a node did.

use crate::signatures::{hashchain_signatures::ed25519_verify_all, SignedMessage};
use proptest::prelude::*;
use sp_core::{ed25519, Pair};

fn signed(number: u8) -> SignedMessage {
    let pair = ed25519::Pair::from_seed(&[number; 32]);
    let message = vec![number; 45];
    (pair.sign(&message), pair.public(), message)
}

fn one_by_one(signed: &[SignedMessage]) -> bool {
    signed
        .iter()
        .all(|(signature, key, message)| sp_io::crypto::ed25519_verify(signature, message, key))
}

/// The neutral element as key and as the signature's point, with the scalar 0: it holds for every message by ZIP 215, and
/// some libraries refuse it.
fn odd() -> SignedMessage {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&neutral);
    (
        ed25519::Signature::from_raw(signature),
        ed25519::Public::from_raw(neutral),
        b"whatever".to_vec(),
    )
}

#[test]
fn odd_signatures_are_judged_alike() {
    // A point that is not canonical: y = p + 1, which stands for the neutral element, too.
    let mut other = odd();
    let mut point = [0xff; 32];
    point[0] = 0xee;
    point[31] = 0x7f;
    other.1 = ed25519::Public::from_raw(point);
    for odd in [odd(), other] {
        let all = vec![signed(1), odd, signed(2)];
        assert!(one_by_one(&all));
        assert!(ed25519_verify_all(all));
    }
    assert!(ed25519_verify_all(Vec::new()));
}

proptest! {
    #[test]
    fn one_changed_bit_is_seen_together_as_by_itself(
        count in 1u8..20,
        which: prop::sample::Index,
        bit in 0usize..(64 + 32 + 45) * 8,
    ) {
        let mut all: Vec<_> = (0..count).map(signed).collect();
        prop_assert!(ed25519_verify_all(all.clone()));
        let (signature, key, message) = &mut all[which.index(usize::from(count))];
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        match byte {
            0..64 => signature.0[byte] ^= mask,
            64..96 => key.0[byte - 64] ^= mask,
            _ => message[byte - 96] ^= mask,
        }
        prop_assert!(!one_by_one(&all));
        prop_assert!(!ed25519_verify_all(all));
    }
}
