// SPDX-License-Identifier: Apache-2.0

//! Proofs of heads, genuine and false, for readers in other languages: `vectors/head-proofs-v1.json`. Each chain there is what one
//! phone is given in order; what it refuses changes nothing of what it knows.
//!
//! `WRITE_VECTORS=1 cargo test --release -p mhealth-evidence --test vectors` writes the file anew.

mod support;

use std::path::PathBuf;

use codec::Encode;
use hashchain::DeviceId;
use mhealth_evidence::{
    device_key, genesis_hash_key, head_page_key, Anchor, Blobs, DeviceHead, FinalityProof,
    FirstAuthorities, HeadProof, HEADS_PER_PAGE,
};
use serde::{Deserialize, Serialize};
use sp_core::{Blake2Hasher, H256};
use sp_runtime::DigestItem;
use sp_trie::{
    recorder::Recorder, LayoutV0, MemoryDB, StorageProof, Trie, TrieDBBuilder, TrieDBMutBuilder,
    TrieMut,
};
use support::*;

const WRITE: &str = "WRITE_VECTORS";
const ABOUT: &str = "What a phone is given as proofs of its head (docs/protocol/device-api.md), one after the other, and what it \
    makes of each. A step that is refused changes nothing of what the phone knows.";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vectors {
    about: String,
    chains: Vec<Chain>,
}

/// What one phone is given.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    about: String,
    /// Hash of the first block, which the phone knows from the start.
    genesis: String,
    /// The number of its device.
    device: u32,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    about: String,
    /// The bytes of the proof.
    proof: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Shown {
        /// Number of the block that is final.
        block: u32,
        /// Number of the set of authorities that the phone knows from then on.
        set: u64,
        /// How many entries the device has, and the link of the last one.
        length: u64,
        head: String,
        /// The device's key, where its record is proved.
        key: Option<String>,
    },
    Refused(String),
}

/// What a phone makes of a proof.
fn judge(genesis: [u8; 32], device: DeviceId, known: &mut Option<Anchor>, bytes: &[u8]) -> Outcome {
    let shown = || -> Result<(Outcome, Anchor), &'static str> {
        let proof = HeadProof::from_bytes(bytes).map_err(|error| error.code())?;
        let mut anchor = match (&known, &proof.first) {
            (Some(anchor), _) => anchor.clone(),
            (None, Some(first)) => Anchor::begin(genesis, first).map_err(|error| error.code())?,
            (None, None) => return Err("first_authorities_missing"),
        };
        let state = anchor
            .check(&proof.finality)
            .map_err(|error| error.code())?;
        let head = state.head(device).map_err(|error| error.code())?;
        let head = head.ok_or("unknown_device")?;
        let record = state.device(device).ok().flatten();
        let shown = Outcome::Shown {
            block: state.number(),
            set: 0,
            length: head.length,
            head: hex::encode(head.hash.0),
            key: record.map(|record| hex::encode(record.key)),
        };
        Ok((shown, anchor))
    };
    match shown() {
        Ok((mut outcome, anchor)) => {
            if let Outcome::Shown { set, .. } = &mut outcome {
                *set = anchor.set().id();
            }
            *known = Some(anchor);
            outcome
        }
        Err(code) => Outcome::Refused(code.into()),
    }
}

/// Makes the steps of a chain, in their order.
fn chain(about: &str, genesis: [u8; 32], device: DeviceId, steps: Vec<(&str, Vec<u8>)>) -> Chain {
    let mut known = None;
    let steps = steps.into_iter().map(|(about, proof)| Step {
        about: about.into(),
        outcome: judge(genesis, device, &mut known, &proof),
        proof: hex::encode(proof),
    });
    Chain {
        about: about.into(),
        genesis: hex::encode(genesis),
        device: device.0,
        steps: steps.collect(),
    }
}

fn changed(proof: &HeadProof, change: impl FnOnce(&mut FinalityProof)) -> Vec<u8> {
    let mut proof = proof.clone();
    change(&mut proof.finality);
    proof.to_bytes()
}

/// The one of these proofs that the nodes' crate would take.
const TWICE: &str = "two of four signed for two blocks of one height";

