// SPDX-License-Identifier: Apache-2.0

//! Of a run that overlaps what is registered, the known entries count as known, and only the new ones as registered.

use crate::{mock::*, Brought, EntriesBrought, EntriesBroughtAgain, RefusalReason, Run};
use codec::Encode;
use frame_support::assert_ok;

/// A phone has entries registered by the first relay; a run of these and of further ones.
fn overlapping(seed: u8, registered: u32, further: u32) -> Run {
    let mut phone = Phone::enrolled(SIGNED, seed);
    let mut whole = phone.clone();
    phone.registered(registered);
    whole.run(registered + further, 0)
}

fn bytes(run: &Run) -> u32 {
    run.encoded_size() as u32
}

/// Bytes of so many entries of a run, as their share of it.
fn share(run: &Run, entries: u32) -> u32 {
    bytes(run) * entries / run.entries.len() as u32
}

#[test]
fn a_run_with_one_new_entry_is_a_replay_but_for_one_entry() {
    run(|| {
        let run = overlapping(1, 255, 1);
        let known = share(&run, 255);
        assert_ok!(submit(RELAY, run.clone()));
        let brought = Brought {
            recorded: bytes(&run) - known,
            replayed: known,
            ..Default::default()
        };
        assert_eq!(Told::get(), brought);
        // Little more than digest and tag.
        assert_eq!(brought.recorded, 65);
    });
}

#[test]
fn a_second_relay_may_bring_once_what_its_run_overlaps() {
    run(|| {
        let run = overlapping(1, 3, 2);
        let known = share(&run, 3);
        assert_ok!(submit(SECOND_RELAY, run.clone()));
        let brought = Brought {
            recorded: bytes(&run) - known,
            known,
            ..Default::default()
        };
        assert_eq!(Told::get(), brought);

        assert_ok!(submit(SECOND_RELAY, run.clone()));
        let brought = Brought {
            replayed: bytes(&run),
            ..Default::default()
        };
        assert_eq!(Told::get(), brought);
    });
}

#[test]
fn overlaps_of_a_batch_count_together_and_a_refused_one_counts_as_refused() {
    run(|| {
        let (one, other) = (overlapping(1, 3, 2), overlapping(2, 2, 1));
        let mut forged = overlapping(3, 4, 1);
        forged.signature = Some([7; 64]);
        let events = submit_batch(
            SECOND_RELAY,
            vec![one.clone(), forged.clone(), other.clone()],
        );
        assert_eq!(refusals(&events), [(1, RefusalReason::BadSignature)]);
        let known = share(&one, 3) + share(&other, 2);
        let brought = Brought {
            recorded: bytes(&one) + bytes(&other) - known,
            known,
            replayed: 0,
            refused: bytes(&forged),
        };
        assert_eq!(Told::get(), brought);
        // Three new ones, and five again.
        assert_eq!(EntriesBrought::<Test>::get(SIGNED, SECOND_RELAY), 8);
        assert_eq!(EntriesBroughtAgain::<Test>::get(SIGNED), 5);
    });
}
