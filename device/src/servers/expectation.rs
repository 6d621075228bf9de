// SPDX-License-Identifier: Apache-2.0

//! When to ask whether a run is finalised.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

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

    /// How long it takes; nothing if that is not known.
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