/// Authorities that hand over twice; everything that may be wrong with a proof, and at last the genuine ones.
fn handing_over() -> Chain {
    let world = World::new();
    let genuine = &world.proof;
    let last = &world.headers[4];
    let signed = |seeds: &[u8], set| {
        changed(genuine, |proof| {
            proof.justification = justify(last, seeds, set);
        })
    };
    let [one, other] = [5, 6].map(|root| child(last, H256::repeat_byte(root), Vec::new()));
    let cheated = changed(genuine, |proof| {
        let votes = [
            (10, of(last)),
            (7, of(&one)),
            (8, of(&one)),
            (8, of(&other)),
            (9, of(&other)),
            (9, of(&one)),
        ];
        proof.descendants.push(read(&one));
        proof.justification = justification(of(&one), &votes, 2, vec![one.clone(), other]);
    });
    let bytes = genuine.to_bytes();
    let without_first = HeadProof {
        first: None,
        finality: genuine.finality.clone(),
    };
    let mut other_first = genuine.clone();
    if let Some(first) = &mut other_first.first {
        first.genesis.extrinsics_root = [9; 32];
    }
    let later = |number: usize| {
        let mut header = last.clone();
        for _ in 0..number {
            header = child(&header, world.headers[3].state_root, Vec::new());
        }
        HeadProof {
            first: None,
            finality: FinalityProof {
                handovers: Vec::new(),
                block: read(&header),
                descendants: Vec::new(),
                justification: justify(&header, &world.sets[2][1..], 2),
                nodes: genuine.finality.nodes.clone(),
            },
        }
        .to_bytes()
    };
    let steps = vec![
        ("nothing", Vec::new()),
        ("another version", [&[2], &bytes[1..]].concat()),
        ("cut off", bytes[..bytes.len() - 1].to_vec()),
        ("one byte too much", [&bytes[..], &[0]].concat()),
        (
            "it does not begin at the first block",
            without_first.to_bytes(),
        ),
        ("its first block is another one", other_first.to_bytes()),
        ("two of four signatures", signed(&[7, 8], 2)),
        ("one of three signatures twice", signed(&[7, 8, 8], 2)),
        ("signatures of the set before", signed(&[3, 4, 5, 6], 1)),
        ("signatures of strangers", signed(&[7, 8, 20, 21], 2)),
        (TWICE, cheated),
        (
            "a handover is left out",
            changed(genuine, |proof| drop(proof.handovers.remove(0))),
        ),
        (
            "a header between block and signatures is left out",
            changed(genuine, |proof| proof.descendants.clear()),
        ),
        (
            "a header that does not follow",
            changed(genuine, |proof| proof.descendants[0].number += 1),
        ),
        (
            "no nodes of the state",
            changed(genuine, |proof| proof.nodes = Blobs::default()),
        ),
        ("genuine, from the first block on", bytes),
        ("genuine, four blocks later", later(4)),
        ("genuine, and older than what was seen", later(2)),
        ("signed by two of four, later still", {
            let mut proof = HeadProof::from_bytes(&later(6)).unwrap();
            let header = written(&proof.finality.block);
            proof.finality.justification = justify(&header, &[7, 8], 2);
            proof.to_bytes()
        }),
        ("genuine, later still", later(6)),
    ];
    chain(
        "Four authorities, who hand over to others twice before the block",
        world.genesis,
        DEVICE,
        steps,
    )
}

/// Enough devices for a page of heads to have the usual way to it.
const DEVICES: u32 = 100_000;

/// What relays usually hand out: four authorities who stay, and a hundred thousand devices.
fn usual() -> Chain {
    let device = DeviceId(77_777);
    let voters = [1, 2, 3, 4];
    let (root, first) = trie::<LayoutV0<Blake2Hasher>>(&[(
        mhealth_evidence::AUTHORITIES_KEY.to_vec(),
        list(&voters).encode(),
    )]);
    let start = NodeHeader {
        parent_hash: H256::default(),
        number: 0,
        state_root: root,
        extrinsics_root: H256::default(),
        digest: Default::default(),
    };
    let first = FirstAuthorities {
        genesis: read(&start),
        nodes: first.iter().collect(),
    };
    let mut values = vec![
        (genesis_hash_key(), start.hash().encode()),
        (device_key(device), record(21).encode()),
    ];
    values.extend((0..DEVICES / HEADS_PER_PAGE).map(|page| {
        let first = page * HEADS_PER_PAGE;
        let heads = (first..first + HEADS_PER_PAGE).map(|device| head(1, u64::from(device) + 16));
        let heads: Vec<DeviceHead> = heads.collect();
        (head_page_key(DeviceId(first)), heads.encode())
    }));
    let short = [genesis_hash_key(), head_page_key(device)];
    let long = [&short[..], &[device_key(device)]].concat();
    let (root, [receipt, enrolment]) = proofs(&values, [&short, &long]);
    let mut parent = start.clone();
    let mut block = || {
        let seal = DigestItem::Seal(*b"aura", vec![5; 64]);
        parent = child(&parent, root, vec![seal]);
        parent.clone()
    };
    let mut proof = |first: Option<&FirstAuthorities>, nodes: &Blobs| {
        let block = block();
        HeadProof {
            first: first.cloned(),
            finality: FinalityProof {
                handovers: Vec::new(),
                justification: justify(&block, &voters[1..], 0),
                block: read(&block),
                descendants: Vec::new(),
                nodes: nodes.clone(),
            },
        }
        .to_bytes()
    };
    let steps = vec![
        (
            "the first proof, with the device's record",
            proof(Some(&first), &enrolment),
        ),
        ("a receipt", proof(None, &receipt)),
        ("the next receipt", proof(None, &receipt)),
    ];
    chain(
        "Four authorities and 100,000 devices: what relays usually hand out",
        start.hash().0,
        device,
        steps,
    )
}

