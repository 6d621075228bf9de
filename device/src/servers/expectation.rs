// SPDX-License-Identifier: Apache-2.0

//! When to ask whether a run is finalised: hardly before it is likely, for in the morning many devices ask.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long it takes from an upload to its finality, as far as that is known.
#[derive(Debug)]
pub(super) struct Expectation(AtomicU64);

impl Expectation {
    /// What to expect before anything was learned.
    pub(super) fn of(usual: Duration) -> Self {
        Self(AtomicU64::new(milliseconds(usual)))
    }

    /// It took this long, or less when the first question was answered with it.
    pub(super) fn learn(&self, took: Duration, at_once: bool) {
        let before = self.0.load(Ordering::Relaxed);
        let after = match at_once {
            true => before / 5 * 4,
            false => before / 2 + milliseconds(took) / 2,
        };
        // Two learning at once may lose one of the two, which does not matter.
        self.0.store(after, Ordering::Relaxed);
    }

    /// How long it takes.
    pub(super) fn usual(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// How long to wait before asking for the first time.
    pub(super) fn first(&self) -> Duration {
        (self.usual() * 9 / 10).clamp(Duration::from_millis(50), Duration::from_secs(15))
    }

    /// How long to wait before asking again, after having waited so long: the longer the longer, for relays that have too much to
    /// do are late, and questions are what they can do without.
    pub(super) fn next(&self, waited: Duration) -> Duration {
        let next = (self.usual() / 8).max(waited / 5);
        next.clamp(Duration::from_millis(100), Duration::from_secs(5))
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as a device does about runs that take so many milliseconds, and counts the questions of each.
    fn questions(takes: impl IntoIterator<Item = u64>) -> Vec<u32> {
        let expectation = Expectation::of(Duration::from_secs(2));
        let asked = takes.into_iter().map(|takes| {
            let mut waited = expectation.first();
            let mut questions = 1;
            while waited < Duration::from_millis(takes) {
                waited += expectation.next(waited);
                questions += 1;
            }
            expectation.learn(waited, questions == 1);
            questions
        });
        asked.collect()
    }

    #[test]
    fn few_questions_are_put_from_the_first_run_on() {
        let asked = questions([1_500, 2_500, 1_700, 2_300, 3_000, 1_200, 2_000]);
        assert!(asked.iter().all(|asked| *asked <= 5), "{asked:?}");
        assert!(asked.iter().sum::<u32>() <= 20, "{asked:?}");
    }

    #[test]
    fn of_a_relay_that_is_far_behind_is_asked_seldom_also_before_it_is_known() {
        let asked = questions([60_000]);
        assert!(asked[0] <= 24, "{asked:?}");
    }

    #[test]
    fn a_chain_that_is_slower_or_faster_than_expected_is_learned_soon() {
        let slow = questions([18_000; 8]);
        assert!(slow[4..].iter().all(|asked| *asked <= 4), "{slow:?}");
        let expectation = Expectation::of(Duration::from_secs(2));
        for _ in 0..18 {
            expectation.learn(expectation.first(), true);
        }
        assert!(expectation.first() <= Duration::from_millis(60));
    }
}
