// SPDX-License-Identifier: Apache-2.0

//! Time and chance, as the host tells them.

use alloc::sync::Arc;
use core::time::Duration;

use rand::{rngs::StdRng, SeedableRng};
use zeroize::Zeroizing;

use crate::host::{Clock, Entropy, EntropyFault};

/// A clock and a source of random bytes.
#[derive(Clone)]
pub struct Senses {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
}

impl Senses {
    /// Now, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Now, for measuring how long something takes.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            at: self.clock.monotonic(),
            clock: self.clock.clone(),
        }
    }

    /// A number from 0 to 1, so that what begins together does not go on together. No secret depends on it.
    pub(crate) fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        match self.entropy.fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
            Err(EntropyFault) => 0.5,
        }
    }

    /// Numbers that nobody can guess.
    pub(crate) fn rng(&self) -> Result<StdRng, EntropyFault> {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *seed)?;
        Ok(StdRng::from_seed(*seed))
    }
}

/// A moment by the monotonic clock.
#[derive(Clone)]
pub(crate) struct Moment {
    at: Duration,
    clock: Arc<dyn Clock>,
}

impl Moment {
    /// How long ago it was; nothing if it is yet to come.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.at)
    }

    /// How long it is until then; nothing if it is over.
    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_sub(self.clock.monotonic())
    }

    /// So much later.
    pub(crate) fn after(&self, wait: Duration) -> Self {
        Self {
            at: self.at.saturating_add(wait),
            clock: self.clock.clone(),
        }
    }
}

impl core::fmt::Debug for Moment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.at.fmt(f)
    }
}

/// Senses that tell nothing new, for tests.
#[cfg(test)]
pub(crate) fn fixed() -> Senses {
    struct Still;
    impl Clock for Still {
        fn now(&self) -> time::OffsetDateTime {
            time::OffsetDateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(1)
        }
    }
    impl Entropy for Still {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault> {
            bytes.fill(0x80);
            Ok(())
        }
    }
    Senses {
        clock: Arc::new(Still),
        entropy: Arc::new(Still),
    }
}
