// SPDX-License-Identifier: Apache-2.0

//! Walking back costs budget, whether the entries stood there before or came with the call.

use crate::{mock::*, walk::lookups, RefusalReason, Run, Runs, ENTRIES_PER_PAGE};
use proptest::prelude::*;

const PER_PAGE: u64 = ENTRIES_PER_PAGE as u64;

/// Submits a batch. How many entries it looked up, and what it was charged: a unit each for a run, a page of further entries, a
/// fork and a step back.
fn looked_up_and_charged(runs: Vec<Run>) -> (u64, u64) {
    let runs: Runs = runs.try_into().expect("batches of the tests are short");
    let before = lookups();
    let charged = charged(RELAY, runs);
    (lookups() - before, charged)
}

/// One phone brings long runs and then, in the same batch, its first entry again and again: each retry would walk back
/// over all that is new.
#[test]
fn retries_in_the_batch_that_brings_their_entries_are_bounded_by_the_budget() {
    const BUDGET: u32 = 100;
    run(|| {
        WalkBudget::set(BUDGET);
        let mut phone = Phone::enrolled(PAPER, 1);
        let first = phone.clone().run(1, 0);
        let mut runs: Vec<_> = (0..40).map(|_| phone.run(100, 0)).collect();
        runs.extend(vec![first; 60]);
        let (looked_up, charged) = looked_up_and_charged(runs);
        let most = PER_PAGE * u64::from(BUDGET);
        assert!(looked_up <= most, "{looked_up} of at most {most}");
        assert!(charged >= BUDGET.into(), "all of the budget was walked");
    });
}

#[test]
fn a_walk_within_the_batch_that_the_budget_does_not_reach_is_told_so() {
    run(|| {
        let mut phone = Phone::enrolled(PAPER, 1);
        let old = phone.clone().run(1, 0);
        let runs = vec![phone.run(100, 0), phone.run(29, 0), old];
        WalkBudget::set(2);
        let events = submit_batch(RELAY, runs);
        assert_eq!(refusals(&events), [(2, RefusalReason::BeyondReach)]);
    });
}

#[test]
fn entries_of_one_page_cost_one_step_whether_they_are_new_or_old() {
    run(|| {
        let mut phone = Phone::enrolled(PAPER, 1);
        let runs = vec![phone.run(30, 0), phone.run(30, 0)];
        let retry = runs[0].clone();
        let (_, within) = looked_up_and_charged([runs, vec![retry.clone()]].concat());
        let (_, later) = looked_up_and_charged(vec![retry]);
        // Three runs, a page of further entries and a step; a run, a page and a step.
        assert_eq!((within, later), (3 + 2 + 1, 1 + 1 + 1));
    });
}

/// What a relay puts into its batches next.
#[derive(Clone, Debug)]
enum Next {
    /// New entries of a phone.
    New { phone: usize, entries: u32 },
    /// A run of a phone that was there before.
    Again(prop::sample::Index),
    /// A run that was there before, whose entries differ from one on.
    Rival(prop::sample::Index, prop::sample::Index),
    /// The batch ends, and another begins.
    Submit,
}

fn next() -> impl Strategy<Value = Next> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        32 => (0usize..2, 1u32..=256).prop_map(|(phone, entries)| Next::New { phone, entries }),
        32 => at().prop_map(Next::Again),
        8 => (at(), at()).prop_map(|(run, entry)| Next::Rival(run, entry)),
        1 => Just(Next::Submit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    /// Whatever a batch consists of, it looks up no more than a page of entries for each unit that it is charged.
    #[test]
    fn no_batch_looks_up_more_than_it_is_charged(
        shape in prop::collection::vec(next(), 1..160),
        budget in 1u32..64,
    ) {
        run(|| {
            WalkBudget::set(budget);
            let mut phones: Vec<_> = (0..2).map(|seed| Phone::enrolled(PAPER, seed)).collect();
            let (mut known, mut batch) = (Vec::<Run>::new(), Vec::new());
            for next in shape.into_iter().chain([Next::Submit]) {
                match next {
                    Next::New { phone, entries } => {
                        known.push(phones[phone].run(entries, 0));
                        batch.extend(known.last().cloned());
                    }
                    Next::Again(_) | Next::Rival(..) if known.is_empty() => (),
                    Next::Again(run) => batch.push(run.get(&known).clone()),
                    Next::Rival(run, entry) => {
                        let mut rival = run.get(&known).clone();
                        let at = entry.index(rival.entries.len());
                        rival.entries[at].digest.0[0] ^= 1;
                        batch.push(rival);
                    }
                    Next::Submit => {
                        let (looked_up, charged) = looked_up_and_charged(core::mem::take(&mut batch));
                        assert!(looked_up <= PER_PAGE * charged, "{looked_up} for {charged}");
                    }
                }
            }
        });
    }
}