/// The root of a state, and for each list of keys the nodes that lead to them.
fn proofs<const N: usize>(
    values: &[(Vec<u8>, Vec<u8>)],
    keys: [&[Vec<u8>]; N],
) -> (H256, [Blobs; N]) {
    type Layout = LayoutV0<Blake2Hasher>;
    let mut database = MemoryDB::<Blake2Hasher>::default();
    let mut root = H256::default();
    {
        let mut trie = TrieDBMutBuilder::<Layout>::new(&mut database, &mut root).build();
        for (key, value) in values {
            trie.insert(key, value).unwrap();
        }
    }
    let nodes = keys.map(|keys| {
        let recorder = Recorder::<Blake2Hasher>::default();
        {
            let mut recording = recorder.as_trie_recorder(root);
            let trie = TrieDBBuilder::<Layout>::new(&database, &root)
                .with_recorder(&mut recording)
                .build();
            for key in keys {
                assert!(trie.get(key).unwrap().is_some());
            }
        }
        let proof: StorageProof = recorder.drain_storage_proof();
        let nodes: Vec<Vec<u8>> = proof.into_iter_nodes().collect();
        nodes.iter().collect()
    });
    (root, nodes)
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/head-proofs-v1.json")
}

#[test]
fn the_vectors_say_what_a_phone_makes_of_proofs() {
    let vectors = Vectors {
        about: ABOUT.into(),
        chains: vec![handing_over(), usual()],
    };
    if std::env::var_os(WRITE).is_some() {
        let text = serde_json::to_string_pretty(&vectors).unwrap();
        std::fs::write(path(), text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(path()).unwrap();
    let read: Vectors = serde_json::from_str(&text).unwrap();
    assert_eq!(read, vectors);
    let steps = || vectors.chains.iter().flat_map(|chain| &chain.steps);
    for step in steps() {
        let is_genuine = matches!(step.outcome, Outcome::Shown { .. });
        let says_so = !["genuine", "receipt", "first proof"]
            .iter()
            .all(|word| !step.about.contains(word));
        assert_eq!(
            is_genuine,
            says_so && !step.about.contains("older"),
            "{step:?}"
        );
    }
    assert!(steps().count() >= 20);
}

#[test]
fn of_all_vectors_but_one_the_reader_says_what_the_nodes_say() {
    let (mut shows, mut stricter) = (0, 0);
    for chain in [handing_over(), usual()] {
        let genesis: [u8; 32] = hex::decode(&chain.genesis).unwrap().try_into().unwrap();
        let mut known: Option<HeadProof> = None;
        for step in &chain.steps {
            let Ok(mut proof) = HeadProof::from_bytes(&hex::decode(&step.proof).unwrap()) else {
                continue;
            };
            // Whoever knows nothing is led from the first block to what the phone knew.
            if proof.first.is_none() {
                let Some(known) = &known else { continue };
                proof.first.clone_from(&known.first);
                let way = known.finality.handovers.iter().cloned();
                proof.finality.handovers.splice(0..0, way);
            }
            let (ours, theirs) = (shown(genesis, &proof), oracle(genesis, &proof));
            let is_older = step.outcome == Outcome::Refused("proof_too_old".into());
            let is_shown = matches!(step.outcome, Outcome::Shown { .. });
            assert_eq!(ours.is_some(), is_shown || is_older, "{}", step.about);
            if step.about == TWICE {
                assert!(theirs.is_some());
                stricter += 1;
            } else {
                // Not assert_eq: what is printed should be short.
                assert!(ours == theirs, "{}", step.about);
            }
            shows += usize::from(ours.is_some());
            if is_shown && known.is_none() {
                known = Some(proof);
            }
        }
    }
    assert_eq!((shows, stricter), (7, 1));
}
