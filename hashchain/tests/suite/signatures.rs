// SPDX-License-Identifier: Apache-2.0

//! The two rules by which signatures are judged, on signatures that only the holder of a key can make. The file of vectors is made
//! here, with what must come out of both rules by their definitions; the libraries are then compared with it.

use std::collections::BTreeSet;

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use hashchain::testing::{challenge, encoded, keys, sign_oddly, sign_with};
use hashchain::{
    head_message, is_signed_by_zip215, is_strictly_signed, is_weak_device_key, sign_head, LinkHash,
};
use proptest::prelude::*;
use serde_json::{json, Value};

const FILE: &str = "tests/vectors/signatures-v1.json";
/// Set to write the vectors anew.
const WRITE: &str = "WRITE_VECTORS";

/// What both rules say of a signature, by their definitions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// Valid by both.
    Strict,
    /// Valid by ZIP 215 only.
    Zip215Only,
    /// Valid by neither.
    Neither,
}

struct Case {
    comment: String,
    key: [u8; 32],
    link: LinkHash,
    signature: [u8; 64],
    outcome: Outcome,
}

/// The honest device of the vectors.
struct Signer {
    private: Scalar,
    point: EdwardsPoint,
    key: [u8; 32],
    nonce: Scalar,
    nonce_point: EdwardsPoint,
}

impl Signer {
    fn new() -> Self {
        let (signing, _) = keys(&[0x51; 32]);
        let nonce = Scalar::from_bytes_mod_order([0x17; 32]);
        let private = signing.to_scalar();
        Self {
            private,
            point: &private * ED25519_BASEPOINT_TABLE,
            key: signing.verifying_key().to_bytes(),
            nonce,
            nonce_point: &nonce * ED25519_BASEPOINT_TABLE,
        }
    }

    /// A signature with points of small order added to the key and to the signature's point, over the first link for which the two
    /// cancel each other out, or do not.
    fn mixed(&self, in_key: usize, in_point: usize, cancels: bool) -> Case {
        let key = encoded(&(self.point + EIGHT_TORSION[in_key]));
        let point = encoded(&(self.nonce_point + EIGHT_TORSION[in_point]));
        let link = (0..=255).map(|byte| LinkHash([byte; 32])).find(|link| {
            let k = challenge(&key, &point, &head_message(link));
            // R' + kA' = R + kA + (T + kU), with T and U of small order.
            let rest = EIGHT_TORSION[in_point] + k * EIGHT_TORSION[in_key];
            rest.is_identity() == cancels
        });
        let link = link.expect("one in eight does, and most do not");
        let message = head_message(&link);
        Case {
            comment: format!(
                "order {} in the key, order {} in R{}",
                order(in_key),
                order(in_point),
                match cancels {
                    true => ", which cancel each other out for this message",
                    false => "",
                }
            ),
            key,
            link,
            signature: sign_with(&self.private, &key, &self.nonce, &point, &message),
            outcome: match cancels {
                true => Outcome::Strict,
                false => Outcome::Zip215Only,
            },
        }
    }

    fn case(
        &self,
        comment: impl Into<String>,
        signature: [u8; 64],
        link: LinkHash,
        outcome: Outcome,
    ) -> Case {
        Case {
            comment: comment.into(),
            key: self.key,
            link,
            signature,
            outcome,
        }
    }
}

fn order(torsion: usize) -> u8 {
    match torsion {
        0 => 1,
        4 => 2,
        2 | 6 => 4,
        _ => 8,
    }
}

