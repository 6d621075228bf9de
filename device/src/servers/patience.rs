// SPDX-License-Identifier: Apache-2.0

//! How long a device waits.

use core::time::Duration;

/// Longest time for which a server can ask to be left alone. What it says for longer is only a word.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer.
    pub answer: Duration,
    /// For an enrolment, which is answered when the chain has finalised it.
    pub enrolment: Duration,
    /// For servers that do not answer, or have too much to do, before giving up.
    pub give_up: Duration,
    /// For the finality of a run that a relay has accepted.
    pub finality: Duration,
    /// How long a run usually takes to become final, until the device has learned it: it first asks at about that time.
    pub usual_finality: Duration,
    /// Between the first and the second attempt, at least. Doubles from attempt to attempt.
    pub shortest_wait: Duration,
    /// Between two attempts, at most, unless the server asks for more.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            enrolment: Duration::from_secs(120),
            give_up: Duration::from_secs(60),
            finality: Duration::from_secs(180),
            usual_finality: Duration::from_secs(2),
            shortest_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// How long to wait after so many failures in a row: doubling, with a random half, so that a thousand devices that
    /// lost the same relay do not come back at once. Never less than the server asked for, up to an hour.
    pub(super) fn backoff(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = self
            .shortest_wait
            .saturating_mul(1 << failures.clamp(1, 16));
        let own = doubled.min(self.longest_wait).mul_f64(0.5 + chance / 2.0);
        own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_are_never_shorter_than_asked() {
        let patience = Patience::default();
        for failures in 1..100 {
            let wait = patience.backoff(failures, None, f64::from(failures) / 100.0);
            assert!(wait >= patience.shortest_wait && wait <= patience.longest_wait);
        }
        assert!(patience.backoff(60, None, 0.0) >= patience.longest_wait / 2);
        for asked in [7, 30, 600].map(Duration::from_secs) {
            assert!(patience.backoff(1, Some(asked), 0.5) >= asked);
        }
        let hours = Duration::from_secs(7_200);
        assert_eq!(patience.backoff(1, Some(hours), 0.5), LONGEST_ASKED);
    }
}
