// SPDX-License-Identifier: Apache-2.0

mod authorities;

use std::collections::HashMap;

use codec::{Decode, Encode};
use jsonrpsee::types::ErrorObjectOwned;
use mhealth_runtime::{BlockNumber, Hash, Header, VERSION};
use sc_consensus_grandpa::{FinalityProof, GRANDPA_ENGINE_ID};
use sp_consensus_grandpa::{ConsensusLog, ScheduledChange};
use sp_runtime::{
    traits::{BlakeTwo256, Header as _},
    Digest, DigestItem,
};
use sp_state_machine::{new_in_mem, prove_read, read_proof_check, InMemoryBackend};
use sp_trie::StorageProof;

use super::finality::MOST_HEADERS;
use super::{
    prove_finality, prove_head, Asker, FirstAuthorities, HeadProof, ProofSource, ProveHeadError,
};

/// The only device of the tests' chain, and where its head is.
const DEVICE: u32 = 3;
const KEY: &[u8] = b"page with the head of device 3";
const HEAD: &[u8] = b"head of device 3";
const RECORD_KEY: &[u8] = b"record of device 3";

/// A chain whose every block has the same state.
struct Chain {
    /// The header of every block, by its number.
    headers: Vec<Header>,
    /// All blocks that the node knows, the abandoned one too.
    known: HashMap<Hash, Header>,
    fork: Header,
    finalised: BlockNumber,
    kept: HashMap<Hash, Vec<u8>>,
    latest: Option<(Hash, Vec<u8>)>,
    oldest_state: BlockNumber,
    state: InMemoryBackend<BlakeTwo256>,
    /// The sets that have ended, each with its last block.
    ended: Vec<(u64, BlockNumber)>,
    present: u64,
}

impl Chain {
    /// A chain of so many blocks, all finalised, of which the last has a justification.
    fn of(blocks: BlockNumber) -> Self {
        Self::with_handovers(blocks, &[])
    }

    /// The same, in which a new set of authorities follows each of these blocks. Their justifications are kept.
    fn with_handovers(blocks: BlockNumber, ends: &[BlockNumber]) -> Self {
        let mut state = new_in_mem::<BlakeTwo256>();
        let others = (0u32..100).map(|number| (number.encode(), Some(vec![1; 40])));
        let values = others
            .chain([KEY, RECORD_KEY].map(|key| (key.to_vec(), Some(HEAD.to_vec()))))
            .collect();
        state.insert([(None, values)], VERSION.state_version());
        let header = |number, parent: Hash, extrinsics_root| {
            Header::new(
                number,
                extrinsics_root,
                *state.root(),
                parent,
                match ends.contains(&number) {
                    true => named_authorities(),
                    false => Default::default(),
                },
            )
        };
        let mut headers: Vec<Header> = vec![header(0, Hash::zero(), Hash::zero())];
        for number in 1..=blocks {
            let parent = headers[number as usize - 1].hash();
            headers.push(header(number, parent, Hash::zero()));
        }
        let fork = header(1, headers[0].hash(), Hash::repeat_byte(1));
        let known = headers.iter().chain([&fork]);
        let known = known
            .map(|header| (header.hash(), header.clone()))
            .collect();
        let latest = headers
            .last()
            .map(|header| (header.hash(), justification(blocks)));
        let kept = ends
            .iter()
            .map(|end| (headers[*end as usize].hash(), justification(*end)));
        Self {
            kept: kept.collect(),
            ended: (0..).zip(ends.iter().copied()).collect(),
            present: ends.len() as u64,
            headers,
            known,
            fork,
            finalised: blocks,
            latest,
            oldest_state: 0,
            state,
        }
    }

    fn block(&self, number: BlockNumber) -> Hash {
        self.headers[number as usize].hash()
    }

    fn keep_justification(mut self, number: BlockNumber) -> Self {
        self.kept.insert(self.block(number), justification(number));
        self
    }

    fn prove(&self, device: u32, at: Option<Hash>) -> Result<HeadProof, i32> {
        self.prove_to(device, at, None)
    }

    fn prove_to(
        &self,
        device: u32,
        at: Option<Hash>,
        asker: Option<Asker>,
    ) -> Result<HeadProof, i32> {
        prove_head(self, device, at, asker).map_err(|error| ErrorObjectOwned::from(error).code())
    }

    /// What somebody gets who knows this set.
    fn prove_since(&self, set: u64) -> Result<HeadProof, i32> {
        let asker = Asker {
            set: Some(set),
            ..Asker::default()
        };
        self.prove_to(DEVICE, None, Some(asker))
    }
}