/// Encodings of points of small order that are not canonical: y is not below p, or x is zero and called negative.
fn not_canonical() -> [(&'static str, [u8; 32]); 6] {
    let low = |first, last| {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let high = |first, last| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    [
        ("y = 1 with a negative zero as x", low(1, 0x80)),
        ("y = p - 1 with a negative zero as x", high(0xec, 0xff)),
        ("y = p", high(0xed, 0x7f)),
        ("y = p with a negative x", high(0xed, 0xff)),
        ("y = p + 1", high(0xee, 0x7f)),
        ("y = p + 1 with a negative zero as x", high(0xee, 0xff)),
    ]
}

fn cases() -> Vec<Case> {
    let signer = Signer::new();
    let link = LinkHash([0x2a; 32]);
    let message = head_message(&link);
    let (signing, _) = keys(&[0x51; 32]);
    let honest = sign_head(&signing, &link);
    let mut cases = vec![
        signer.case("an honest signature", honest, link, Outcome::Strict),
        signer.case(
            "another message",
            honest,
            LinkHash([0x2b; 32]),
            Outcome::Neither,
        ),
    ];
    // Points of mixed order: R, the key, and both.
    for torsion in 1..8 {
        cases.push(signer.mixed(0, torsion, false));
    }
    for torsion in 1..8 {
        cases.push(signer.mixed(torsion, 0, false));
        cases.push(signer.mixed(torsion, 0, true));
    }
    for (in_key, in_point) in [(4, 4), (1, 7), (2, 6), (3, 4)] {
        cases.push(signer.mixed(in_key, in_point, false));
    }
    for (in_key, in_point) in [(4, 4), (1, 7)] {
        cases.push(signer.mixed(in_key, in_point, true));
    }
    // Points of small order, in canonical form and in others.
    let mut small: Vec<(String, [u8; 32])> = (0..8)
        .map(|torsion| {
            let name = format!("order {}, canonical", order(torsion));
            (name, encoded(&EIGHT_TORSION[torsion]))
        })
        .collect();
    small.extend(not_canonical().map(|(name, bytes)| (name.to_owned(), bytes)));
    for (name, point) in &small {
        cases.push(signer.case(
            format!("R of small order: {name}"),
            sign_with(&signer.private, &signer.key, &Scalar::ZERO, point, &message),
            link,
            Outcome::Zip215Only,
        ));
        let nonce_point = encoded(&signer.nonce_point);
        cases.push(Case {
            comment: format!("key of small order: {name}"),
            key: *point,
            link,
            signature: sign_with(&Scalar::ZERO, point, &signer.nonce, &nonce_point, &message),
            outcome: Outcome::Zip215Only,
        });
    }
    // What no rule takes.
    let mut beyond = honest;
    add_group_order(&mut beyond);
    cases.push(signer.case("s + L", beyond, link, Outcome::Neither));
    let mut not_on_the_curve = [0; 32];
    not_on_the_curve[0] = 2;
    let mut off_curve = honest;
    off_curve[..32].copy_from_slice(&not_on_the_curve);
    cases.push(signer.case("R is not on the curve", off_curve, link, Outcome::Neither));
    cases.push(Case {
        key: not_on_the_curve,
        ..signer.case(
            "the key is not on the curve",
            honest,
            link,
            Outcome::Neither,
        )
    });
    cases.push(signer.case("all zero", [0; 64], link, Outcome::Neither));
    cases
}

/// Adds the order of the group to the scalar of a signature.
fn add_group_order(signature: &mut [u8; 64]) {
    let order = (-Scalar::ONE).to_bytes();
    // L - 1, and one more.
    let mut carry = 1;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

fn words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Strict => ("valid", "valid"),
        Outcome::Zip215Only => ("valid", "invalid"),
        Outcome::Neither => ("invalid", "invalid"),
    }
}

fn made() -> Value {
    let tests: Vec<Value> = cases()
        .iter()
        .zip(1..)
        .map(|(case, number)| {
            let (zip215, strict) = words(case.outcome);
            json!({
                "tcId": number,
                "comment": case.comment,
                "deviceKey": hex::encode(case.key),
                "link": hex::encode(case.link.0),
                "message": hex::encode(head_message(&case.link)),
                "signature": hex::encode(case.signature),
                "weakKey": is_weak_device_key(&case.key),
                "zip215": zip215,
                "strict": strict,
            })
        })
        .collect();
    json!({
        "schema": "signatures-v1",
        "generator": "hashchain/tests/suite/signatures.rs",
        "numberOfTests": tests.len(),
        "testGroups": [{ "type": "Signature", "tests": tests }],
    })
}

#[test]
fn the_vectors_are_those_that_are_made_here() {
    let made = made();
    if std::env::var_os(WRITE).is_some() {
        let text = serde_json::to_string_pretty(&made).expect("it is JSON") + "\n";
        std::fs::write(FILE, text).expect("the vectors can be written");
    }
    let stored = std::fs::read(FILE).expect("the vectors can be read");
    let stored: Value = serde_json::from_slice(&stored).expect("the vectors are JSON");
    assert_eq!(stored, made, "{WRITE}=1 writes them anew");
    let outcomes: BTreeSet<Outcome> = cases().iter().map(|case| case.outcome).collect();
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn both_rules_say_what_the_vectors_say() {
    for case in cases() {
        let message = head_message(&case.link);
        let found = (
            is_signed_by_zip215(&case.key, &message, &case.signature),
            is_strictly_signed(&case.key, &message, &case.signature),
        );
        let (zip215, strict) = words(case.outcome);
        assert_eq!(
            found,
            (zip215 == "valid", strict == "valid"),
            "{}",
            case.comment
        );
    }
}

#[test]
fn what_only_the_chain_accepts_takes_the_private_key_and_is_made_in_a_moment() {
    let (signing, _) = keys(&[8; 32]);
    let key = signing.verifying_key().to_bytes();
    let signature = sign_oddly(&signing, b"a night");
    assert!(is_signed_by_zip215(&key, b"a night", &signature));
    assert!(!is_strictly_signed(&key, b"a night", &signature));
    assert!(!is_signed_by_zip215(&key, b"another", &signature));
}

proptest! {
    #[test]
    fn whatever_is_strictly_signed_is_signed_by_zip215(
        case in any::<prop::sample::Index>(),
        bits in prop::collection::vec(0usize..(64 + 32 + 67) * 8, 0..3),
    ) {
        let cases = cases();
        let case = case.get(&cases);
        let mut message = head_message(&case.link);
        let (mut key, mut signature) = (case.key, case.signature);
        for bit in bits {
            let byte = bit / 8;
            let place = match byte {
                0..64 => &mut signature[byte],
                64..96 => &mut key[byte - 64],
                _ => &mut message[byte - 96],
            };
            *place ^= 1 << (bit % 8);
        }
        let strict = is_strictly_signed(&key, &message, &signature);
        prop_assert!(!strict || is_signed_by_zip215(&key, &message, &signature));
    }
}
