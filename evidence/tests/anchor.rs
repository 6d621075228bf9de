// SPDX-License-Identifier: Apache-2.0

//! What a reader keeps, how it moves on, and what it refuses.

mod support;

use codec::{Decode, Encode};
use hashchain::DeviceId;
use mhealth_evidence::{
    checkpoint_keys, Anchor, Checkpoint, CheckpointAuthorities, DeviceConflicts, FinalityProof,
    FormatError, Handover, NotProved, Refusal, HEADS_PER_PAGE,
};
use sp_core::{Blake2Hasher, H256};
use sp_trie::LayoutV0;
use support::*;

fn begun(world: &World) -> Anchor {
    Anchor::begin(world.genesis, world.proof.first.as_ref().unwrap()).unwrap()
}

#[test]
fn an_anchor_moves_on_to_the_set_and_the_block_of_a_proof_and_can_be_stored() {
    let world = World::new();
    let mut anchor = begun(&world);
    assert_eq!(
        (anchor.set().id(), anchor.block(), anchor.genesis()),
        (0, 0, world.genesis)
    );
    let state = anchor.check(&world.proof.finality).unwrap();
    assert_eq!(state.number(), 3);
    assert_eq!(H256(state.hash()), world.headers[3].hash());
    let head = state.head(DEVICE).unwrap().unwrap();
    assert_eq!((head.length, head.study.0), (41, 6));
    assert_eq!(state.device(DEVICE), Ok(Some(record(21))));
    assert_eq!(state.conflicts(DEVICE), Ok(DeviceConflicts::default()));
    assert_eq!(state.conflicts(DeviceId(1)), Ok(conflicts()));
    assert_eq!(state.devices(), Ok(DEVICE.0 + 1));
    // Absence is proved, too.
    assert_eq!(state.head(DeviceId(DEVICE.0 + 1)), Ok(None));
    assert_eq!(state.head(DeviceId(2 * HEADS_PER_PAGE)), Ok(None));
    assert_eq!(state.device(DeviceId(2)), Ok(None));
    assert_eq!((anchor.set().id(), anchor.block()), (2, 3));
    let stored = anchor.encode();
    assert_eq!(Anchor::decode(&mut &stored[..]).unwrap(), anchor);

    // From there on the handovers are not needed any more.
    let next = FinalityProof {
        handovers: Vec::new(),
        ..world.proof.finality.clone()
    };
    assert!(anchor.check(&next).is_ok());
    let again = anchor.check(&world.proof.finality).unwrap_err();
    assert_eq!(again, Refusal::Handover(0));
}

#[test]
fn a_proof_of_an_older_block_than_was_seen_is_refused() {
    let world = World::new();
    let mut anchor = begun(&world);
    anchor.check(&world.proof.finality).unwrap();
    let root = world.headers[3].state_root;
    let newer = child(world.headers.last().unwrap(), root, vec![]);
    let proof = FinalityProof {
        handovers: Vec::new(),
        block: read(&newer),
        descendants: Vec::new(),
        justification: justify(&newer, &world.sets[2], 2),
        nodes: world.proof.finality.nodes.clone(),
    };
    let state = anchor.check(&proof).unwrap();
    assert_eq!(state.number(), 5);
    let older = FinalityProof {
        handovers: Vec::new(),
        ..world.proof.finality.clone()
    };
    let refused = anchor.check(&older).unwrap_err();
    assert_eq!(refused, Refusal::TooOld { block: 3, seen: 5 });
    assert_eq!(refused.code(), "proof_too_old");
    assert!(anchor.check(&proof).is_ok());
}

