// SPDX-License-Identifier: Apache-2.0

//! A chain made by hand, whose authorities hand over twice before the block that is proved.

use codec::Encode;
use finality_grandpa::{Commit, Message, Precommit, SignedPrecommit};
use hashchain::{secret_commitment, LinkHash, Secret, Tag};
use mhealth_evidence::{
    checkpoint_keys, device_key, genesis_hash_key, head_page_key, next_device_key, Digest,
    DigestItem, AUTHORITIES_KEY,
};
use mhealth_testing::phone::Phone;
use proptest::prelude::*;
use sp_consensus_grandpa::{
    localized_payload, AuthorityId, AuthorityList, ConsensusLog, GrandpaJustification,
    ScheduledChange, GRANDPA_ENGINE_ID,
};
use sp_core::{ed25519, Blake2Hasher, Pair, H256};
use sp_runtime::generic;
use sp_runtime::traits::BlakeTwo256;
use sp_trie::{LayoutV0, LayoutV1, TrieLayout};

use super::*;

mod checkpoints;
mod oracle;
#[path = "../../../evidence/tests/support/trie.rs"]
mod trie;
mod vectors;

use trie::trie;

type Voters = Vec<ed25519::Pair>;
/// A header, as the chain's nodes have it.
type NodeHeader = generic::Header<u32, BlakeTwo256>;

fn voters(seeds: &[u8]) -> Voters {
    seeds
        .iter()
        .map(|seed| ed25519::Pair::from_seed(&[*seed; 32]))
        .collect()
}

fn list(voters: &Voters) -> AuthorityList {
    voters
        .iter()
        .map(|voter| (AuthorityId::from(voter.public()), 1))
        .collect()
}

fn child(parent: &Header, root: [u8; 32], next: Option<&Voters>, delay: u32) -> Header {
    let change = next.map(|next| {
        ConsensusLog::<u32>::ScheduledChange(ScheduledChange {
            next_authorities: list(next),
            delay,
        })
    });
    child_saying(
        parent,
        root,
        &change
            .map(|log| log.encode())
            .into_iter()
            .collect::<Vec<_>>(),
    )
}

/// A block in which GRANDPA says this.
fn child_saying(parent: &Header, root: [u8; 32], logs: &[Vec<u8>]) -> Header {
    let items = logs.iter();
    Header {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        state_root: root,
        extrinsics_root: [0; 32],
        digest: Digest::new(items.map(|log| DigestItem::Consensus(GRANDPA_ENGINE_ID, log))),
    }
}

fn justify(header: &Header, voters: &[ed25519::Pair], set: u64) -> Vec<u8> {
    let precommit = Precommit {
        target_hash: H256(header.hash()),
        target_number: header.number,
    };
    let message = Message::Precommit(precommit.clone());
    let signed = |voter: &ed25519::Pair| SignedPrecommit {
        precommit: precommit.clone(),
        signature: voter.sign(&localized_payload(9, set, &message)).into(),
        id: AuthorityId::from(voter.public()),
    };
    GrandpaJustification::<NodeHeader> {
        round: 9,
        commit: Commit {
            target_hash: H256(header.hash()),
            target_number: header.number,
            precommits: voters.iter().map(signed).collect(),
        },
        votes_ancestries: Vec::new(),
    }
    .encode()
}

fn without(nodes: &Blobs, place: usize) -> Blobs {
    let others = nodes.iter().enumerate().filter(|(it, _)| *it != place);
    others.map(|(_, node)| node).collect()
}

fn of(device: u32, fault: Fault) -> Refusal {
    Refusal::Device {
        device: DeviceId(device),
        fault,
    }
}

struct Made {
    evidence: Evidence,
    genesis: [u8; 32],
    sets: [Voters; 3],
    /// The device's over the last link, which the chain accepts and a strict verifier refuses.
    odd_signature: [u8; 64],
}

/// On a chain like ours, of state version 0.
fn made() -> Made {
    made_on::<LayoutV0<Blake2Hasher>>()
}

