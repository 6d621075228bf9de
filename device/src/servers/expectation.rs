// SPDX-License-Identifier: Apache-2.0

//! When to ask whether a run is finalised: not long before it is likely, for in the morning many devices ask.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long it takes from an upload to its finality, as far as that is known.
#[derive(Debug)]
pub(super) struct Expectation {
    /// In milliseconds; 0 before the first run.
    learned: AtomicU64,
    /// What to expect until then.
    usual: Duration,
}

impl Expectation {
    pub(super) fn of(usual: Duration) -> Self {
        Self {
            learned: AtomicU64::new(0),
            usual,
        }
    }

    /// A run was final after this time; when the first question was answered so, perhaps long before. Many may learn the same at
    /// the same time: what they come to is not far from what one would.
    pub(super) fn learn(&self, took: Duration, at_once: bool) {
        let took = milliseconds(took);
        let before = milliseconds(self.expected());
        let after = match at_once {
            true => before.min(took / 5 * 4),
            false => before - before / 4 + took / 4,
        };
        // Two learning at once may lose one of the two, which does not matter.
        self.learned.store(after.max(1), Ordering::Relaxed);
    }

    /// How long it takes; nothing before it was learned.
    pub(super) fn learned(&self) -> Duration {
        Duration::from_millis(self.learned.load(Ordering::Relaxed))
    }

    fn expected(&self) -> Duration {
        match self.learned() {
            Duration::ZERO => self.usual,
            learned => learned,
        }
    }

    /// How long to wait from the upload to the first question.
    pub(super) fn first(&self) -> Duration {
        (self.expected() * 9 / 10).clamp(Duration::from_millis(50), Duration::from_secs(15))
    }

    /// How long to wait before asking again, after having waited so long: the longer the longer, for relays that have too much to
    /// do are late, and questions are what they can do without.
    pub(super) fn next(&self, waited: Duration) -> Duration {
        let next = (self.expected() / 8).max(waited / 5);
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
        assert!(slow[5..].iter().all(|asked| *asked <= 4), "{slow:?}");
        let expectation = Expectation::of(Duration::from_secs(2));
        for _ in 0..18 {
            expectation.learn(expectation.first(), true);
        }
        assert!(expectation.first() <= Duration::from_millis(60));
    }

    #[test]
    fn many_that_see_the_same_wave_learn_what_one_does() {
        let [one, many] = [1, 64].map(|devices| {
            let expectation = Expectation::of(Duration::from_secs(2));
            let first = expectation.first();
            (0..devices).for_each(|_| expectation.learn(first, true));
            expectation.first()
        });
        assert_eq!(one, many);
    }

    #[test]
    fn a_run_that_was_long_final_when_it_was_asked_for_makes_nothing_shorter_than_it_took() {
        let expectation = Expectation::of(Duration::from_secs(2));
        (0..40).for_each(|_| expectation.learn(Duration::from_secs(20), false));
        let before = expectation.learned();
        expectation.learn(Duration::from_secs(60), true);
        assert_eq!(expectation.learned(), before);
    }
}
