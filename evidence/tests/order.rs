// SPDX-License-Identifier: Apache-2.0

//! In which order a proof may lead over blocks that change the authorities. Nobody signs for a change by force, so nothing but its
//! place keeps it from being shown once more, to whoever is far beyond it.

mod support;

use codec::Encode;
use mhealth_evidence::{
    checkpoint_keys, Anchor, Checkpoint, CheckpointAuthorities, FinalityProof, Handover,
};
use sp_core::{Blake2Hasher, H256};
use sp_runtime::generic::DigestItem;
use sp_trie::LayoutV0;
use support::*;

const OUT_OF_ORDER: &str = "handover_out_of_order";
/// Whom a block appoints by force.
const APPOINTED: [u8; 3] = [11, 12, 13];
/// Those after them.
const LATER: [u8; 3] = [21, 22, 23];

/// A chain, and a reader of it who has seen block 3, of set 2.
struct Told {
    world: World,
    anchor: Anchor,
}

impl Told {
    fn new() -> Self {
        let world = World::new();
        let first = world.proof.first.as_ref().unwrap();
        let mut anchor = Anchor::begin(world.genesis, first).unwrap();
        anchor.check(&world.proof.finality).unwrap();
        Told { world, anchor }
    }

    /// A block after that one, whose state names the chain.
    fn block(&self, parent: &NodeHeader, logs: Vec<DigestItem>) -> NodeHeader {
        child(parent, self.world.headers[3].state_root, logs)
    }

    /// Over these handovers to a block for which these voters of a set signed.
    fn proof(
        &self,
        handovers: &[Handover],
        block: &NodeHeader,
        voters: &[u8],
        set: u64,
    ) -> FinalityProof {
        FinalityProof {
            handovers: handovers.to_vec(),
            block: read(block),
            descendants: Vec::new(),
            justification: justify(block, voters, set),
            nodes: self.world.proof.finality.nodes.clone(),
        }
    }

    /// Number of the set that is known, and of the newest block.
    fn reached(&self) -> (u64, u32) {
        (self.anchor.set().id(), self.anchor.block())
    }
}

fn by_force(header: &NodeHeader) -> Handover {
    Handover {
        header: read(header),
        justification: Vec::new(),
    }
}

fn signed(header: &NodeHeader, voters: &[u8], set: u64) -> Handover {
    Handover {
        header: read(header),
        justification: justify(header, voters, set),
    }
}

/// The code with which a reader refuses a proof, and knows what was known before.
fn refused(anchor: &mut Anchor, proof: &FinalityProof, trusted: &[Checkpoint]) -> &'static str {
    let before = anchor.clone();
    let refusal = anchor.check_with(proof, trusted).unwrap_err();
    assert_eq!(*anchor, before);
    refusal.code()
}

#[test]
fn a_change_by_force_leads_on_once_and_never_from_a_set_that_came_after_it() {
    let mut told = Told::new();
    let change = told.block(&told.world.headers[4], vec![forced(&APPOINTED)]);
    let trusted = [Checkpoint::of(&read(&change))];
    let next = told.block(&change, vec![]);
    let twice = [by_force(&change), by_force(&change)];
    let twice = told.proof(&twice, &next, &APPOINTED, 4);
    assert_eq!(refused(&mut told.anchor, &twice, &trusted), OUT_OF_ORDER);
    let over = told.proof(&[by_force(&change)], &next, &APPOINTED, 3);
    told.anchor.check_with(&over, &trusted).unwrap();
    assert_eq!(told.reached(), (3, 6));

    // From the set that it appointed.
    let last = told.block(&next, vec![scheduled(&LATER, 0)]);
    let again = told.proof(&[by_force(&change)], &last, &APPOINTED, 4);
    assert_eq!(refused(&mut told.anchor, &again, &trusted), OUT_OF_ORDER);
    // That set handed over to another. Whoever gets hold of its keys now gets nothing with them.
    let block = told.block(&last, vec![]);
    let onward = told.proof(&[signed(&last, &APPOINTED, 3)], &block, &LATER, 4);
    told.anchor.check_with(&onward, &trusted).unwrap();
    assert_eq!(told.reached(), (4, 8));
    let forged = told.block(&block, vec![scheduled(&[30], 0)]);
    let stolen = told.proof(&[by_force(&change)], &forged, &APPOINTED, 5);
    assert_eq!(refused(&mut told.anchor, &stolen, &trusted), OUT_OF_ORDER);
    // Nor behind a handover that is right.
    let behind = [signed(&forged, &LATER, 4), by_force(&change)];
    let behind = told.proof(&behind, &told.block(&forged, vec![]), &APPOINTED, 6);
    assert_eq!(refused(&mut told.anchor, &behind, &trusted), OUT_OF_ORDER);
}