/// What GRANDPA's pallet writes into the last block of a set.
fn named_authorities() -> Digest {
    let change = ScheduledChange {
        next_authorities: Vec::new(),
        delay: 0,
    };
    let log = ConsensusLog::<BlockNumber>::ScheduledChange(change);
    Digest {
        logs: vec![DigestItem::Consensus(GRANDPA_ENGINE_ID, log.encode())],
    }
}

/// The blocks that an answer has handovers of.
fn handed_over(proof: &HeadProof) -> Vec<BlockNumber> {
    let numbers = proof.handovers.iter().map(|handover| {
        let header = Header::decode(&mut &handover.header[..]).expect("a header");
        assert_eq!(handover.justification[..], justification(header.number));
        header.number
    });
    numbers.collect()
}

fn justification(number: BlockNumber) -> Vec<u8> {
    (b"votes for block", number).encode()
}

fn finality(proof: &HeadProof) -> FinalityProof<Header> {
    FinalityProof::decode(&mut &proof.finality_proof[..]).expect("a finality proof")
}

impl ProofSource for Chain {
    fn finalised(&self) -> BlockNumber {
        self.finalised
    }

    fn latest_justified(&self) -> Result<Option<(Hash, Vec<u8>)>, sp_blockchain::Error> {
        Ok(self.latest.clone())
    }

    fn kept_justification(&self, block: Hash) -> Result<Option<Vec<u8>>, sp_blockchain::Error> {
        Ok(self.kept.get(&block).cloned())
    }

    fn header(&self, block: Hash) -> Result<Option<Header>, sp_blockchain::Error> {
        Ok(self.known.get(&block).cloned())
    }

    fn canonical(&self, number: BlockNumber) -> Result<Option<Hash>, sp_blockchain::Error> {
        Ok(self.headers.get(number as usize).map(Header::hash))
    }

    fn has_state(&self, _: Hash, number: BlockNumber) -> bool {
        number >= self.oldest_state
    }

    fn keys(&self, _: Hash, device: u32) -> Result<Option<Vec<Vec<u8>>>, sp_blockchain::Error> {
        Ok((device == DEVICE).then(|| vec![KEY.to_vec(), RECORD_KEY.to_vec()]))
    }

