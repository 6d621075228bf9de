// SPDX-License-Identifier: Apache-2.0

//! Time and chance of this machine.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use mhealth_device::host::{Clock, Entropy, EntropyFault};
use rand::{rngs::OsRng, TryRngCore};
use time::OffsetDateTime;

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic(&self) -> Duration {
        since_the_start()
    }
}

/// How long this program runs.
pub(crate) fn since_the_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault> {
        OsRng.try_fill_bytes(bytes).map_err(|_| EntropyFault)
    }
}
