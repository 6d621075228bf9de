// SPDX-License-Identifier: Apache-2.0

//! A chain made by hand with the crates of the chain's nodes, and what those crates say of a proof: the oracle.
#![allow(dead_code, reason = "no test program uses all of it")]

mod trie;

use codec::{Decode, DecodeAll, Encode};
use finality_grandpa::{Commit, Message, Precommit, SignedPrecommit};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_evidence::{
    conflicts_key, device_key, genesis_hash_key, head_page_key, next_device_key, Blobs, Conflict,
    DeviceConflicts, DeviceHead, DeviceRecord, DeviceStatus, FinalityProof, FirstAuthorities,
    Handover, HeadProof, Header, SuspensionReason, TrustedHead, AUTHORITIES_KEY, HEADS_PER_PAGE,
};
use mhealth_justification::Voters;
use sp_consensus_grandpa::{
    localized_payload, AuthorityId, AuthorityList, ConsensusLog, GrandpaJustification,
    ScheduledChange, GRANDPA_ENGINE_ID,
};
use sp_core::{ed25519, Blake2Hasher, Pair, H256};
use sp_runtime::generic::{self, Digest, DigestItem};
use sp_runtime::traits::BlakeTwo256;
use sp_trie::{read_trie_value, LayoutV0, LayoutV1, MemoryDB, StorageProof, TrieLayout};

pub(crate) use trie::trie;

/// A header, as the chain's nodes have it.
pub(crate) type NodeHeader = generic::Header<u32, BlakeTwo256>;

/// The reader's view of a node's header.
pub(crate) fn read(header: &NodeHeader) -> Header {
    Header::decode(&mut &header.encode()[..]).unwrap()
}

/// The node's view of a header.
pub(crate) fn written(header: &Header) -> NodeHeader {
    NodeHeader::decode_all(&mut &header.encode()[..]).unwrap()
}

pub(crate) fn voter(seed: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[seed; 32])
}

pub(crate) fn list(seeds: &[u8]) -> AuthorityList {
    let ids = seeds.iter().map(|seed| (voter(*seed).public().into(), 1));
    ids.collect()
}

pub(crate) fn child(parent: &NodeHeader, root: H256, logs: Vec<DigestItem>) -> NodeHeader {
    NodeHeader {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        state_root: root,
        extrinsics_root: H256::repeat_byte(7),
        digest: Digest { logs },
    }
}

pub(crate) fn scheduled(next: &[u8], delay: u32) -> DigestItem {
    let change = ScheduledChange {
        next_authorities: list(next),
        delay,
    };
    let log = ConsensusLog::<u32>::ScheduledChange(change);
    DigestItem::Consensus(GRANDPA_ENGINE_ID, log.encode())
}

pub(crate) fn forced(next: &[u8]) -> DigestItem {
    let change = ScheduledChange {
        next_authorities: list(next),
        delay: 0,
    };
    let log = ConsensusLog::<u32>::ForcedChange(1, change);
    DigestItem::Consensus(GRANDPA_ENGINE_ID, log.encode())
}

/// A voter's seed, and the block that it votes for.
pub(crate) type Vote = (u8, (H256, u32));

pub(crate) fn of(header: &NodeHeader) -> (H256, u32) {
    (header.hash(), header.number)
}

pub(crate) const ROUND: u64 = 9;

/// A justification of any votes for any block.
pub(crate) fn justification(
    (target_hash, target_number): (H256, u32),
    votes: &[Vote],
    set: u64,
    votes_ancestries: Vec<NodeHeader>,
) -> Vec<u8> {
    let precommits = votes.iter().map(|(seed, (target_hash, target_number))| {
        let precommit = Precommit {
            target_hash: *target_hash,
            target_number: *target_number,
        };
        let message = Message::Precommit(precommit.clone());
        let payload = localized_payload(ROUND, set, &message);
        SignedPrecommit {
            precommit,
            signature: voter(*seed).sign(&payload).into(),
            id: AuthorityId::from(voter(*seed).public()),
        }
    });
    GrandpaJustification::<NodeHeader> {
        round: ROUND,
        commit: Commit {
            target_hash,
            target_number,
            precommits: precommits.collect(),
        },
        votes_ancestries,
    }
    .encode()
}

/// A justification of a block by these voters.
pub(crate) fn justify(header: &NodeHeader, seeds: &[u8], set: u64) -> Vec<u8> {
    let votes: Vec<Vote> = seeds.iter().map(|seed| (*seed, of(header))).collect();
    justification(of(header), &votes, set, Vec::new())
}

pub(crate) fn head(study: u32, length: u64) -> DeviceHead {
    DeviceHead {
        study: StudyId(study),
        status: DeviceStatus::Active,
        length,
        latest: length.checked_sub(1),
        hash: LinkHash([length as u8; 32]),
    }
}

