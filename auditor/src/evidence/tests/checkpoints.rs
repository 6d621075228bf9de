// SPDX-License-Identifier: Apache-2.0

//! The same chain after its finality was lost: its authorities were changed by force.

use mhealth_evidence::NotACheckpoint;

use super::*;

/// Evidence from after a change by force, which took place in the block that is the checkpoint.
pub(super) struct Forced {
    pub(super) evidence: Evidence,
    pub(super) genesis: [u8; 32],
    pub(super) checkpoint: Checkpoint,
    /// The block after it, of which the file says nothing.
    pub(super) newer: Checkpoint,
    before: Evidence,
    sets: [Voters; 3],
    new: Voters,
}

pub(super) fn forced() -> Forced {
    forced_naming(|genesis| genesis)
}

/// A chain whose state, at the checkpoint, names this first block.
fn forced_naming(first: fn([u8; 32]) -> [u8; 32]) -> Forced {
    let Made {
        evidence: before,
        genesis,
        sets,
        ..
    } = made();
    let new = voters(&[7, 8, 9]);
    let [authorities, set, first_block] = checkpoint_keys();
    let (root, proof) = trie::<LayoutV0<Blake2Hasher>>(&[
        (authorities, list(&new).encode()),
        (set, 3u64.encode()),
        (first_block, first(genesis).encode()),
    ]);
    let change = force(&before.finality.descendants[0], root.0, &new);
    let between = child(&change, [5; 32], None, 0);
    let block = child(&between, before.finality.block.state_root, None, 0);
    let evidence = Evidence {
        start: Start::Checkpoint(CheckpointAuthorities {
            header: change.clone(),
            nodes: proof.iter().collect(),
        }),
        finality: FinalityProof {
            handovers: Vec::new(),
            justification: justify(&block, &new, 3),
            block,
            descendants: Vec::new(),
            nodes: before.finality.nodes.clone(),
        },
        ..before.clone()
    };
    Forced {
        checkpoint: Checkpoint::of(&change),
        newer: Checkpoint::of(&between),
        evidence,
        genesis,
        before,
        sets,
        new,
    }
}

/// A block that changes the authorities by force, and by those before, too, when there are any.
fn force(parent: &Header, root: [u8; 32], next: &Voters) -> Header {
    force_and(parent, root, next, None)
}

fn force_and(parent: &Header, root: [u8; 32], next: &Voters, scheduled: Option<&Voters>) -> Header {
    let change = |next| ScheduledChange {
        next_authorities: list(next),
        delay: 0,
    };
    let forced = ConsensusLog::<u32>::ForcedChange(parent.number - 1, change(next));
    let scheduled = scheduled.map(|next| ConsensusLog::ScheduledChange(change(next)));
    let logs = [forced].into_iter().chain(scheduled);
    let logs: Vec<Vec<u8>> = logs.map(|log| log.encode()).collect();
    child_saying(parent, root, &logs)
}

#[test]
fn evidence_from_after_a_change_by_force_holds_for_those_who_trust_a_checkpoint_after_it() {
    let forced = forced();
    let Forced {
        evidence,
        genesis,
        checkpoint,
        ..
    } = &forced;
    let claims = verify(evidence, *genesis, &[*checkpoint]).unwrap();
    assert_eq!((claims.authority_set, claims.authorities), (3, 3));
    let trust = Trust {
        checkpoint: Some(*checkpoint),
        handovers: 0,
        later: Vec::new(),
    };
    assert_eq!(claims.trust, trust);
    let untrusted = Refusal::Untrusted(*checkpoint);
    assert_eq!(verify(evidence, *genesis, &[]), Err(untrusted));
    assert!(untrusted.to_string().contains(&checkpoint.to_string()));
}

