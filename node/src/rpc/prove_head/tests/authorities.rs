// SPDX-License-Identifier: Apache-2.0

//! How a proof leads from the authorities that the asker knows to those who signed for the block.

use codec::{Decode, Encode};
use jsonrpsee::types::ErrorObjectOwned;
use mhealth_evidence::{HeadProof, AUTHORITIES_KEY};
use mhealth_runtime::{BlockNumber, Hash, Header, VERSION};
use sc_consensus_grandpa::GRANDPA_ENGINE_ID;
use sp_consensus_grandpa::{ConsensusLog, ScheduledChange};
use sp_core::storage::Storage;
use sp_runtime::{
    traits::{BlakeTwo256, Header as _},
    Digest, DigestItem,
};
use sp_state_machine::{new_in_mem, read_proof_check};
use sp_trie::StorageProof;

use super::{finality, handed_over, justification, Chain, DEVICE, KEY, RECORD_KEY};
use crate::rpc::prove_head::{first_authorities, prove_head, Asker};

const MOST_HANDOVERS: usize = HeadProof::MOST_HANDOVERS;

#[test]
fn who_knows_the_present_set_gets_nothing_more_than_the_proof() {
    let chain = Chain::with_handovers(40, &[10, 30]);
    let proof = chain.prove_since(2).expect("everything is there");
    assert_eq!((proof.first, proof.handovers), (None, Vec::new()));
    assert_eq!(proof.block_number, 40);
}

#[test]
fn who_knows_an_older_set_gets_the_handovers_since() {
    let chain = Chain::with_handovers(40, &[10, 20, 30]);
    let proof = chain.prove_since(1).expect("everything is there");
    assert_eq!(handed_over(&proof), [20, 30]);
    assert_eq!((proof.first, proof.block_number), (None, 40));
}

#[test]
fn who_knows_no_set_gets_the_first_and_all_handovers() {
    let chain = Chain::with_handovers(40, &[10, 30]);
    let proof = chain
        .prove_to(DEVICE, None, Some(Asker::default()))
        .expect("everything is there");
    assert_eq!(handed_over(&proof), [10, 30]);
    let first = proof.first.expect("the first authorities");
    assert_eq!(first.header[..], chain.headers[0].encode());
}

#[test]
fn the_last_block_of_a_set_is_signed_by_that_set() {
    let chain = Chain::with_handovers(30, &[10, 30]);
    assert_eq!(handed_over(&chain.prove_since(0).expect("a proof")), [10]);
    let asker = Asker::default();
    let at = Some(chain.block(10));
    let proof = chain.prove_to(DEVICE, at, Some(asker)).expect("a proof");
    assert!(proof.handovers.is_empty());
}

#[test]
fn more_handovers_than_an_answer_has_lead_to_a_later_set_first() {
    let ends: Vec<_> = (1..=MOST_HANDOVERS as u32 * 2 + 10).collect();
    let chain = Chain::with_handovers(ends.len() as u32 + 1, &ends);
    let mut set = 0;
    for expected in [MOST_HANDOVERS, MOST_HANDOVERS, 10] {
        let proof = chain.prove_since(set).expect("a proof");
        assert_eq!(proof.handovers.len(), expected);
        let last = finality(&proof);
        assert_eq!(last.justification, justification(proof.block_number));
        assert_eq!(proof.proof.is_empty(), expected == MOST_HANDOVERS);
        set += proof.handovers.len() as u64;
    }
    assert_eq!(set, chain.present);
}

#[test]
fn an_answer_that_is_full_before_a_change_by_force_ends_where_somebody_signed() {
    let most = MOST_HANDOVERS as u32;
    let ends: Vec<_> = (1..=most + 6).map(|set| 3 * set).collect();
    let mut chain = Chain::with_handovers(3 * (most + 7), &ends);
    let last_final = 3 * (most + 1);
    chain.headers[last_final as usize].digest = Digest::default();
    chain.headers[last_final as usize + 1].digest = appoints_by_force(last_final);
    for number in [last_final, last_final + 1] {
        let header = chain.headers[number as usize].clone();
        chain.known.insert(header.hash(), header);
    }
    let asker = |set| Asker {
        set: Some(set),
        checkpoints: vec![chain.block(last_final + 1)],
        ..Asker::default()
    };
    let first = chain.prove_to(DEVICE, None, Some(asker(0)));
    let first = first.expect("a proof");
    assert_eq!(first.handovers.len(), MOST_HANDOVERS - 1);
    assert_eq!(first.block_number, 3 * most);
    assert_eq!(finality(&first).justification, justification(3 * most));
    let next = chain.prove_to(DEVICE, None, Some(asker(u64::from(most) - 1)));
    let next = next.expect("a proof");
    assert_eq!(next.handovers.len(), 7);
    assert!(next.handovers[1].justification.is_empty());
    assert_eq!(next.block_number, 3 * (most + 7));
}

/// What GRANDPA's pallet writes into a block that changes the authorities by force, when this block was the last final one.
fn appoints_by_force(last_final: BlockNumber) -> Digest {
    let change = ScheduledChange {
        next_authorities: Vec::new(),
        delay: 2,
    };
    let log = ConsensusLog::<BlockNumber>::ForcedChange(last_final, change);
    let log = DigestItem::Consensus(GRANDPA_ENGINE_ID, log.encode());
    Digest { logs: vec![log] }
}

