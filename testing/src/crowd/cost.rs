// SPDX-License-Identifier: Apache-2.0

//! What a crowd cost those who are not of it, and what a busy machine excuses.

use std::time::Duration;

use anyhow::{ensure, Result};

/// What honest people wait for at most, where the machine has time.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How many times as long as at the spared pair a request may take at the one that is leaned on, where the machine has none: at
/// most so many times [`PATIENCE`], because what takes longer than that at the spared pair excuses nothing.
const TIMES: u32 = 4;

/// What a crowd cost those who are not of it.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How long a request took at the pair that was leaned on: the 99th percentile, or the longest of a few.
    pub leaned: Duration,
    /// How long the same took at the other pair: the median.
    pub spared: Duration,
    /// How long a request that waits for nothing took there: the median. It says whether the machine has time.
    pub yardstick: Duration,
}

impl Cost {
    /// Of the times at the pair that was leaned on, and at the other one.
    pub(super) fn of([leaned, spared]: [Vec<Duration>; 2], yardstick: Duration) -> Self {
        Self {
            leaned: percentile(&leaned, 99),
            spared: percentile(&spared, 50),
            yardstick,
        }
    }

    /// Nobody waits for longer than [`PATIENCE`] because of a crowd. Where a request that waits for nothing takes more than a
    /// quarter of that at the pair on which nobody leans, the machine is busy: then nobody waits for longer than four times what
    /// it takes there. Where even that is longer than [`PATIENCE`], nothing was shown, and the error begins with `inconclusive`.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        if self.leaned < PATIENCE {
            return Ok(());
        }
        let calm = self.yardstick.max(self.spared);
        ensure!(
            calm <= PATIENCE,
            "inconclusive: {what} are too slow where nobody leans, too: {self:?}"
        );
        let most = match self.yardstick * TIMES < PATIENCE {
            true => PATIENCE,
            false => calm * TIMES,
        };
        ensure!(
            self.leaned < most,
            "{what} should take less than {most:?}: {self:?}"
        );
        Ok(())
    }
}

/// This percentile; of fewer than a hundred the 99th is the longest.
pub(super) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let place = (times.len() * percent).div_ceil(100);
    times[place.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_excuses_what_it_does_to_everybody_and_nothing_else() {
        for (leaned, spared, yardstick, expected) in [
            (999, 1, 1, "bearable"),
            // What waits for a block takes its time anyway.
            (1_000, 600, 100, "not bearable"),
            (1_999, 100, 500, "bearable"),
            (2_000, 100, 500, "not bearable"),
            (2_399, 600, 500, "bearable"),
            // There is no longer excuse than this.
            (3_999, 1_000, 1_000, "bearable"),
            (4_000, 1_000, 1_000, "not bearable"),
            (4_000, 1, 1_001, "inconclusive"),
            (4_000, 1_001, 1, "inconclusive"),
            (25_000, 1, 6_250, "inconclusive"),
            // And none is needed for what is quick.
            (999, 1, 6_250, "bearable"),
        ] {
            let millis = Duration::from_millis;
            let cost = Cost {
                leaned: millis(leaned),
                spared: millis(spared),
                yardstick: millis(yardstick),
            };
            let found = match cost.check("uploads") {
                Ok(()) => "bearable",
                Err(error) if error.to_string().starts_with("inconclusive") => "inconclusive",
                Err(_) => "not bearable",
            };
            assert_eq!(found, expected, "{cost:?}");
        }
    }

    #[test]
    fn of_a_hundred_the_second_longest_counts_and_of_few_the_longest() {
        let times =
            |count: u64| -> Vec<_> { (1..=count).map(Duration::from_millis).rev().collect() };
        for (count, percent, expected) in [
            (100, 99, 99),
            (6, 99, 6),
            (1, 99, 1),
            (100, 50, 50),
            (6, 50, 3),
            (1, 50, 1),
        ] {
            let found = percentile(&times(count), percent);
            assert_eq!(found, Duration::from_millis(expected));
        }
    }

    #[test]
    fn one_hiccup_of_the_machine_excuses_nothing() {
        let mut spared = vec![Duration::from_millis(5); 100];
        spared[7] = Duration::from_secs(1);
        let leaned = vec![Duration::from_millis(1_500); 100];
        let yardstick = percentile(&spared, 50);
        let cost = Cost::of([leaned, spared], yardstick);
        let error = cost.check("uploads").unwrap_err().to_string();
        assert!(!error.starts_with("inconclusive"), "{error}");
    }
}
