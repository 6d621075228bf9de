// SPDX-License-Identifier: Apache-2.0

//! How often a device gets a token.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use mhealth_api::{Code, Key};
use mhealth_server::ApiError;

/// Tokens that one device may get at once, and one more each second.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not 0; qed");
/// Keys that are remembered at most: anybody can make keys up. Each takes about 100 bytes.
const MOST: usize = 1 << 18;

/// Counts tokens by the keys of devices.
pub(super) struct TokenQuotas {
    rates: DefaultKeyedRateLimiter<[u8; 32]>,
    most: usize,
    /// How often it is looked, while there is no room, which keys can be forgotten.
    looks: DefaultDirectRateLimiter,
}

impl TokenQuotas {
    /// Nobody has asked yet.
    pub(super) fn new() -> Self {
        Self::with(MOST)
    }

    fn with(most: usize) -> Self {
        Self {
            rates: RateLimiter::keyed(Quota::per_second(NonZeroU32::MIN).allow_burst(AT_ONCE)),
            most,
            looks: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)),
        }
    }

    /// `too_many_requests` for a device that asks too often, and `overloaded` while too many keys have asked. It goes by the key, which
    /// stands in the head of a request with the proof that the device has it: neither the body is read for that, nor the chain.
    pub(super) fn take(&self, key: &Key) -> Result<(), ApiError> {
        if self.is_full() && self.looks.check().is_ok() {
            self.rates.retain_recent();
        }
        if self.is_full() {
            return Err(Code::Overloaded.into());
        }
        self.rates.check_key(&key.0).map_err(|refusal| {
            let wait = refusal.wait_time_from(DefaultClock::default().now());
            ApiError::from(Code::TooManyRequests).retry_after(wait)
        })
    }

    fn is_full(&self) -> bool {
        self.rates.len() >= self.most
    }

    /// Forgets who has not asked for a while.
    pub(super) fn forget(&self) {
        self.rates.retain_recent();
        self.rates.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn code_of(taken: Result<(), ApiError>) -> Option<Code> {
        taken.err().and_then(|error| error.problem().known_code())
    }

    #[test]
    fn keys_that_somebody_makes_up_are_remembered_up_to_a_bound() {
        let quotas = TokenQuotas::with(50);
        for number in 0..49 {
            // So that none can be forgotten for half a minute.
            for _ in 0..30 {
                quotas.take(&Key([number; 32])).unwrap();
            }
        }
        // One place is left, which is free again when whoever took it did not come a second time.
        let taken = (49..100).filter_map(|number| code_of(quotas.take(&Key([number; 32]))));
        let refused: Vec<_> = taken.collect();
        assert!(refused.len() >= 40, "{refused:?}");
        assert!(refused.iter().all(|code| *code == Code::Overloaded));
        assert_eq!(quotas.rates.len(), 50);
    }

    #[test]
    fn keys_that_came_once_make_room_for_others_when_there_is_none() {
        let quotas = TokenQuotas::with(1);
        quotas.take(&Key([1; 32])).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while code_of(quotas.take(&Key([2; 32]))) == Some(Code::Overloaded) {
            assert!(Instant::now() < deadline, "{}", quotas.rates.len());
            std::thread::yield_now();
        }
        assert_eq!(quotas.rates.len(), 1);
    }
}
