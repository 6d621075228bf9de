// SPDX-License-Identifier: Apache-2.0

//! Laws that hold for every sequence of submissions, checked against a model that keeps whole histories.

use crate::{mock::*, Event, RefusalReason, Run};
use proptest::prelude::*;

/// What a relay may do next with a device's entries.
#[derive(Clone, Debug)]
enum Step {
    /// Bring new entries.
    New(u32),
    /// Bring a run again that was brought before.
    Again(prop::sample::Index),
    /// Bring the entries from an earlier one on, with new ones after them.
    Overlap(prop::sample::Index, u32),
    /// Leave entries out.
    Skip(u32),
    /// Change one bit of a run that would have been accepted.
    Flip(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..5).prop_map(Step::New),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => (any::<prop::sample::Index>(), 1u32..4).prop_map(|(at, more)| Step::Overlap(at, more)),
        1 => (1u32..3).prop_map(Step::Skip),
        1 => any::<prop::sample::Index>().prop_map(Step::Flip),
    ]
}

/// A run of the entries `from..` of a history, signed by the phone at its end.
fn join(history: &[Run], from: usize, phone: &Phone) -> Run {
    let mut run = history[from].clone();
    run.entries = history[from..]
        .iter()
        .flat_map(|run| run.entries.to_vec())
        .collect::<Vec<_>>()
        .try_into()
        .expect("histories of the tests are short");
    run.signature = Some(phone.sign());
    run
}

fn flip(run: &mut Run, bit: usize) {
    let bytes = run.entries.len() * 64;
    let at = bit / 8 % bytes;
    let entry = &mut run.entries[at / 64];
    let field = if at % 64 < 32 {
        &mut entry.digest
    } else {
        &mut entry.tag
    };
    field.0[at % 32] ^= 1 << (bit % 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    /// The stored head is always the phone's own, whatever a relay repeats, reorders, leaves out or alters.
    #[test]
    fn the_head_is_always_the_phones_own(steps in prop::collection::vec(step(), 1..24)) {
        run(|| {
            let mut phone = Phone::enrolled(SIGNED, 1);
            let mut history: Vec<Run> = Vec::new();
            for step in steps {
                let (runs, expected) = match step {
                    Step::New(entries) => {
                        history.push(phone.run(entries, 0));
                        (history[history.len() - 1].clone(), None)
                    }
                    Step::Again(_) | Step::Overlap(..) if history.is_empty() => continue,
                    Step::Again(at) => (at.get(&history).clone(), None),
                    Step::Overlap(at, more) => {
                        history.push(phone.run(more, 0));
                        let from = at.index(history.len());
                        (join(&history, from, &phone), None)
                    }
                    Step::Skip(entries) => {
                        let mut ahead = phone.clone();
                        ahead.run(entries, 0);
                        (ahead.run(1, 0), Some(RefusalReason::Gap))
                    }
                    Step::Flip(bit) => {
                        let mut altered = phone.clone().run(2, 0);
                        flip(&mut altered, bit.index(1 << 10));
                        (altered, Some(RefusalReason::BadSignature))
                    }
                };
                let events = submit_batch(RELAY, vec![runs]);
                let reasons: Vec<_> = refusals(&events).into_iter().map(|(_, why)| why).collect();
                assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>());
                let head = HashchainPallet::head_of(phone.id).expect("enrolled");
                assert_eq!((head.hash, head.length), (phone.head, phone.length));
            }
        });
    }

    /// A batch and the same runs one by one lead to the same heads and the same journal.
    #[test]
    fn a_batch_does_what_single_submissions_do(
        order in prop::collection::vec((0usize..4, 1u32..4), 1..20),
    ) {
        let register = |in_batch: bool| {
            let mut result = Vec::new();
            run(|| {
                let mut phones: Vec<_> = (0..4).map(|seed| Phone::enrolled(PAPER, seed)).collect();
                let runs: Vec<_> = order
                    .iter()
                    .map(|(phone, entries)| phones[*phone].run(*entries, 0))
                    .collect();
                if in_batch {
                    let events = submit_batch(RELAY, runs);
                    let is_report = |event: &Event<Test>| matches!(event, Event::BatchProcessed { .. });
                    assert!(events.iter().all(is_report));
                } else {
                    for run in runs {
                        submit(RELAY, run).expect("each run follows the head");
                    }
                }
                result = HashchainPallet::journal_view(0, 1_024);
            });
            result
        };
        prop_assert_eq!(register(true), register(false));
    }
}
