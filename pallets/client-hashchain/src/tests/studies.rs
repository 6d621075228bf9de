// SPDX-License-Identifier: Apache-2.0

//! What devices of several studies cost a batch.

use crate::{mock::*, own::lookups, BatchSize, RefusalReason, Run, Runs};
use sp_runtime::AccountId32;

/// Brings a batch. How many times the device of the account was looked for, and what was charged: a unit each for a run, a page of
/// further entries, a study beyond the first, a signature, a fork and a step back.
fn looked_for_and_charged(who: AccountId32, runs: Vec<Run>) -> (u64, u64) {
    let runs: Runs = runs.try_into().expect("batches of the tests are short");
    let size = BatchSize::from(&runs);
    let before = lookups();
    let charged = charged(who, runs);
    let declared = size.declared::<Test>().ref_time();
    assert!(charged <= declared, "{charged} of {declared}");
    (lookups() - before, charged)
}

#[test]
fn each_study_of_a_batch_beyond_the_first_is_charged() {
    run(|| {
        let mut phones = [(PAPER, 0), (PAPER, 1), (SIGNED, 2), (FOREIGN, 3)]
            .map(|(study, seed)| Phone::enrolled(study, seed));
        let mut charged = |which: &[usize]| {
            let runs = which.iter().map(|phone| Run {
                signature: None,
                ..phones[*phone].run(1, 0)
            });
            looked_for_and_charged(RELAY, runs.collect()).1
        };
        // The first batch of a block pays for the page, too.
        charged(&[0, 1]);
        let one = charged(&[0, 1]);
        // Whether the run is registered or refused: the study's rules were read.
        assert_eq!(charged(&[0, 2]), one + 1);
        assert_eq!(charged(&[0, 1, 2, 3]), one + 2 + 2);
        assert_eq!(charged(&[2]), one - 1);
    });
}

/// It has one device at most, whatever it brings.
#[test]
fn who_is_no_relay_is_looked_for_once_a_batch() {
    run(|| {
        let mut phones: Vec<_> = (0..20).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1, 0)).collect();
        let (looked_for, _) = looked_for_and_charged(FOREIGN_RELAY, runs.clone());
        assert_eq!(looked_for, 1);
        let (looked_for, _) = looked_for_and_charged(RELAY, runs.clone());
        assert_eq!(looked_for, 0, "a relay of the study needs no device");

        let expected = [(1, RefusalReason::NotARelayOfThisStudy)];
        let own = submit_batch(phones[3].account(), vec![runs[3].clone(), runs[4].clone()]);
        assert_eq!(refusals(&own), expected);
    });
}
