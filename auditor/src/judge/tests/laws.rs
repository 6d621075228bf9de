// SPDX-License-Identifier: Apache-2.0

//! Laws that hold for every trial.

use mhealth_testing::phone::record;
use proptest::prelude::*;

use super::world::World;
use crate::case::Case;
use crate::judge::judge;
use crate::verdict::{Outcome, Verdict};

#[derive(Clone, Debug)]
enum Act {
    /// The phone records so many nights and sends them through a relay.
    Send(usize, usize),
    /// A parcel of before comes again, through some relay.
    Again(prop::sample::Index, usize),
    /// Nothing arrives; the next parcel starts where this one would have.
    Lose,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..5usize, 0..2usize).prop_map(|(count, relay)| Act::Send(count, relay)),
        2 => (any::<prop::sample::Index>(), 0..2usize).prop_map(|(which, relay)| Act::Again(which, relay)),
        1 => Just(Act::Lose),
    ]
}

fn play(device_signed: bool, acts: &[Act]) -> World {
    let mut world = World::new(device_signed);
    let mut sent = Vec::new();
    let mut lost = Vec::new();
    for act in acts {
        match act {
            Act::Send(count, relay) => {
                for parcel in lost.drain(..) {
                    world.relay(*relay, &parcel);
                    sent.push(parcel);
                }
                let parcel = record(&mut world.phone, *count, "a night");
                world.relay(*relay, &parcel);
                sent.push(parcel);
            }
            Act::Again(which, relay) if !sent.is_empty() => {
                let parcel = which.get(&sent).clone();
                world.relay(*relay, &parcel);
            }
            Act::Again(..) => {}
            Act::Lose => lost.push(record(&mut world.phone, 1, "a night")),
        }
    }
    world
}

/// Changes one thing that somebody other than the device could change.
fn tamper(case: &mut Case, place: prop::sample::Index, bit: usize, kind: usize) -> bool {
    let flip = |bytes: &mut [u8]| bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    if case.record.length == 0 {
        return false;
    }
    match kind {
        0 => {
            let held = case
                .stores
                .iter_mut()
                .flat_map(|store| store.runs.iter_mut());
            let mut held: Vec<_> = held.flat_map(|held| held.envelopes.iter_mut()).collect();
            let place = place.index(held.len());
            flip(&mut held[place].digest.0);
        }
        1 => flip(&mut place.get_mut(&mut case.registered).digest.0),
        2 => flip(&mut place.get_mut(&mut case.registered).link.0),
        3 => flip(&mut case.record.genesis.0),
        4 => flip(&mut case.record.escrow[33..]),
        5 => flip(&mut case.record.secret_commitment),
        6 => flip(&mut case.record.head.0),
        _ => {
            let place = place.index(case.registered.len());
            let entry = case.registered[place];
            let with = case.registered[(place + 1) % case.registered.len()];
            if entry == with {
                return false;
            }
            case.registered[place].digest = with.digest;
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_honest_trial_raises_an_alarm(
        device_signed in any::<bool>(),
        acts in prop::collection::vec(act(), 1..12),
    ) {
        let world = play(device_signed, &acts);
        let judgement = world.audit();
        prop_assert_eq!(judgement.outcome(), Outcome::Right, "{:?}", judgement);
        prop_assert_eq!(judgement.count(Verdict::Valid), world.record.length);
    }

    #[test]
    fn no_change_passes_for_right(
        device_signed in any::<bool>(),
        acts in prop::collection::vec(act(), 1..8),
        place in any::<prop::sample::Index>(),
        bit in 0..256usize,
        kind in 0..8usize,
    ) {
        let mut case = play(device_signed, &acts).case();
        if tamper(&mut case, place, bit, kind) {
            // A case is opened anew, as an audit would.
            let auditor = hashchain::OpeningKey::from_bytes(&[11; 32]);
            let public = auditor.sealing_key().0;
            case.secret = crate::case::SecretAccess::open(&[auditor], &public, &case.record);
            let judgement = judge(&case);
            prop_assert_ne!(judgement.outcome(), Outcome::Right, "kind {}: {:?}", kind, judgement);
        }
    }

    #[test]
    fn every_registered_position_has_one_verdict(
        acts in prop::collection::vec(act(), 1..8),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut case = play(true, &acts).case();
        for index in dropped {
            if !case.registered.is_empty() {
                case.registered.remove(index.index(case.registered.len()));
            }
        }
        let judgement = judge(&case);
        let positions: Vec<u64> = judgement
            .entries
            .iter()
            .filter(|entry| entry.registered)
            .map(|entry| entry.sequence)
            .collect();
        let expected: Vec<u64> = (1..=case.record.length).collect();
        prop_assert_eq!(positions, expected);
    }

    #[test]
    fn nothing_makes_the_judge_panic(
        sequence in any::<u64>(),
        length in 0..50u64,
        previous in any::<[u8; 32]>(),
        acts in prop::collection::vec(act(), 1..4),
    ) {
        let mut world = play(false, &acts);
        let mut parcel = record(&mut world.phone, 2, "a night");
        parcel.sequence = sequence;
        parcel.previous = hashchain::LinkHash(previous);
        world.store(0, &parcel, mhealth_api::RunState::Finalised);
        let mut case = world.case();
        case.record.length = length;
        judge(&case);
    }
}