#[test]
fn a_reader_that_begins_at_a_change_by_force_is_not_led_over_it() {
    let told = Told::new();
    let [authorities, set, genesis] = checkpoint_keys();
    let (root, nodes) = trie::<LayoutV0<Blake2Hasher>>(&[
        (authorities, list(&APPOINTED).encode()),
        (set, 3u64.encode()),
        (genesis, told.world.genesis.encode()),
    ]);
    let change = child(&told.world.headers[4], root, vec![forced(&APPOINTED)]);
    let authorities = CheckpointAuthorities {
        header: read(&change),
        nodes: nodes.iter().collect(),
    };
    let trusted = Checkpoint::of(&authorities.header);
    let mut anchor = Anchor::at_checkpoint(told.world.genesis, trusted, &authorities).unwrap();
    let next = told.block(&change, vec![]);
    let again = told.proof(&[by_force(&change)], &next, &APPOINTED, 4);
    assert_eq!(refused(&mut anchor, &again, &[trusted]), OUT_OF_ORDER);
    let genuine = told.proof(&[], &next, &APPOINTED, 3);
    assert!(anchor.check(&genuine).is_ok());
}

/// The set that is appointed votes from the last final block on, so it makes blocks final that are before the one that appoints it.
#[test]
fn who_is_led_over_a_change_by_force_to_a_block_before_it_is_beyond_it_all_the_same() {
    let mut told = Told::new();
    let before = told.block(&told.world.headers[4], vec![]);
    let change = told.block(&before, vec![forced(&APPOINTED)]);
    let after = told.block(&change, vec![]);
    let trusted = [Checkpoint::of(&read(&change))];
    let mut over = told.proof(&[by_force(&change)], &after, &APPOINTED, 3);
    over.block = read(&before);
    over.descendants = vec![read(&change), read(&after)];
    let shown = told.anchor.check_with(&over, &trusted);
    assert_eq!(shown.unwrap().number(), 5);
    assert_eq!(told.reached(), (3, 6));
    let next = told.block(&after, vec![]);
    let again = told.proof(&[by_force(&change)], &next, &APPOINTED, 4);
    assert_eq!(refused(&mut told.anchor, &again, &trusted), OUT_OF_ORDER);
    over.handovers.clear();
    assert_eq!(refused(&mut told.anchor, &over, &trusted), "proof_too_old");
}

#[test]
fn those_whom_a_block_appoints_lead_to_it_and_to_no_block_before() {
    let mut told = Told::new();
    let before = told.block(&told.world.headers[4], vec![]);
    let change = told.block(&before, vec![forced(&APPOINTED)]);
    let trusted = [Checkpoint::of(&read(&change))];
    let early = told.proof(&[by_force(&change)], &before, &APPOINTED, 3);
    assert_eq!(refused(&mut told.anchor, &early, &trusted), OUT_OF_ORDER);
    let own = told.proof(&[by_force(&change)], &change, &APPOINTED, 3);
    told.anchor.check_with(&own, &trusted).unwrap();
    assert_eq!(told.reached(), (3, 6));
}

#[test]
fn handovers_ascend_from_the_readers_own_block_to_the_one_that_is_signed_for() {
    let mut told = Told::new();
    let voters = told.world.sets[2].clone();
    let last = told.block(&told.world.headers[4], vec![scheduled(&LATER, 0)]);
    let next = told.block(&last, vec![]);
    let own = told.proof(&[], &last, &voters, 2);
    told.anchor.check(&own).unwrap();
    assert_eq!(told.reached(), (2, 5));

    let older = told.block(&told.world.headers[3], vec![scheduled(&LATER, 0)]);
    let back = told.proof(&[signed(&older, &voters, 2)], &next, &LATER, 3);
    assert_eq!(refused(&mut told.anchor, &back, &[]), OUT_OF_ORDER);
    // Two of one number.
    let rival = H256::repeat_byte(9);
    let rival = child(&told.world.headers[4], rival, vec![scheduled(&[30], 0)]);
    let both = [signed(&last, &voters, 2), signed(&rival, &LATER, 3)];
    let both = told.proof(&both, &next, &[30], 4);
    assert_eq!(refused(&mut told.anchor, &both, &[]), OUT_OF_ORDER);
    // After the block that was signed for.
    let far = NodeHeader {
        number: 9,
        ..last.clone()
    };
    let beyond = told.proof(&[signed(&far, &voters, 2)], &next, &LATER, 3);
    assert_eq!(refused(&mut told.anchor, &beyond, &[]), OUT_OF_ORDER);

    // The reader's own block is the last of its set, which hands over in it.
    let onward = told.proof(&[signed(&last, &voters, 2)], &next, &LATER, 3);
    told.anchor.check(&onward).unwrap();
    assert_eq!(told.reached(), (3, 6));
}
