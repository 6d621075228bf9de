// SPDX-License-Identifier: Apache-2.0

//! Planted mistakes: verifiers that leave out one rule each. The vectors must tell every one of them from
//! a right one, or they would not notice the same mistake in a client. One case that the file has not is
//! added here: an entry that is sound in itself, but follows another than the one before it.

use hashchain::{is_strictly_signed, Native, Sha256};

use crate::vector_file::{ChainGroup, ChainTest, EncodingTest, Expected, VectorFile};

/// What a mistaken author forgot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Encodings do not start with the domain.
    NoDomain,
    /// Parts are put together without their lengths.
    NoLengths,
    /// Labels are left out: what is a link could be a tag.
    NoLabels,
    /// Envelopes are not compared with their digests.
    NoDigest,
    /// The entry's claimed hash is believed.
    NoLink,
    /// An entry need not name the hash of the one before.
    NoPrevious,
    /// Where the entries end is not compared with the head.
    NoHead,
    /// Tags are not checked.
    NoTag,
    /// A tag is good when any key of the chain makes it, not only that of its position.
    AnyKey,
    /// Only the first key is used: no ratchet.
    NoRatchet,
    /// Signatures are not checked.
    NoSignature,
    /// A signature over the bare head is good as well.
    BareHead,
}

const MISTAKES: [Mistake; 12] = [
    Mistake::NoDomain,
    Mistake::NoLengths,
    Mistake::NoLabels,
    Mistake::NoDigest,
    Mistake::NoLink,
    Mistake::NoPrevious,
    Mistake::NoHead,
    Mistake::NoTag,
    Mistake::AnyKey,
    Mistake::NoRatchet,
    Mistake::NoSignature,
    Mistake::BareHead,
];

#[test]
fn a_verifier_without_mistakes_misjudges_no_vector() {
    assert_eq!(misjudged(Mistake::None), Vec::<u32>::new());
}

#[test]
fn the_vectors_catch_every_planted_mistake() {
    for mistake in MISTAKES {
        assert_ne!(
            misjudged(mistake),
            Vec::<u32>::new(),
            "{mistake:?} goes unnoticed"
        );
    }
}

/// The tests that a verifier with this mistake judges wrongly.
fn misjudged(mistake: Mistake) -> Vec<u32> {
    let file = VectorFile::shipped();
    let encodings = file
        .encodings()
        .filter(|test| encodes(mistake, test) != (test.result == Expected::Valid))
        .map(|test| test.tc_id);
    let chains = file
        .chains()
        .filter(|(group, test)| caught_by(mistake, group, test) != test.caught_by.as_deref())
        .map(|(_, test)| test.tc_id);
    let spliced = file
        .chains()
        .filter(|(_, test)| test.result == Expected::Valid)
        .map(|(group, test)| (group, spliced(test)))
        .filter(|(group, test)| caught_by(mistake, group, test) != Some("link"))
        .map(|(_, test)| test.tc_id);
    encodings.chain(chains).chain(spliced).collect()
}

/// The same chain with its last entry put after another one, with a hash to match.
fn spliced(test: &ChainTest) -> ChainTest {
    let mut test = test.clone();
    let last = test.entries.last_mut().expect("a chain with entries");
    last.previous.0[0] ^= 1;
    let parts: [&[u8]; 4] = [
        &last.sequence.to_be_bytes(),
        &last.previous.0,
        &last.digest.0,
        &last.tag.0,
    ];
    last.hash.0 = hash(Mistake::None, "link", &parts);
    test.head = last.hash.clone();
    test
}

fn encodes(mistake: Mistake, test: &EncodingTest) -> bool {
    let parts: Vec<&[u8]> = test.parts.iter().map(|part| part.0.as_slice()).collect();
    encode(mistake, &test.label, &parts) == test.encoding.0
}

/// What an auditor with this mistake finds wrong with a chain.
fn caught_by(mistake: Mistake, group: &ChainGroup, test: &ChainTest) -> Option<&'static str> {
    let without = |other| mistake != other;
    let mut head = group.device.genesis.0.clone();
    let mut keys = vec![group.secret.0.clone()];
    for (position, entry) in (1u64..).zip(&test.entries) {
        let position = position.to_be_bytes();
        let (digest, tag) = (&entry.digest.0, &entry.tag.0);
        if without(Mistake::NoPrevious) && entry.previous.0 != head {
            return Some("link");
        }
        let previous = &entry.previous.0;
        let link = hash(mistake, "link", &[&position, previous, digest, tag]);
        if without(Mistake::NoLink) && entry.hash.0 != link {
            return Some("link");
        }
        head = entry.hash.0.clone();
        if without(Mistake::NoDigest)
            && hash(mistake, "data", &[&entry.envelope.0]) != entry.digest.0
        {
            return Some("digest");
        }
        let candidates = match mistake {
            Mistake::NoTag => &keys[..0],
            Mistake::AnyKey => &keys[..],
            Mistake::NoRatchet => &keys[..1],
            _ => &keys[keys.len() - 1..],
        };
        let fits = |key: &Vec<u8>| mac(mistake, key, "tag", &[&position, previous, digest]) == *tag;
        if without(Mistake::NoTag) && !candidates.iter().any(fits) {
            return Some("tag");
        }
        keys.push(mac(mistake, &keys[keys.len() - 1], "next", &[]));
    }
    if without(Mistake::NoHead) && head != test.head.0 {
        return Some("link");
    }
    let message = encode(mistake, "head", &[&test.head.0]);
    let signed = is_signed(group, test, &message)
        || (mistake == Mistake::BareHead && is_signed(group, test, &test.head.0));
    if without(Mistake::NoSignature) && !signed {
        return Some("signature");
    }
    None
}

fn is_signed(group: &ChainGroup, test: &ChainTest, message: &[u8]) -> bool {
    let key = group.device.device_key.array();
    is_strictly_signed(&key, message, &test.signature.array())
}

fn encode(mistake: Mistake, label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let domain = (mistake != Mistake::NoDomain).then_some(&b"mhealth-hashchain/1"[..]);
    let label = (mistake != Mistake::NoLabels).then_some(label.as_bytes());
    let mut encoding = Vec::new();
    for part in domain.iter().chain(&label).chain(parts) {
        if mistake != Mistake::NoLengths {
            let length = u32::try_from(part.len()).expect("vectors are short");
            encoding.extend_from_slice(&length.to_be_bytes());
        }
        encoding.extend_from_slice(part);
    }
    encoding
}

fn hash(mistake: Mistake, label: &str, parts: &[&[u8]]) -> Vec<u8> {
    Native::sha256(&encode(mistake, label, parts)).to_vec()
}

/// HMAC (RFC 2104) with a key of 32 bytes.
fn mac(mistake: Mistake, key: &[u8], label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|byte| byte ^ with).collect()
    };
    let inner = Native::sha256(&[pad(0x36), encode(mistake, label, parts)].concat());
    Native::sha256(&[pad(0x5c), inner.to_vec()].concat()).to_vec()
}