#[test]
fn a_file_that_begins_elsewhere_than_at_the_newest_checkpoint_before_its_block_is_refused() {
    let forced = forced();
    let judged = |evidence: &Evidence, checkpoints: &[Checkpoint]| {
        verify(evidence, forced.genesis, checkpoints).map(|claims| claims.trust.later)
    };
    let (trusted, newer) = (forced.checkpoint, forced.newer);
    let both = judged(&forced.evidence, &[trusted, newer]);
    assert_eq!(both, Err(Refusal::NotFromCheckpoint(newer)));
    let hash = [7; 32];
    let other = Checkpoint { hash, ..trusted };
    let refused = judged(&forced.evidence, &[other]);
    assert_eq!(refused, Err(Refusal::AnotherHistory(other)));
    let older = Checkpoint { hash, number: 1 };
    assert_eq!(
        judged(&forced.evidence, &[older]),
        Err(Refusal::Untrusted(trusted))
    );
    // Two checkpoints of one number are not both right.
    assert!(judged(&forced.evidence, &[trusted, other]).is_err());
    assert!(judged(&forced.evidence, &[other, trusted]).is_err());
    // Nobody needs a checkpoint older than the newest.
    assert_eq!(judged(&forced.evidence, &[older, trusted]), Ok(Vec::new()));

    // Keys of sets before the checkpoint are worth nothing, however well they signed.
    let before = &forced.before;
    let one = Checkpoint::of(&before.finality.handovers[0].header);
    assert_eq!(judged(before, &[one]), Err(Refusal::NotFromCheckpoint(one)));
    // Of what is later than the evidence it is said that it is.
    assert_eq!(judged(before, &[trusted]), Ok(vec![trusted]));
    // The first block is a checkpoint that everybody has.
    let first = Checkpoint::of(&before.genesis);
    assert_eq!(judged(before, &[first]), Ok(Vec::new()));
    // What the file has of a checkpoint's number is the checkpoint.
    let same = Checkpoint::of(&before.finality.block);
    assert_eq!(judged(before, &[same]), Ok(Vec::new()));
    let rival = Checkpoint { hash, ..same };
    assert_eq!(
        judged(before, &[rival]),
        Err(Refusal::AnotherHistory(rival))
    );
    let after = Checkpoint {
        hash,
        number: before.finality.descendants[0].number,
    };
    assert_eq!(
        judged(before, &[after]),
        Err(Refusal::AnotherHistory(after))
    );
}

#[test]
fn the_authorities_at_a_checkpoint_are_those_of_its_state_on_the_same_chain() {
    let forced = forced();
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = forced.evidence.clone();
        change(&mut changed);
        verify(&changed, forced.genesis, &[forced.checkpoint]).unwrap_err()
    };
    let Start::Checkpoint(authorities) = &forced.evidence.start else {
        unreachable!()
    };
    for node in 0..authorities.nodes.len() {
        let less = Start::Checkpoint(CheckpointAuthorities {
            header: authorities.header.clone(),
            nodes: without(&authorities.nodes, node),
        });
        assert_eq!(
            refused(&|it| it.start = less.clone()),
            Refusal::CheckpointState
        );
    }
    let mut other = authorities.clone();
    other.header.state_root = [1; 32];
    let other = Start::Checkpoint(other);
    let of_other = refused(&|it| it.start = other.clone());
    assert_eq!(of_other, Refusal::AnotherHistory(forced.checkpoint));
    let strange = forced_naming(|_| [3; 32]);
    let refused_there = verify(&strange.evidence, strange.genesis, &[strange.checkpoint]);
    assert_eq!(refused_there, Err(Refusal::CheckpointState));

    let block = &forced.evidence.finality.block;
    let by = |voters: &Voters, set| {
        let justification = justify(block, voters, set);
        refused(&|it| it.finality.justification = justification.clone())
    };
    assert_eq!(by(&forced.sets[2], 3), Refusal::Finality);
    assert_eq!(by(&forced.sets[2], 2), Refusal::Finality);
    assert_eq!(by(&forced.new, 2), Refusal::Finality);
}