pub(crate) fn record(seed: u8) -> DeviceRecord {
    DeviceRecord {
        key: [seed; 32],
        secret_commitment: [seed + 1; 32],
        escrow: vec![seed; 81],
        auditor_epoch: 3,
        participant: [seed + 3; 32],
        genesis: LinkHash([seed + 2; 32]),
        predecessor: None,
        successor: Some(DeviceId(9)),
        trusted: Some(TrustedHead {
            length: 4,
            hash: LinkHash([6; 32]),
        }),
        enrolled_at: 2,
        retires_at: None,
    }
}

pub(crate) fn conflicts() -> DeviceConflicts {
    DeviceConflicts {
        stored: vec![Conflict {
            sequence: 3,
            recorded: LinkHash([1; 32]),
            rival: LinkHash([2; 32]),
            rival_digest: None,
            signed: true,
            submitter: [4; 32],
            block: 7,
        }],
        not_stored: 1,
    }
}

/// The device that the chain's proofs are about. It has the second page of heads, and no conflicts; device 1 has some.
pub(crate) const DEVICE: DeviceId = DeviceId(HEADS_PER_PAGE + 1);

const FOURS: [&[u8]; 3] = [&[1, 2, 3, 4], &[3, 4, 5, 6], &[7, 8, 9, 10]];

/// A chain whose authorities hand over twice before the block that is proved.
pub(crate) struct World {
    pub(crate) genesis: [u8; 32],
    pub(crate) sets: [Vec<u8>; 3],
    pub(crate) headers: Vec<NodeHeader>,
    pub(crate) proof: HeadProof,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on::<LayoutV0<Blake2Hasher>>(FOURS)
    }

    /// On a chain of state version 1.
    pub(crate) fn newer() -> Self {
        Self::on::<LayoutV1<Blake2Hasher>>(FOURS)
    }

    /// Both, with one voter at a time, whose proofs take less time.
    pub(crate) fn small() -> [Self; 2] {
        let ones: [&[u8]; 3] = [&[1], &[2], &[3]];
        [
            Self::on::<LayoutV0<Blake2Hasher>>(ones),
            Self::on::<LayoutV1<Blake2Hasher>>(ones),
        ]
    }

    fn on<L: TrieLayout<Hash = Blake2Hasher>>(sets: [&[u8]; 3]) -> Self {
        let sets = sets.map(<[u8]>::to_vec);
        // Three of four are more than two thirds.
        let enough = |set: usize| &sets[set][sets[set].len() / 4..];
        let (root, first) = trie::<L>(&[(AUTHORITIES_KEY.to_vec(), list(&sets[0]).encode())]);
        let start = NodeHeader {
            parent_hash: H256::default(),
            number: 0,
            state_root: root,
            extrinsics_root: H256::default(),
            digest: Digest::default(),
        };
        let page = (0..HEADS_PER_PAGE).map(|device| head(5, device.into()));
        let page: Vec<DeviceHead> = page.collect();
        let last: Vec<DeviceHead> = (0..2).map(|device| head(6, 40 + device)).collect();
        let mut suspended = last;
        suspended[0].status = DeviceStatus::Suspended(SuspensionReason::Fork);
        let (root, nodes) = trie::<L>(&[
            (device_key(DeviceId(1)), record(11).encode()),
            (device_key(DEVICE), record(21).encode()),
            (conflicts_key(DeviceId(1)), conflicts().encode()),
            (head_page_key(DeviceId(0)), page.encode()),
            (head_page_key(DEVICE), suspended.encode()),
            (next_device_key(), (DEVICE.0 + 1).encode()),
            (genesis_hash_key(), start.hash().encode()),
            (vec![1, 2, 3], vec![0; 50]),
        ]);
        let seal = || DigestItem::Seal(*b"aura", vec![5; 64]);
        let one = child(
            &start,
            H256::repeat_byte(1),
            vec![scheduled(&sets[1], 0), seal()],
        );
        let two = child(
            &one,
            H256::repeat_byte(2),
            vec![seal(), scheduled(&sets[2], 0)],
        );
        let block = child(&two, root, vec![seal()]);
        let after = child(&block, H256::repeat_byte(4), vec![]);
        let proof = HeadProof {
            first: Some(FirstAuthorities {
                genesis: read(&start),
                nodes: first.iter().collect(),
            }),
            finality: FinalityProof {
                handovers: vec![
                    Handover {
                        header: read(&one),
                        justification: justify(&one, enough(0), 0),
                    },
                    Handover {
                        header: read(&two),
                        justification: justify(&two, enough(1), 1),
                    },
                ],
                block: read(&block),
                descendants: vec![read(&after)],
                justification: justify(&after, enough(2), 2),
                nodes: nodes.iter().collect(),
            },
        };
        World {
            genesis: start.hash().0,
            sets,
            headers: vec![start, one, two, block, after],
            proof,
        }
    }
}

