// SPDX-License-Identifier: Apache-2.0

//! A reader that is behind by more changes of authorities than one proof leads over.

use codec::Encode;
use ed25519_dalek::{Signer, SigningKey};
use mhealth_evidence::{
    Blobs, Checkpoint, Digest, DigestItem, FinalityProof, Handover, HeadProof, Header,
};
use mhealth_sdk::checks::Reader;
use serde_json::Value;

const MOST: u64 = HeadProof::MOST_HANDOVERS as u64;

/// The authorities of the first chain of the vectors. Here they are those of every later set, too.
fn authorities() -> Vec<SigningKey> {
    let seeds = 1_u8..=4;
    seeds
        .map(|seed| SigningKey::from_bytes(&[seed; 32]))
        .collect()
}

fn header(number: u64, state_root: [u8; 32], digest: Digest) -> Header {
    Header {
        parent_hash: [number as u8; 32],
        number: number as u32,
        state_root,
        extrinsics_root: [0; 32],
        digest,
    }
}

/// Signed by three of the four.
fn justified(header: &Header, set: u64) -> Vec<u8> {
    let (round, hash, number) = (1_u64, header.hash(), header.number);
    let message = (1_u8, hash, number, round, set).encode();
    let votes: Vec<_> = authorities()
        .iter()
        .take(3)
        .map(|key| {
            let signature = key.sign(&message).to_bytes();
            (hash, number, signature, key.verifying_key().to_bytes())
        })
        .collect();
    (round, hash, number, votes, Vec::<Header>::new()).encode()
}

fn listed() -> Vec<([u8; 32], u64)> {
    authorities()
        .iter()
        .map(|key| (key.verifying_key().to_bytes(), 1))
        .collect()
}

/// The block that appoints the set after this one by force, for which nobody signed.
fn appoint_by_force(set: u64) -> Handover {
    let median = set as u32;
    let log = [
        &[2_u8][..],
        &median.encode(),
        &listed().encode(),
        &2_u32.encode(),
    ]
    .concat();
    let digest = Digest::new([DigestItem::Consensus(*b"FRNK", &log)]);
    Handover {
        header: header(set + 1, [7; 32], digest),
        justification: Vec::new(),
    }
}

/// The last block of a set.
fn hand_over(set: u64) -> Handover {
    let log = [&[1_u8][..], &listed().encode(), &0_u32.encode()].concat();
    let digest = Digest::new([DigestItem::Consensus(*b"FRNK", &log)]);
    let header = header(set + 1, [7; 32], digest);
    Handover {
        justification: justified(&header, set),
        header,
    }
}

/// From these sets to a block of the one after them.
fn proof(sets: std::ops::Range<u64>, state_root: [u8; 32], nodes: Blobs) -> HeadProof {
    let block = header(sets.end + 1, state_root, Digest::default());
    HeadProof {
        first: None,
        finality: FinalityProof {
            justification: justified(&block, sets.end),
            handovers: sets.map(hand_over).collect(),
            block,
            descendants: Vec::new(),
            nodes,
        },
    }
}

/// The first chain of the vectors: a reader of it, and a genuine proof.
fn chain() -> (Reader, HeadProof) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../evidence/tests/vectors/head-proofs-v1.json"
    );
    let vectors = std::fs::read_to_string(path).expect("the file is there");
    let vectors: Value = serde_json::from_str(&vectors).expect("it is JSON");
    let chain = &vectors["chains"][0];
    let bytes = |value: &Value| hex::decode(value.as_str().expect("digits")).expect("digits");
    let mut steps = chain["steps"].as_array().expect("a list").iter();
    let genuine = steps.find(|step| step["shown"].is_object());
    let genuine = HeadProof::from_bytes(&bytes(&genuine.expect("one shows something")["proof"]));
    let device = chain["device"].as_u64().expect("a number") as u32;
    let reader = Reader::new(&bytes(&chain["genesis"]), device).expect("32 bytes");
    (reader, genuine.expect("it has the form of a proof"))
}

#[test]
fn a_reader_follows_any_number_of_changes_of_authorities() {
    let (mut reader, HeadProof { first, finality }) = chain();
    assert_eq!(reader.set(), None);
    let mut way = proof(0..MOST, [7; 32], Blobs::default());
    way.first = first;
    let more = proof(MOST..2 * MOST, [7; 32], Blobs::default());
    for (step, set) in [(&way, MOST), (&more, 2 * MOST)] {
        let on_the_way = reader.check(&step.to_bytes()).expect_err("no head yet");
        assert_eq!(on_the_way.code(), "proof_on_the_way");
        assert_eq!(reader.set(), Some(set));
    }
    let arrived = proof(
        2 * MOST..2 * MOST,
        finality.block.state_root,
        finality.nodes,
    );
    let shown = reader.check(&arrived.to_bytes()).expect("a head");
    assert_eq!((shown.set, shown.length), (2 * MOST, 41));
    assert_eq!(reader.set(), Some(2 * MOST));
}

#[test]
fn a_reader_that_was_led_astray_begins_again() {
    let (mut reader, genuine) = chain();
    let mut way = proof(0..MOST, [7; 32], Blobs::default());
    way.first = genuine.first.clone();
    reader.check(&way.to_bytes()).expect_err("no head yet");
    // Of the chain itself, on which there were not so many changes.
    let genuine = genuine.to_bytes();
    let refused = reader.check(&genuine).expect_err("it does not follow");
    assert_eq!(refused.code(), "proof_too_old");
    assert_eq!(reader.set(), None);
    assert_eq!(reader.check(&genuine).expect("a head").length, 41);
}

#[test]
fn a_reader_follows_a_change_by_force_over_a_block_that_its_user_trusts() {
    let (mut reader, HeadProof { first, finality }) = chain();
    let mut changed = proof(0..1, finality.block.state_root, finality.nodes);
    let appointed = appoint_by_force(0);
    let checkpoint = Checkpoint::of(&appointed.header).to_string();
    (changed.first, changed.finality.handovers) = (first, vec![appointed]);
    let refused = reader.check(&changed.to_bytes()).expect_err("by force");
    assert_eq!(refused.code(), "change_by_force");
    let trusting = reader.trusting(&[checkpoint]);
    let shown = trusting.expect("one").check(&changed.to_bytes());
    assert_eq!(shown.expect("a head").set, 1);
}

#[test]
fn a_change_by_force_is_followed_once() {
    let (reader, HeadProof { first, finality }) = chain();
    let appointed = appoint_by_force(0);
    let checkpoint = Checkpoint::of(&appointed.header).to_string();
    let mut reader = reader.trusting(&[checkpoint]).expect("one");
    let by_force = |sets, first| {
        let mut changed = proof(sets, finality.block.state_root, finality.nodes.clone());
        changed.first = first;
        changed.finality.handovers = vec![appointed.clone()];
        changed.to_bytes()
    };
    let shown = reader.check(&by_force(0..1, first)).expect("a head");
    assert_eq!(shown.set, 1);
    // Those who were appointed then would come back as the set after those who are known by now.
    let again = reader.check(&by_force(1..2, None));
    let refused = again.expect_err("it is behind");
    assert_eq!(refused.code(), "handover_out_of_order");
    assert_eq!(reader.set(), Some(1));
}
