// SPDX-License-Identifier: Apache-2.0
//! How long things took, and how many a second begin.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, PoisonError,
    },
    time::{Duration, Instant},
};

/// What uploads came to, for those who measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Uploads that a relay accepted.
    pub uploads: u64,
    /// Entries in them.
    pub entries: u64,
    /// Uploads that had to be sent again.
    pub repeated: u64,
    /// From the first upload to the last that was accepted, in seconds.
    pub seconds: f64,
    /// From sending to the relay's 202, in milliseconds: half of them were faster.
    pub accepted_p50: f64,
    /// 99 of a hundred were faster.
    pub accepted_p99: f64,
    /// From sending to the moment at which the device saw that it is finalised, in milliseconds.
    pub finalised_p50: f64,
    /// 99 of a hundred were faster.
    pub finalised_p99: f64,
}

#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Option<Instant>,
    accepted_last: Option<Instant>,
    entries: u64,
    repeated: u64,
    accepted: Vec<f32>,
    finalised: Vec<f32>,
}

impl Tally {
    pub(super) fn begin(&self) {
        self.counts().begun.get_or_insert_with(Instant::now);
    }

    pub(super) fn accepted(&self, entries: usize, took: Duration) {
        let mut counts = self.counts();
        counts.accepted_last = Some(Instant::now());
        counts.entries += entries as u64;
        counts.accepted.push(took.as_secs_f32() * 1e3);
    }

    pub(super) fn finalised(&self, took: Duration) {
        self.counts().finalised.push(took.as_secs_f32() * 1e3);
    }

    pub(super) fn repeated(&self) {
        self.counts().repeated += 1;
    }

    pub(super) fn figures(&self) -> Figures {
        let mut counts = self.counts();
        counts.accepted.sort_by(f32::total_cmp);
        counts.finalised.sort_by(f32::total_cmp);
        let seconds = match (counts.begun, counts.accepted_last) {
            (Some(begun), Some(last)) => last.duration_since(begun).as_secs_f64(),
            _ => 0.0,
        };
        Figures {
            uploads: counts.accepted.len() as u64,
            entries: counts.entries,
            repeated: counts.repeated,
            seconds,
            accepted_p50: quantile(&counts.accepted, 0.5),
            accepted_p99: quantile(&counts.accepted, 0.99),
            finalised_p50: quantile(&counts.finalised, 0.5),
            finalised_p99: quantile(&counts.finalised, 0.99),
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quantile(sorted: &[f32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied().map_or(0.0, f64::from)
}

/// Begins at most so many things a second, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: tokio::sync::Mutex<Instant>,
}

impl Pace {
    pub(super) fn of(rate: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / rate.max(1e-3)),
            next: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// Waits for this one's turn.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            // What was not begun in time is not caught up with: the rate is never exceeded.
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}

/// How long it took lately from an upload to its finality, so that devices do not ask much too early.
#[derive(Debug)]
pub(super) struct Expectation(AtomicU64);

impl Expectation {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn learn(&self, took: Duration) {
        let took = took.as_millis().try_into().unwrap_or(u64::MAX);
        let before = self.0.load(Ordering::Relaxed);
        // Two learning at once may lose one of the two, which does not matter.
        let after = match before {
            0 => took,
            _ => before - before / 8 + took / 8,
        };
        self.0.store(after, Ordering::Relaxed);
    }

    /// How long to wait before asking for the first time, and between two times.
    pub(super) fn waits(&self) -> (Duration, Duration) {
        let expected = Duration::from_millis(self.0.load(Ordering::Relaxed));
        let first = (expected * 9 / 10).clamp(Duration::from_millis(50), Duration::from_secs(15));
        let next = (expected / 8).clamp(Duration::from_millis(100), Duration::from_secs(2));
        (first, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_told() {
        let tally = Tally::default();
        tally.begin();
        for took in 1..=100 {
            tally.accepted(2, Duration::from_millis(took));
        }
        let figures = tally.figures();
        assert_eq!((figures.uploads, figures.entries), (100, 200));
        assert!((50.0..=52.0).contains(&figures.accepted_p50), "{figures:?}");
        assert!(
            (98.0..=100.0).contains(&figures.accepted_p99),
            "{figures:?}"
        );
        assert_eq!(figures.finalised_p99, 0.0);
    }

    #[tokio::test]
    async fn a_pace_is_never_exceeded() {
        let pace = Pace::of(500.0);
        let begun = Instant::now();
        for _ in 0..25 {
            pace.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(2 * 24));
    }
}
