// SPDX-License-Identifier: Apache-2.0

//! How long uploads took, and how many a second begin.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use mhealth_device_host::servers::Observer;

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

/// Lets uploads begin at some rate, and measures them.
#[derive(Debug, Default)]
pub struct Meter {
    pace: Option<Pace>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    begun: Option<Instant>,
    accepted_last: Option<Instant>,
    entries: u64,
    repeated: u64,
    accepted: Vec<f32>,
    finalised: Vec<f32>,
}

impl Observer for Meter {
    fn turn(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(pace) = &self.pace {
                pace.turn().await;
            }
            self.begin();
        })
    }

    fn accepted(&self, entries: usize, took: Duration) {
        let mut counts = self.counts();
        counts.accepted_last = Some(Instant::now());
        counts.entries += entries as u64;
        counts.accepted.push(took.as_secs_f32() * 1e3);
    }

    fn repeated(&self) {
        self.counts().repeated += 1;
    }

    fn finalised(&self, took: Duration) {
        self.counts().finalised.push(took.as_secs_f32() * 1e3);
    }
}

impl Meter {
    /// At most so many uploads begin a second, all devices together; as many as there are without a rate.
    pub fn with_rate(rate: Option<f64>) -> Self {
        Self {
            pace: rate.map(Pace::of),
            ..Self::default()
        }
    }

    /// What all uploads came to up to now.
    pub fn figures(&self) -> Figures {
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

    fn begin(&self) {
        self.counts().begun.get_or_insert_with(Instant::now);
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quantile(sorted: &[f32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied().map_or(0.0, f64::from)
}

/// Begins at most so many things a second, evenly.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: tokio::sync::Mutex<Instant>,
}

impl Pace {
    fn of(rate: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / rate.max(1e-3)),
            next: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// Waits for this one's turn.
    async fn turn(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_told() {
        let meter = Meter::default();
        meter.begin();
        for took in 1..=100 {
            meter.accepted(2, Duration::from_millis(took));
        }
        let figures = meter.figures();
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
