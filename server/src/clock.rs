// SPDX-License-Identifier: Apache-2.0

//! What time it is: a parameter, so that tests need not wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_millis(&self) -> u64;

    /// Seconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64 {
        self.now_millis() / 1_000
    }

    /// How much time has passed since some moment. Setting the clock changes nothing about it, so it is what to measure how old
    /// something is with.
    fn passed(&self) -> Duration;
}

/// A clock that the parts of a server share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> u64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        // A machine whose clock is before 1970 has no time to speak of.
        elapsed.map_or(0, |elapsed| elapsed.as_millis() as u64)
    }

    fn passed(&self) -> Duration {
        START.elapsed()
    }
}

/// A clock that only moves when a test says so, for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    millis: AtomicU64,
    passed: AtomicU64,
}

impl ManualClock {
    /// Stands at so many seconds since 1970.
    pub fn at(seconds: u64) -> Arc<Self> {
        let clock = Self::default();
        clock.set(seconds);
        Arc::new(clock)
    }

    /// Is set to so many seconds since 1970, although no time has passed.
    pub fn set(&self, seconds: u64) {
        self.millis.store(seconds * 1_000, Ordering::SeqCst);
    }

    /// Moves on.
    pub fn advance(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1_000, Ordering::SeqCst);
        self.passed.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }
}