#[test]
fn handovers_are_followed_from_a_checkpoint_on_but_never_over_a_change_by_force() {
    let forced = forced();
    let later = voters(&[20]);
    let handover = child(&forced.evidence.finality.block, [6; 32], Some(&later), 0);
    let block = child(
        &handover,
        forced.evidence.finality.block.state_root,
        None,
        0,
    );
    let mut evidence = forced.evidence.clone();
    evidence.finality.handovers = vec![Handover {
        justification: justify(&handover, &forced.new, 3),
        header: handover,
    }];
    evidence.finality.justification = justify(&block, &later, 4);
    evidence.finality.block = block;
    let claims = verify(&evidence, forced.genesis, &[forced.checkpoint]).unwrap();
    assert_eq!((claims.authority_set, claims.trust.handovers), (4, 1));

    // Even where the set before signed for the block, which on a chain that goes on it may have.
    for scheduled_too in [None, Some(&later)] {
        let before = &forced.evidence.finality.block;
        let change = force_and(before, [6; 32], &later, scheduled_too);
        let block = child(&change, forced.evidence.finality.block.state_root, None, 0);
        evidence.finality.handovers = vec![Handover {
            justification: justify(&change, &forced.new, 3),
            header: change.clone(),
        }];
        evidence.finality.justification = justify(&block, &later, 4);
        evidence.finality.block = block;
        let judged = verify(&evidence, forced.genesis, &[forced.checkpoint]);
        assert_eq!(judged, Err(Refusal::Handover(0)));
    }
}

#[test]
fn handovers_ascend_from_the_checkpoint_to_the_block_that_was_signed_for() {
    let forced = forced();
    let later = voters(&[20]);
    let judged = |numbers: &[u32]| {
        let mut evidence = forced.evidence.clone();
        let (mut by, mut set) = (&forced.new, 3);
        for number in numbers {
            let mut header = child(&evidence.finality.block, [6; 32], Some(&later), 0);
            header.number = *number;
            evidence.finality.handovers.push(Handover {
                justification: justify(&header, by, set),
                header,
            });
            (by, set) = (&later, set + 1);
        }
        evidence.finality.justification = justify(&evidence.finality.block, by, set);
        let claims = verify(&evidence, forced.genesis, &[forced.checkpoint]);
        claims.map(|claims| claims.authority_set)
    };
    let from = forced.checkpoint.number;
    assert_eq!(forced.evidence.finality.block.number, from + 2);
    assert_eq!(judged(&[from + 1]), Ok(4));
    assert_eq!(judged(&[from + 1, from + 2]), Ok(5));
    assert_eq!(judged(&[from - 1]), Err(Refusal::HandoverOrder(0)));
    assert_eq!(judged(&[from + 3]), Err(Refusal::HandoverOrder(0)));
    for second in [from + 1, from - 1] {
        let refused = judged(&[from + 1, second]);
        assert_eq!(refused, Err(Refusal::HandoverOrder(1)), "{second}");
    }
}

#[test]
fn no_flipped_bit_changes_what_evidence_from_a_checkpoint_claims() {
    let forced = forced();
    let checkpoints = [forced.checkpoint];
    let claims = verify(&forced.evidence, forced.genesis, &checkpoints).unwrap();
    let bytes = forced.evidence.to_bytes();
    let contents = &bytes[..bytes.len() - 32];
    for bit in 18 * 8..contents.len() * 8 {
        let mut flipped = contents.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let checksum = Native::sha256(&flipped);
        flipped.extend(checksum);
        let read = Evidence::from_bytes(&flipped);
        if let Ok(Ok(claimed)) = read.map(|read| verify(&read, forced.genesis, &checkpoints)) {
            assert_eq!(claimed, claims, "bit {bit}");
        }
    }
}

#[test]
fn a_checkpoint_is_written_as_a_hash_and_a_number() {
    let forced = forced();
    let text = forced.checkpoint.to_string();
    assert_eq!(text.parse(), Ok(forced.checkpoint));
    let (hash, number) = text.split_once('@').unwrap();
    for wrong in ["", "@", hash, number, "@5", &hash[..20]] {
        assert_eq!(wrong.parse::<Checkpoint>(), Err(NotACheckpoint));
    }
    for wrong in [
        format!("{hash}@"),
        format!("{hash}@-1"),
        format!("{number}@{hash}"),
    ] {
        assert_eq!(wrong.parse::<Checkpoint>(), Err(NotACheckpoint));
    }
}