#[test]
fn a_refused_proof_leaves_the_anchor_as_it_was() {
    let world = World::new();
    let genuine = &world.proof.finality;
    let last = &world.headers[4];
    let refused = |change: &dyn Fn(&mut FinalityProof)| {
        let mut proof = genuine.clone();
        change(&mut proof);
        let mut anchor = begun(&world);
        let refusal = anchor.check(&proof).unwrap_err();
        assert_eq!(anchor, begun(&world));
        refusal.code()
    };
    let by =
        |seeds: &[u8], set: u64| refused(&|proof| proof.justification = justify(last, seeds, set));
    // Too few, doubled, unknown, of an older set.
    assert_eq!(by(&[7, 8], 2), "block_not_final");
    assert_eq!(by(&[7, 8, 8], 2), "block_not_final");
    assert_eq!(by(&[7, 8, 20, 21], 2), "block_not_final");
    assert_eq!(by(&[7, 8, 9, 10], 1), "block_not_final");
    assert_eq!(by(&[3, 4, 5, 6], 1), "block_not_final");
    assert_eq!(
        refused(&|proof| drop(proof.handovers.remove(0))),
        "handover_not_final"
    );
    assert_eq!(
        refused(&|proof| proof.handovers.truncate(1)),
        "block_not_final"
    );
    assert_eq!(refused(&|proof| proof.handovers.clear()), "block_not_final");
    assert_eq!(
        refused(&|proof| proof.descendants.clear()),
        "block_not_final"
    );
    assert_eq!(
        refused(&|proof| proof.descendants[0].number += 1),
        "descendants_do_not_follow"
    );
    assert_eq!(
        refused(&|proof| proof.block.state_root[0] ^= 1),
        "descendants_do_not_follow"
    );
}

#[test]
fn another_chain_and_authorities_that_nothing_leads_to_are_no_beginning() {
    let world = World::new();
    let first = world.proof.first.clone().unwrap();
    assert_eq!(Anchor::begin([7; 32], &first), Err(Refusal::AnotherChain));
    let mut without = first.clone();
    without.nodes = Default::default();
    assert_eq!(
        Anchor::begin(world.genesis, &without),
        Err(Refusal::FirstAuthorities)
    );
    let mut later = first;
    later.genesis = read(&world.headers[1]);
    assert_eq!(
        Anchor::begin(later.genesis.hash(), &later),
        Err(Refusal::AnotherChain)
    );
}

/// GRANDPA's votes do not name the chain, so who votes on two chains with the same keys signs for both.
#[test]
fn a_proof_of_another_chain_with_the_same_authorities_is_refused() {
    let (world, other) = (World::new(), World::newer());
    assert_ne!(world.genesis, other.genesis);
    let mut anchor = begun(&world);
    let refused = anchor.check(&other.proof.finality).unwrap_err();
    assert_eq!(refused, Refusal::AnotherChain);
    // And one that does not say which it is of.
    let mut without = world.proof.finality.clone();
    let names = |node: &[u8]| node.windows(32).any(|part| part == world.genesis);
    let others = without.nodes.iter().filter(|node| !names(node));
    without.nodes = others.map(<[u8]>::to_vec).collect();
    let refused = anchor.check(&without).unwrap_err();
    assert_eq!(refused.code(), "chain_not_proved");
    assert_eq!(anchor, begun(&world));
}

#[test]
fn a_checkpoint_replaces_everything_before_it_and_nothing_leads_over_a_change_by_force() {
    let world = World::new();
    let new = [11, 12, 13];
    let values = |first: [u8; 32]| {
        let [authorities, set, genesis] = checkpoint_keys();
        [
            (authorities, list(&new).encode()),
            (set, 3u64.encode()),
            (genesis, first.encode()),
        ]
    };
    let (root, nodes) = trie::<LayoutV0<Blake2Hasher>>(&values(world.genesis));
    let change = child(&world.headers[4], root, vec![forced(&new)]);
    let block = child(&change, world.headers[3].state_root, vec![]);
    let proof = FinalityProof {
        handovers: Vec::new(),
        block: read(&block),
        descendants: Vec::new(),
        justification: justify(&block, &new, 3),
        nodes: world.proof.finality.nodes.clone(),
    };
    let authorities = CheckpointAuthorities {
        header: read(&change),
        nodes: nodes.iter().collect(),
    };
    let checkpoint: Checkpoint = Checkpoint::of(&authorities.header);
    assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    let mut anchor = Anchor::at_checkpoint(world.genesis, checkpoint, &authorities).unwrap();
    assert_eq!((anchor.set().id(), anchor.block()), (3, checkpoint.number));
    assert_eq!(anchor.check(&proof).unwrap().devices(), Ok(DEVICE.0 + 1));

    // Who has only the first block stays before it.
    let mut from_first = begun(&world);
    from_first.check(&world.proof.finality).unwrap();
    assert_eq!(from_first.check(&proof).unwrap_err(), Refusal::NotFinal);
    let mut over = proof.clone();
    over.handovers = vec![Handover {
        header: read(&change),
        justification: justify(&change, &world.sets[2], 2),
    }];
    assert_eq!(from_first.check(&over).unwrap_err(), Refusal::Handover(0));

    let mut other = checkpoint;
    other.hash[0] ^= 1;
    let refused = Anchor::at_checkpoint(world.genesis, other, &authorities);
    assert_eq!(refused, Err(Refusal::AnotherHistory));
    let refused = Anchor::at_checkpoint([7; 32], checkpoint, &authorities);
    assert_eq!(refused, Err(Refusal::CheckpointState));
}