fn made_on<L: TrieLayout<Hash = Blake2Hasher>>() -> Made {
    let sets = [voters(&[1, 2, 3, 4]), voters(&[3, 4, 5, 6]), voters(&[7])];
    let (root, proof) = trie::<L>(&[(AUTHORITIES_KEY.to_vec(), list(&sets[0]).encode())]);
    let first = Header {
        parent_hash: [0; 32],
        number: 0,
        state_root: root.0,
        extrinsics_root: [0; 32],
        digest: Digest::default(),
    };
    let chain = first.hash();

    let secret = Secret::from_bytes(&[8; 32]);
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let public = key.verifying_key().to_bytes();
    let commitment = secret_commitment::<Native>(&secret);
    let escrow = b"sealed".to_vec();
    let link_zero = hashchain::genesis::<Native>(&hashchain::Enrolment {
        chain: &chain,
        study: StudyId(5),
        device_key: &public,
        predecessor: Some(LinkHash([6; 32])),
        secret_commitment: &commitment,
        escrow_commitment: &hashchain::escrow_commitment::<Native>(&escrow),
    });
    let mut phone = Phone::new(key, DeviceId(1), link_zero, &secret);
    let envelopes: Vec<Vec<u8>> = (0..3u8).map(|night| vec![1, night]).collect();
    let run = phone.run_with(&envelopes);
    let odd_run = phone.sign_oddly(run.clone());
    // Length, latest, hash, study, status; key, commitment, escrow, epoch, participant, link 0, predecessor, successor, trusted, enrolled at,
    // retires at.
    let head = (3u64, 2u64, phone.head().0, 5u32, 0u8);
    let other = (7u64, 0u64, [0u8; 32], 4u32, 1u8);
    let none: Option<(u64, [u8; 32])> = None;
    let record = (
        public,
        commitment,
        escrow.clone(),
        0u32,
        [5u8; 32],
        link_zero.0,
        Some(0u32),
        None::<u32>,
        none,
        2u32,
        None::<u32>,
    );
    let trusted = Some((4u64, [6u8; 32]));
    let before = (
        [1u8; 32],
        [2u8; 32],
        escrow,
        0u32,
        [5u8; 32],
        [3u8; 32],
        None::<u32>,
        Some(1u32),
        trusted,
        1u32,
        None::<u32>,
    );
    let (root, state_proof) = trie::<L>(&[
        (device_key(DeviceId(0)), before.encode()),
        (device_key(DeviceId(1)), record.encode()),
        (head_page_key(DeviceId(1)), vec![other, head].encode()),
        (next_device_key(), 2u32.encode()),
        (genesis_hash_key(), chain.encode()),
        (vec![1, 2, 3], vec![0; 50]),
    ]);
    let one = child(&first, [1; 32], Some(&sets[1]), 0);
    let two = child(&one, [2; 32], Some(&sets[2]), 0);
    let block = child(&two, root.0, None, 0);
    let after = child(&block, [4; 32], None, 0);
    let evidence = Evidence {
        genesis: first,
        start: Start::Genesis(proof.iter().collect()),
        finality: FinalityProof {
            handovers: vec![
                // Three of four are more than two thirds.
                Handover {
                    justification: justify(&one, &sets[0][1..], 0),
                    header: one,
                },
                Handover {
                    justification: justify(&two, &sets[1], 1),
                    header: two,
                },
            ],
            justification: justify(&after, &sets[2], 2),
            block,
            descendants: vec![after],
            nodes: state_proof.iter().collect(),
        },
        study: Some(StudyId(5)),
        devices: vec![DeviceEvidence {
            device: DeviceId(1),
            entries: run.entries,
            signature: run.signature,
            envelopes: Some(envelopes.iter().collect()),
            secret: Some(*secret.expose()),
        }],
    };
    Made {
        evidence,
        genesis: chain,
        sets,
        odd_signature: odd_run.signature.expect("it was signed"),
    }
}

#[test]
fn a_signature_counts_by_the_chains_rule_and_strictness_is_said_beside_it() {
    let mut made = made();
    made.evidence.devices[0].signature = Some(made.odd_signature);
    let claims = verify(&made.evidence, made.genesis, &[]).unwrap();
    assert!(claims.devices[0].signed && !claims.devices[0].strictly_signed);
    made.evidence.devices[0].signature = None;
    let claims = verify(&made.evidence, made.genesis, &[]).unwrap();
    assert!(!claims.devices[0].signed && !claims.devices[0].strictly_signed);
    made.evidence.devices[0].signature = Some([7; 64]);
    let refused = verify(&made.evidence, made.genesis, &[]);
    assert_eq!(refused, Err(of(1, Fault::Signature)));
}

