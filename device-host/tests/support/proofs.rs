// SPDX-License-Identifier: Apache-2.0

//! Genuine proofs of a chain in miniature: its authorities sign, its state is a trie as the chain's is.

use std::sync::OnceLock;

use codec::Encode;
use ed25519_dalek::{Signer, SigningKey};
use hashchain::DeviceId;
use mhealth_evidence::{
    device_key, genesis_hash_key, head_page_key, Blobs, DeviceHead, DeviceRecord, DeviceStatus,
    Digest, DigestItem, FinalityProof, FirstAuthorities, Handover, HeadProof, Header,
    SuspensionReason, AUTHORITIES_KEY, HEADS_PER_PAGE,
};
use sp_core::Blake2Hasher;
use sp_state_machine::{new_in_mem, prove_read};

use super::world::State;

/// How many authorities there are, each with one vote. Three are more than two thirds.
const AUTHORITIES: u8 = 4;

/// The key of an authority of a set.
pub(crate) fn authority(set: u64, place: u8) -> SigningKey {
    let mut seed = [place + 1; 32];
    seed[..8].copy_from_slice(&set.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

fn listed(set: u64) -> Vec<([u8; 32], u64)> {
    let keys = (0..AUTHORITIES).map(|place| authority(set, place).verifying_key().to_bytes());
    keys.map(|key| (key, 1)).collect()
}

/// The root of a state with these values, and the nodes that lead to these keys.
fn state_of(values: Vec<(Vec<u8>, Vec<u8>)>, keys: &[Vec<u8>]) -> ([u8; 32], Blobs) {
    let mut state = new_in_mem::<Blake2Hasher>();
    let values = values.into_iter().map(|(key, value)| (key, Some(value)));
    state.insert(
        [(None, values.collect())],
        sp_core::storage::StateVersion::V0,
    );
    let root = state.root().0;
    let proof = prove_read(state, keys).expect("the state is in memory");
    let mut nodes = Blobs::default();
    proof.into_iter_nodes().for_each(|node| nodes.push(&node));
    (root, nodes)
}

fn header(number: u32, state_root: [u8; 32], digest: Digest) -> Header {
    Header {
        parent_hash: [number as u8; 32],
        number,
        state_root,
        extrinsics_root: [0; 32],
        digest,
    }
}

/// What proves the first authorities.
pub(crate) fn first_authorities() -> &'static FirstAuthorities {
    static FIRST: OnceLock<FirstAuthorities> = OnceLock::new();
    FIRST.get_or_init(|| {
        let key = AUTHORITIES_KEY.to_vec();
        let values = vec![
            (key.clone(), listed(0).encode()),
            (b"other".to_vec(), vec![1; 40]),
        ];
        let (root, nodes) = state_of(values, &[key]);
        FirstAuthorities {
            genesis: header(0, root, Digest::default()),
            nodes,
        }
    })
}

/// The hash of the first block.
pub(crate) fn genesis_hash() -> [u8; 32] {
    first_authorities().genesis.hash()
}

/// A justification of a block, signed by these authorities of a set.
pub(crate) fn justification(header: &Header, set: u64, signers: &[u8]) -> Vec<u8> {
    justification_by(set, header, set, signers)
}

/// The same with the keys of another set.
fn justification_by(keys: u64, header: &Header, set: u64, signers: &[u8]) -> Vec<u8> {
    let (round, hash, number) = (1u64, header.hash(), header.number);
    let message = (1u8, hash, number, round, set).encode();
    let votes: Vec<_> = signers
        .iter()
        .map(|place| {
            let key = authority(keys, *place);
            let signature = key.sign(&message).to_bytes();
            (hash, number, signature, key.verifying_key().to_bytes())
        })
        .collect();
    (round, hash, number, votes, Vec::<Header>::new()).encode()
}

/// The last block of a set, which names the next.
pub(crate) fn hand_over(set: u64, number: u32) -> Handover {
    hand_over_to(set, set, number, set + 1)
}

/// The last block of a set that has the keys of another one, and names the keys of yet another.
fn hand_over_to(keys: u64, set: u64, number: u32, next: u64) -> Handover {
    let log = [&[1u8][..], &listed(next).encode(), &0u32.encode()].concat();
    let digest = Digest::new([DigestItem::Consensus(*b"FRNK", &log)]);
    let header = header(number, [7; 32], digest);
    Handover {
        justification: justification_by(keys, &header, set, &[0, 1, 2]),
        header,
    }
}

/// What leads from the first authorities to others than on the chain: they vote on another one, too, and were replaced there.
pub(crate) fn astray() -> HeadProof {
    const STRANGERS: u64 = 1_000;
    let most = HeadProof::MOST_HANDOVERS as u64;
    let keys = |set: u64| match set {
        0 => 0,
        set => STRANGERS + set,
    };
    let handovers =
        (0..most).map(|set| hand_over_to(keys(set), set, set as u32 + 10, keys(set + 1)));
    let end = hand_over_to(keys(most), most, most as u32 + 10, keys(most + 1));
    HeadProof {
        first: None,
        finality: FinalityProof {
            handovers: handovers.collect(),
            block: end.header,
            descendants: Vec::new(),
            justification: end.justification,
            nodes: Blobs::default(),
        },
    }
}

/// A block that appoints the next set by force.
pub(crate) fn appoint_by_force(set: u64, number: u32) -> Handover {
    let median = number.saturating_sub(1).encode();
    let next = listed(set + 1).encode();
    let log = [&[2u8][..], &median, &next, &2u32.encode()].concat();
    let digest = Digest::new([DigestItem::Consensus(*b"FRNK", &log)]);
    Handover {
        header: header(number, [7; 32], digest),
        justification: Vec::new(),
    }
}

/// The proof of a device's head in the present state, from a set of authorities on.
pub(crate) fn prove(state: &State, device: DeviceId, set: Option<u64>, record: bool) -> HeadProof {
    let from = set.unwrap_or(0) as usize;
    let handovers = state.handovers.get(from..).unwrap_or_default();
    let first = set.is_none().then(|| first_authorities().clone());
    if handovers.len() > HeadProof::MOST_HANDOVERS {
        let (now, later) = handovers.split_at(HeadProof::MOST_HANDOVERS);
        let end = &later[0];
        return HeadProof {
            first,
            finality: FinalityProof {
                handovers: now.to_vec(),
                block: end.header.clone(),
                descendants: Vec::new(),
                justification: end.justification.clone(),
                nodes: Blobs::default(),
            },
        };
    }
    let mut keys = vec![genesis_hash_key(), head_page_key(device)];
    keys.extend(record.then(|| device_key(device)));
    let (root, nodes) = state_of(values(state), &keys);
    let block = header(state.block as u32, root, Digest::default());
    HeadProof {
        first,
        finality: FinalityProof {
            handovers: handovers.to_vec(),
            justification: justification(&block, state.handovers.len() as u64, &[0, 2, 3]),
            block,
            descendants: Vec::new(),
            nodes,
        },
    }
}

fn values(state: &State) -> Vec<(Vec<u8>, Vec<u8>)> {
    let numbers = || (0..).map(DeviceId).zip(&state.devices);
    let records = numbers().map(|(number, device)| {
        let record = DeviceRecord {
            key: device.key.0,
            secret_commitment: [0; 32],
            escrow: vec![0; 81],
            auditor_epoch: 0,
            participant: device.participant.0,
            genesis: device.genesis,
            predecessor: None,
            successor: None,
            trusted: None,
            enrolled_at: 1,
            retires_at: state.retires_at.get(&number).copied(),
        };
        (device_key(number), record.encode())
    });
    let heads: Vec<DeviceHead> = numbers()
        .map(|(_, device)| {
            let head = device.head();
            DeviceHead {
                study: hashchain::StudyId(0),
                status: match device.status {
                    mhealth_api::DeviceStatus::Active => DeviceStatus::Active,
                    mhealth_api::DeviceStatus::Retired => DeviceStatus::Retired,
                    _ => DeviceStatus::Suspended(SuspensionReason::Lost),
                },
                length: head.length,
                latest: None,
                hash: head.hash,
            }
        })
        .collect();
    let pages = heads.chunks(HEADS_PER_PAGE as usize).enumerate();
    let pages = pages.map(|(page, heads)| {
        let first = DeviceId(page as u32 * HEADS_PER_PAGE);
        (head_page_key(first), heads.to_vec().encode())
    });
    records
        .chain(pages)
        .chain([
            (genesis_hash_key(), genesis_hash().to_vec()),
            (b"something else".to_vec(), vec![9; 64]),
        ])
        .collect()
}
