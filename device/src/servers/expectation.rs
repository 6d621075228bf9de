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

    /// How long to wait before asking for the first time, and between two times.
    pub(super) fn waits(&self) -> (Duration, Duration) {
        let expected = self.usual();
        let first = (expected * 9 / 10).clamp(Duration::from_millis(50), Duration::from_secs(15));
        let next = (expected / 8).clamp(Duration::from_millis(100), Duration::from_secs(2));
        (first, next)
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as a device does about runs that take so long, and counts the questions of each.
    fn questions(usual: Duration, takes: &[Duration]) -> Vec<u32> {
        let expectation = Expectation::of(usual);
        let asked = takes.iter().map(|takes| {
            let (mut waited, next) = expectation.waits();
            let mut questions = 1;
            while waited < *takes {
                waited += next;
                questions += 1;
            }
            expectation.learn(waited, questions == 1);
            questions
        });
        asked.collect()
    }

    #[test]
    fn few_questions_are_put_from_the_first_run_on() {
        let usual = Duration::from_secs(2);
        let takes = [1_500, 2_500, 1_700, 2_300, 3_000, 1_200, 2_000].map(Duration::from_millis);
        let asked = questions(usual, &takes);
        assert!(asked.iter().all(|questions| *questions <= 8), "{asked:?}");
        assert!(
            asked.iter().sum::<u32>() <= 4 * asked.len() as u32,
            "{asked:?}"
        );
    }

    #[test]
    fn a_chain_that_is_slower_or_faster_than_expected_is_learned_soon() {
        let usual = Duration::from_secs(2);
        let slow = questions(usual, &[Duration::from_secs(18); 8]);
        assert!(
            slow[4..].iter().all(|questions| *questions <= 4),
            "{slow:?}"
        );
        let expectation = Expectation::of(usual);
        for _ in 0..18 {
            let (first, _) = expectation.waits();
            expectation.learn(first, true);
        }
        assert!(expectation.waits().0 <= Duration::from_millis(60));
    }
}