#[test]
fn a_change_by_force_is_named_and_not_bridged() {
    // Set 1 ended by force, which is noted at a block that names nobody.
    let mut chain = Chain::with_handovers(40, &[10, 20, 30]);
    chain.headers[20].digest = Digest::default();
    chain
        .known
        .insert(chain.block(20), chain.headers[20].clone());
    for set in [0, 1] {
        assert_eq!(chain.prove_since(set), Err(9_106));
    }
    assert!(chain.prove_since(2).is_ok());
    let refusal = prove_head(&chain, DEVICE, None, Some(Asker::default()));
    let refusal = ErrorObjectOwned::from(refusal.expect_err("a gap"));
    assert!(refusal.message().contains("authority set 1"), "{refusal}");
}

#[test]
fn a_change_by_force_noted_at_the_block_of_the_last_handover_is_not_bridged() {
    let mut chain = Chain::with_handovers(40, &[10, 20]);
    chain.ended = vec![(0, 10), (1, 10), (2, 20)];
    chain.present = 3;
    for set in [0, 1] {
        assert_eq!(chain.prove_since(set), Err(9_106));
    }
    assert!(chain.prove_since(2).is_ok());
}

#[test]
fn who_trusts_the_block_of_a_change_by_force_is_led_over_it() {
    let mut chain = Chain::with_handovers(40, &[10, 20, 30]).keep_justification(23);
    chain.headers[20].digest = Digest::default();
    // Decided in block 25, when block 20 was the last final one.
    chain.headers[25].digest = appoints_by_force(20);
    for number in [20, 25] {
        let header = chain.headers[number].clone();
        chain.known.insert(header.hash(), header);
    }
    let decided = chain.block(25);
    let led = |checkpoints: Vec<Hash>| {
        let asker = Asker {
            set: Some(0),
            checkpoints,
            ..Asker::default()
        };
        let proof = chain.prove_to(DEVICE, None, Some(asker))?;
        let handovers = proof.handovers.iter().map(|handover| {
            let header = Header::decode(&mut &handover.header[..]).expect("a header");
            (header.number, handover.justification.is_empty())
        });
        Ok(handovers.collect::<Vec<_>>())
    };
    let expected = vec![(10, false), (25, true), (30, false)];
    assert_eq!(led(vec![decided]), Ok(expected.clone()));
    let unknown = Hash::repeat_byte(7);
    assert_eq!(led(vec![unknown, chain.block(24), decided]), Ok(expected));
    // Not that block, not a block at all, not looked at.
    assert_eq!(led(vec![chain.block(24)]), Err(9_106));
    assert_eq!(led(vec![unknown]), Err(9_106));
    let mut many = vec![unknown; 16];
    many.push(decided);
    assert_eq!(led(many), Err(9_106));
    // Of a block before it, as long as no later one is final, there is no proof that anybody would take.
    let asker = Asker {
        set: Some(0),
        checkpoints: vec![decided],
        ..Asker::default()
    };
    let early = chain.prove_to(DEVICE, Some(chain.block(22)), Some(asker));
    assert_eq!(early, Err(9_104));
}

#[test]
fn a_node_that_began_at_a_later_set_says_from_which_on_it_cannot_prove() {
    let mut chain = Chain::with_handovers(40, &[10, 20]);
    chain.ended.remove(0);
    assert_eq!(chain.prove_since(0), Err(9_106));
    assert!(chain.prove_since(1).is_ok());
    assert_eq!(chain.prove_since(3), Err(9_107));
}

#[test]
fn the_record_is_proved_for_those_who_ask_for_it() {
    let source = Chain::of(20);
    let keys = |record| {
        let asker = Asker {
            set: Some(0),
            checkpoints: Vec::new(),
            record,
        };
        source.prove_to(DEVICE, None, Some(asker)).unwrap().keys
    };
    let names = |keys: Vec<sp_core::Bytes>| keys.into_iter().map(|key| key.0).collect::<Vec<_>>();
    let chain = mhealth_evidence::genesis_hash_key();
    assert_eq!(names(keys(false)), [KEY.to_vec(), chain.clone()]);
    assert_eq!(
        names(keys(true)),
        [KEY.to_vec(), RECORD_KEY.to_vec(), chain]
    );
}

#[test]
fn the_first_authorities_are_proved_from_the_chain_specification() {
    let spec = crate::chain_spec::load("local", crate::chain_spec::Purpose::Run);
    let Ok(spec) = spec else {
        return; // Without the Wasm runtime there is no specification.
    };
    let genesis: Storage = spec.as_storage_builder().build_storage().expect("storage");
    let mut state = new_in_mem::<BlakeTwo256>();
    let values = genesis.top.iter();
    let values = values.map(|(key, value)| (key.clone(), Some(value.clone())));
    state.insert([(None, values.collect())], VERSION.state_version());
    let header = Header::new(
        0,
        Hash::zero(),
        *state.root(),
        Hash::zero(),
        Default::default(),
    );
    let first = first_authorities(header.clone(), genesis.clone()).expect("it names authorities");
    let bytes: usize = first.proof.iter().map(Vec::len).sum();
    assert!(bytes < 8 * 1024, "{bytes} bytes");
    let nodes = StorageProof::new(first.proof);
    let key = AUTHORITIES_KEY.to_vec();
    let values = read_proof_check::<BlakeTwo256, _>(header.state_root, nodes, [&key]);
    let value = values.expect("the nodes lead there").remove(&key);
    assert_eq!(value, Some(genesis.top.get(&key).cloned()));

    let mut other = header;
    other.state_root = Hash::repeat_byte(1);
    assert_eq!(first_authorities(other, genesis), None);
}