#[test]
fn a_chain_of_handovers_is_followed_from_the_first_block_to_the_last_set() {
    let Made {
        evidence, genesis, ..
    } = made();
    let claims = verify(&evidence, genesis, &[]).unwrap();
    assert_eq!((claims.authority_set, claims.authorities), (2, 1));
    let device = &claims.devices[0];
    assert_eq!(
        (device.entries, device.predecessor, device.study),
        (3, Some(DeviceId(0)), StudyId(5))
    );
    assert!(
        device.signed
            && device.strictly_signed
            && device.tags
            && device.envelopes
            && device.conflicts.is_empty()
    );
    let read = Evidence::from_bytes(&evidence.to_bytes()).unwrap();
    assert_eq!(read, evidence);
}

#[test]
fn a_handover_by_too_few_by_others_out_of_order_or_left_out_is_refused() {
    let Made {
        evidence,
        genesis,
        sets,
        ..
    } = made();
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        verify(&changed, genesis, &[]).unwrap_err()
    };
    let one = &evidence.finality.handovers[0].header;
    let by = |voters: &[ed25519::Pair], set| {
        let justification = justify(one, voters, set);
        refused(&|it| it.finality.handovers[0].justification = justification.clone())
    };
    assert_eq!(by(&sets[0][..2], 0), Refusal::Handover(0));
    assert_eq!(by(&sets[1], 0), Refusal::Handover(0));
    assert_eq!(by(&sets[0], 1), Refusal::Handover(0));
    // One voter twice is one voter.
    let twice = [&sets[0][..2], &sets[0][..1]].concat();
    assert_eq!(by(&twice, 0), Refusal::Handover(0));
    assert_eq!(
        refused(&|it| it.finality.handovers.swap(0, 1)),
        Refusal::Handover(0)
    );
    assert_eq!(
        refused(&|it| drop(it.finality.handovers.remove(0))),
        Refusal::Handover(0)
    );
    assert_eq!(
        refused(&|it| it.finality.handovers.truncate(1)),
        Refusal::Finality
    );
    // A change that is to take effect later is not followed.
    let late = child(&evidence.genesis, [1; 32], Some(&sets[1]), 3);
    let handover = Handover {
        justification: justify(&late, &sets[0], 0),
        header: late,
    };
    assert_eq!(
        refused(&|it| it.finality.handovers[0] = handover.clone()),
        Refusal::Handover(0)
    );
}

#[test]
fn what_is_not_in_the_state_or_not_after_the_block_is_refused() {
    let Made {
        evidence,
        genesis,
        sets,
        ..
    } = made();
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        verify(&changed, genesis, &[]).unwrap_err()
    };
    assert_eq!(
        refused(&|it| it.finality.descendants.clear()),
        Refusal::Finality
    );
    assert_eq!(
        refused(&|it| it.finality.descendants[0].number += 1),
        Refusal::Descendants
    );
    let strange = child(&evidence.finality.handovers[0].header, [4; 32], None, 0);
    assert_eq!(
        refused(&|it| it.finality.descendants[0] = strange.clone()),
        Refusal::Descendants
    );
    let alone = justify(&evidence.finality.block, &sets[2], 2);
    let mut shorter = evidence.clone();
    (shorter.finality.descendants, shorter.finality.justification) = (Vec::new(), alone);
    assert!(verify(&shorter, genesis, &[]).is_ok());
    for node in 0..evidence.finality.nodes.len() {
        let mut less = evidence.clone();
        less.finality.nodes = without(&evidence.finality.nodes, node);
        match verify(&less, genesis, &[]) {
            Err(Refusal::Study(StudyId(5)) | Refusal::ChainNotNamed) => {}
            Err(refusal) => assert_eq!(refusal, of(1, Fault::State)),
            // The node of a value that nobody asked for.
            Ok(claims) => assert_eq!(claims, verify(&evidence, genesis, &[]).unwrap()),
        }
    }
    let renamed = |number| {
        refused(&|it| {
            it.study = None;
            it.devices[0].device = DeviceId(number);
        })
    };
    assert_eq!(renamed(0), of(0, Fault::Genesis));
    assert_eq!(renamed(2), of(2, Fault::State));
    let tagged = refused(&|it| it.devices[0].secret = Some([1; 32]));
    assert_eq!(tagged, of(1, Fault::Secret));
}