#[test]
fn trust_in_a_block_leads_over_the_change_by_force_that_it_makes() {
    let world = World::new();
    let new = [11, 12, 13];
    let root = world.headers[3].state_root;
    let change = child(&world.headers[4], H256::repeat_byte(6), vec![forced(&new)]);
    let block = child(&change, root, vec![]);
    let over = |header: &NodeHeader, set| FinalityProof {
        handovers: vec![Handover {
            header: read(header),
            justification: Vec::new(),
        }],
        block: read(&block),
        descendants: Vec::new(),
        justification: justify(&block, &new, set),
        nodes: world.proof.finality.nodes.clone(),
    };
    let mut anchor = begun(&world);
    anchor.check(&world.proof.finality).unwrap();
    let before = anchor.clone();
    let trusted = Checkpoint::of(&read(&change));
    let proof = over(&change, 3);

    let refused = anchor.check(&proof).unwrap_err();
    assert_eq!(refused, Refusal::ChangeByForce(trusted));
    assert_eq!(refused.code(), "change_by_force");
    let mut other = trusted;
    other.hash[0] ^= 1;
    let refused = anchor.check_with(&proof, &[other]).unwrap_err();
    assert_eq!(refused, Refusal::ChangeByForce(trusted));
    // Trust in a block that changes nothing leads nowhere, nor do votes of another set's number.
    let plain = over(&world.headers[4], 3);
    let checkpoints = [Checkpoint::of(&read(&world.headers[4])), trusted];
    let refused = anchor.check_with(&plain, &checkpoints).unwrap_err();
    assert_eq!(refused, Refusal::Handover(0));
    let older = over(&change, 2);
    let refused = anchor.check_with(&older, &checkpoints);
    assert_eq!(refused.unwrap_err(), Refusal::NotFinal);
    // One who knows an older set only, and leaves out those between, does not get there.
    let mut late = begun(&world);
    let refused = late.check_with(&proof, &[trusted]);
    assert_eq!(refused.unwrap_err(), Refusal::NotFinal);
    assert_eq!(anchor, before);

    let state = anchor.check_with(&proof, &[other, trusted]).unwrap();
    assert_eq!(state.devices(), Ok(DEVICE.0 + 1));
    assert_eq!((anchor.set().id(), anchor.block()), (3, block.number));
    let later = FinalityProof {
        handovers: Vec::new(),
        ..proof
    };
    assert!(anchor.check(&later).is_ok());
}

#[test]
fn a_stored_anchor_without_votes_is_none() {
    let world = World::new();
    let stored = begun(&world).encode();
    assert!(Anchor::decode(&mut &stored[..stored.len() - 1]).is_err());
    let nobody = ([0u8; 32], 0u64, Vec::<([u8; 32], u64)>::new(), 0u32).encode();
    assert!(Anchor::decode(&mut &nobody[..]).is_err());
}

#[test]
fn every_code_with_which_a_phone_refuses_a_proof_stands_in_the_protocol() {
    let forms = [
        FormatError::TooLarge,
        FormatError::UnknownVersion(2),
        FormatError::Malformed,
    ];
    let refusals = [
        Refusal::AnotherChain,
        Refusal::FirstAuthorities,
        Refusal::Handover(0),
        Refusal::HandoverOrder(0),
        Refusal::ChangeByForce(Checkpoint {
            hash: [0; 32],
            number: 0,
        }),
        Refusal::Descendants,
        Refusal::NotFinal,
        Refusal::ChainNotNamed,
        Refusal::TooOld { block: 0, seen: 1 },
    ];
    let codes = forms.iter().map(FormatError::code);
    let codes = codes.chain(refusals.iter().map(Refusal::code));
    let document = include_str!("../../docs/protocol/device-api.md");
    for code in codes.chain([NotProved.code()]) {
        assert!(document.contains(&format!("`{code}`")), "{code}");
    }
}