/// All keys that are asked for.
pub(crate) fn keys() -> Vec<Vec<u8>> {
    vec![
        device_key(DEVICE),
        head_page_key(DEVICE),
        conflicts_key(DEVICE),
        device_key(DeviceId(1)),
        head_page_key(DeviceId(1)),
        conflicts_key(DeviceId(1)),
        device_key(DeviceId(2)),
        head_page_key(DeviceId(64)),
        next_device_key(),
        vec![1, 2, 3],
        vec![1, 2],
        vec![1, 2, 3, 4],
        Vec::new(),
    ]
}

/// What the state says of the keys: a value, that there is none, or nothing.
pub(crate) type Said = Vec<Result<Option<Vec<u8>>, ()>>;

/// What a state with these nodes says, by the trie of the chain's nodes.
pub(crate) fn read_by_nodes(root: H256, nodes: &Blobs, keys: &[Vec<u8>]) -> Said {
    let nodes = StorageProof::new(nodes.iter().map(<[u8]>::to_vec));
    let nodes: MemoryDB<Blake2Hasher> = nodes.into_memory_db();
    let value = |key: &Vec<u8>| {
        read_trie_value::<LayoutV1<Blake2Hasher>, _>(&nodes, &root, key, None, None).map_err(|_| ())
    };
    keys.iter().map(value).collect()
}

/// The block that a proof shows to be final, the set that made it so, and what its state says, by the crates of the chain's nodes.
pub(crate) fn oracle(genesis: [u8; 32], proof: &HeadProof) -> Option<(H256, u64, Said)> {
    let first = proof.first.as_ref()?;
    let start = written(&first.genesis);
    if start.number != 0 || start.hash().0 != genesis {
        return None;
    }
    let listed = read_by_nodes(start.state_root, &first.nodes, &[AUTHORITIES_KEY.to_vec()]);
    let listed = listed.into_iter().next()?.ok()??;
    let list = AuthorityList::decode_all(&mut &listed[..]).ok()?;
    let mut voters = Voters::new(0, list)?;
    let handovers = &proof.finality.handovers;
    if !handovers.is_sorted_by(|one, next| one.header.number < next.header.number) {
        return None;
    }
    for handover in handovers {
        let header = written(&handover.header);
        is_final(&voters, &header, &handover.justification)?;
        voters = Voters::new(voters.set() + 1, next_by_nodes(&header)?)?;
    }
    let block = written(&proof.finality.block);
    let mut last = block.clone();
    for header in &proof.finality.descendants {
        let header = written(header);
        if header.parent_hash != last.hash() || Some(header.number) != last.number.checked_add(1) {
            return None;
        }
        last = header;
    }
    is_final(&voters, &last, &proof.finality.justification)?;
    if handovers.iter().any(|it| it.header.number > last.number) {
        return None;
    }
    let nodes = &proof.finality.nodes;
    let named = read_by_nodes(block.state_root, nodes, &[genesis_hash_key()]);
    if named != [Ok(Some(genesis.to_vec()))] {
        return None;
    }
    let said = read_by_nodes(block.state_root, nodes, &keys());
    Some((block.hash(), voters.set(), said))
}

fn is_final(voters: &Voters, header: &NodeHeader, justification: &[u8]) -> Option<()> {
    let shown = voters.check::<NodeHeader>(justification).ok()?;
    (shown.hash == header.hash() && shown.number == header.number).then_some(())
}

/// The authorities that a header names, as the chain's nodes read it.
pub(crate) fn next_by_nodes(header: &NodeHeader) -> Option<AuthorityList> {
    let logs = header.digest.logs.iter().filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::<u32>::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    });
    let logs: Vec<ConsensusLog<u32>> = logs.collect();
    if logs
        .iter()
        .any(|log| matches!(log, ConsensusLog::ForcedChange(..)))
    {
        return None;
    }
    let change = logs.into_iter().find_map(ConsensusLog::try_into_change)?;
    (change.delay == 0).then_some(change.next_authorities)
}

/// The same by the reader.
pub(crate) fn shown(genesis: [u8; 32], proof: &HeadProof) -> Option<(H256, u64, Said)> {
    let mut anchor = mhealth_evidence::Anchor::begin(genesis, proof.first.as_ref()?).ok()?;
    let state = anchor.check(&proof.finality).ok()?;
    let value = |key: &Vec<u8>| {
        state
            .read(key)
            .map(|it| it.map(<[u8]>::to_vec))
            .map_err(|_| ())
    };
    let said = keys().iter().map(value).collect();
    Some((H256(state.hash()), anchor.set().id(), said))
}