    fn storage_proof(
        &self,
        _: Hash,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, sp_blockchain::Error> {
        let proof = prove_read(self.state.clone(), keys).expect("the state is in memory");
        Ok(proof.into_iter_nodes().collect())
    }

    fn sets(&self) -> (Vec<(u64, BlockNumber)>, u64) {
        (self.ended.clone(), self.present)
    }

    fn first_authorities(&self) -> Option<FirstAuthorities> {
        Some(FirstAuthorities {
            header: self.headers[0].clone(),
            proof: vec![b"node".to_vec()],
        })
    }
}

#[test]
fn the_latest_head_is_proved_by_the_latest_votes() {
    let chain = Chain::of(20);
    let proof = chain.prove(DEVICE, None).expect("everything is there");
    assert_eq!(proof.device, DEVICE);
    assert_eq!(proof.block_number, 20);
    assert_eq!(proof.block_hash, chain.block(20));
    let finality = finality(&proof);
    assert_eq!(finality.block, chain.block(20));
    assert_eq!(finality.justification, justification(20));
    assert!(finality.unknown_headers.is_empty());
}

#[test]
fn the_values_under_the_keys_follow_from_the_header() {
    let chain = Chain::of(20);
    let proof = chain.prove(DEVICE, None).expect("everything is there");
    let header = Header::decode(&mut &proof.header[..]).expect("a header");
    assert_eq!(header.hash(), proof.block_hash);

    let nodes = StorageProof::new(proof.proof.iter().map(|node| node.to_vec()));
    let keys: Vec<_> = proof.keys.iter().map(|key| key.to_vec()).collect();
    let values = read_proof_check::<BlakeTwo256, _>(*header.state_root(), nodes, &keys)
        .expect("the nodes lead from the root to the keys");
    assert_eq!(values[KEY], Some(HEAD.to_vec()));
}

#[test]
fn an_older_block_is_proved_by_the_next_kept_votes_and_the_headers_up_to_them() {
    let chain = Chain::of(40).keep_justification(8).keep_justification(24);
    let proof = chain
        .prove(DEVICE, Some(chain.block(20)))
        .expect("everything is there");
    assert_eq!(proof.block_number, 20);
    let finality = finality(&proof);
    assert_eq!(finality.block, chain.block(24));
    assert_eq!(finality.justification, justification(24));
    let headers: Vec<_> = finality.unknown_headers.iter().map(Header::hash).collect();
    let expected: Vec<_> = (21..=24).map(|number| chain.block(number)).collect();
    assert_eq!(headers, expected);
}

#[test]
fn a_block_after_the_last_kept_votes_is_proved_by_the_latest() {
    let chain = Chain::of(40).keep_justification(24);
    let proof = chain
        .prove(DEVICE, Some(chain.block(39)))
        .expect("everything is there");
    assert_eq!(finality(&proof).block, chain.block(40));
}

#[test]
fn an_unknown_device_is_said_to_be_unknown() {
    assert_eq!(Chain::of(20).prove(DEVICE + 1, None), Err(9_101));
}

#[test]
fn an_unknown_block_is_said_to_be_unknown() {
    let chain = Chain::of(20);
    let nowhere = Some(Hash::repeat_byte(9));
    assert_eq!(chain.prove(DEVICE, nowhere), Err(9_102));
}

#[test]
fn a_block_that_is_not_finalised_is_refused() {
    let mut chain = Chain::of(20);
    chain.finalised = 15;
    let block = Some(chain.block(16));
    assert_eq!(chain.prove(DEVICE, block), Err(9_103));
}

#[test]
fn a_block_of_an_abandoned_fork_is_refused() {
    let chain = Chain::of(20);
    let block = Some(chain.fork.hash());
    assert_eq!(chain.prove(DEVICE, block), Err(9_103));
}

#[test]
fn without_votes_there_is_no_proof() {
    let mut chain = Chain::of(20);
    chain.latest = None;
    assert_eq!(chain.prove(DEVICE, None), Err(9_104));
    let block = Some(chain.block(20));
    assert_eq!(chain.prove(DEVICE, block), Err(9_104));
}

#[test]
fn votes_too_far_away_are_no_proof() {
    let chain = Chain::of(MOST_HEADERS + 2);
    let block = |number| Some(chain.block(number));
    assert_eq!(chain.prove(DEVICE, block(1)), Err(9_104));
    assert!(chain.prove(DEVICE, block(2)).is_ok());
}

#[test]
fn a_dropped_state_is_said_to_be_dropped() {
    let mut chain = Chain::of(20);
    chain.oldest_state = 10;
    let block = Some(chain.block(9));
    assert_eq!(chain.prove(DEVICE, block), Err(9_105));
}

#[test]
fn that_a_block_is_final_is_proved_without_a_device_and_without_its_state() {
    let mut chain = Chain::of(20);
    chain.oldest_state = 21;
    let shown = prove_finality(&chain, None, Some(&Asker::default())).ok();
    let block = shown.expect("everything is there").block;
    let mut with_head = Chain::of(20)
        .prove_to(DEVICE, None, Some(Asker::default()))
        .expect("everything is there");
    with_head.keys.clear();
    with_head.proof.clear();
    assert_eq!(block.with_values(DEVICE, Vec::new(), Vec::new()), with_head);
}

#[test]
fn that_a_block_is_not_final_is_said_without_a_device() {
    let mut chain = Chain::of(20);
    chain.finalised = 15;
    let refused = prove_finality(&chain, Some(chain.block(16)), None).err();
    let code = refused.map(|error| ErrorObjectOwned::from(error).code());
    assert_eq!(code, Some(9_103));
}

#[test]
fn what_goes_wrong_inside_stays_inside() {
    let inside = sp_blockchain::Error::Backend("secret path".into());
    let shown = ErrorObjectOwned::from(ProveHeadError::from(inside));
    assert_eq!(shown.code(), 9_199);
    assert!(!shown.message().contains("secret path"));
}

#[test]
fn the_answer_has_the_names_that_clients_read() {
    let proof = Chain::of(1)
        .prove(DEVICE, None)
        .expect("everything is there");
    let json = serde_json::to_value(proof).expect("the answer is JSON");
    for name in [
        "device",
        "first",
        "handovers",
        "blockNumber",
        "blockHash",
        "header",
        "keys",
        "proof",
        "finalityProof",
    ] {
        assert!(json.get(name).is_some(), "{name} is missing");
    }
    let header = json["header"].as_str().expect("a string");
    assert!(header.starts_with("0x"));
}