#[test]
fn a_study_is_proved_by_all_of_its_devices_and_by_them_alone() {
    let Made {
        evidence, genesis, ..
    } = made();
    let with = |study: Option<u32>, numbers: &[u32]| {
        let mut changed = evidence.clone();
        changed.study = study.map(StudyId);
        let device = changed.devices[0].clone();
        let devices = numbers.iter().map(|number| DeviceEvidence {
            device: DeviceId(*number),
            ..device.clone()
        });
        changed.devices = devices.collect();
        verify(&changed, genesis, &[]).map(|claims| claims.study.map(u32::from))
    };
    assert_eq!(with(Some(5), &[1]), Ok(Some(5)));
    assert_eq!(with(None, &[1]), Ok(None));
    assert_eq!(with(Some(5), &[]), Err(Refusal::Study(StudyId(5))));
    assert_eq!(with(Some(5), &[0, 1]), Err(Refusal::Study(StudyId(5))));
    assert_eq!(with(Some(4), &[1]), Err(Refusal::Study(StudyId(4))));
    // A study without devices is proved to have none.
    assert_eq!(with(Some(9), &[]), Ok(Some(9)));
    assert_eq!(with(None, &[]), Err(Refusal::Order));
    assert_eq!(with(None, &[1, 1]), Err(Refusal::Order));
    assert_eq!(with(None, &[1, 0]), Err(Refusal::Order));
}

#[test]
fn entries_that_the_secret_did_not_make_are_refused_where_the_secret_is_in_the_file() {
    let mut made = made();
    made.evidence.devices[0].entries[1].tag = Tag([7; 32]);
    assert_eq!(
        verify(&made.evidence, made.genesis, &[]),
        Err(of(1, Fault::Entries))
    );
}

#[test]
fn another_version_leftover_bytes_and_a_torn_file_have_errors_of_their_own() {
    let bytes = made().evidence.to_bytes();
    let sealed = |mut contents: Vec<u8>| {
        let checksum = Native::sha256(&contents);
        contents.extend(checksum);
        Evidence::from_bytes(&contents)
    };
    let contents = &bytes[..bytes.len() - 32];
    for version in [1, 3] {
        let mut other = contents.to_vec();
        other[16] = version;
        let unknown = FormatError::UnknownVersion(version.into());
        assert_eq!(sealed(other), Err(unknown));
        let words = unknown.to_string();
        assert!(words.contains(&format!("version {version}")) && words.contains("prove"));
    }
    assert_eq!(sealed([contents, &[0]].concat()), Err(FormatError::Damaged));
    assert_eq!(
        sealed(contents[..contents.len() - 1].to_vec()),
        Err(FormatError::Damaged)
    );
    assert_eq!(Evidence::from_bytes(b"PDF"), Err(FormatError::NotEvidence));
    for end in 0..bytes.len() {
        assert!(Evidence::from_bytes(&bytes[..end]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_make_the_reader_panic(contents in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &contents].concat();
        let checksum = Native::sha256(&bytes);
        bytes.extend(checksum);
        if let Ok(evidence) = Evidence::from_bytes(&bytes) {
            prop_assert!(verify(&evidence, [0; 32], &[]).is_err());
        }
    }

    #[test]
    fn spliced_files_are_refused_or_claim_the_same(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        length in 1..64usize,
    ) {
        let Made { evidence, genesis, .. } = made();
        let claims = verify(&evidence, genesis, &[]).unwrap();
        let mut bytes = evidence.to_bytes();
        bytes.truncate(bytes.len() - 32);
        let (from, to) = (from.index(bytes.len() - 64), to.index(bytes.len() - 64));
        bytes.copy_within(from..from + length, to);
        let checksum = Native::sha256(&bytes);
        bytes.extend(checksum);
        if let Ok(Ok(claimed)) = Evidence::from_bytes(&bytes).map(|read| verify(&read, genesis, &[])) {
            prop_assert_eq!(claimed, claims);
        }
    }
}
