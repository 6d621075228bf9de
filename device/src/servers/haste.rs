// SPDX-License-Identifier: Apache-2.0

//! What is left of a call that has a deadline, and how much of it one relay may take.
//!
//! A relay that keeps a run back, or never answers, must not use up every call of a phone. Of one that took a run, or is asked
//! something, others have a turn within the call. An upload has the time that it needs, which is long on a slow line, so a relay that
//! never answers one may have the whole call. Whoever had it when there was no time for more is turned to last in the next one.

use core::time::Duration;

use super::{inner::Inner, relay::Relay};
use crate::{
    chain::ChainFault,
    host::{Request, Transport},
    lock::Mutex,
    senses::{Moment, Senses},
};

/// A relay has so much time at least, however little is left.
const LEAST: Duration = Duration::from_secs(1);

/// Between two questions whether a run is final, however little is left.
const SHORTEST: Duration = Duration::from_millis(100);

/// When the call that is under way ends, if it has a deadline.
#[derive(Default)]
pub(super) struct Haste(Mutex<Option<Moment>>);

impl Haste {
    pub(super) fn ends(&self, at: Moment) {
        *self.0.lock() = Some(at);
    }

    fn left(&self) -> Option<Duration> {
        self.0.lock().as_ref().map(Moment::left)
    }

    /// How long to wait for an answer that others could give, too: a third of what is left.
    fn share(&self, patience: Duration) -> Duration {
        let share = self.left().map(|left| (left / 3).max(LEAST));
        share.map_or(patience, |share| patience.min(share))
    }

    /// Half of what is left, however little, if the call has a deadline: what comes after has the other half.
    pub(super) fn half(&self) -> Option<Duration> {
        self.left().map(|left| left / 2)
    }

    /// Whether a relay has had its share: a third of what was left when it began.
    fn is_used_up(&self, waited: Duration) -> bool {
        self.left()
            .is_some_and(|left| waited > (left / 2).max(LEAST))
    }
}

impl<T: Transport> Inner<T> {
    /// A question to a relay.
    pub(super) fn ask(&self, relay: &Relay, path: &str) -> Request {
        let request = self.http.get(relay.address.at(path));
        let patience = match self.known_relays().len() > 1 {
            true => self.haste.share(request.patience),
            false => request.patience,
        };
        Request {
            patience,
            ..request
        }
    }

    /// Whether others should have a turn with a run that a relay took so long ago. Whatever takes as long as usual is in time.
    pub(super) fn is_late(&self, waited: Duration) -> bool {
        waited > self.expectation.learned() * 3 / 2 && self.haste.is_used_up(waited)
    }

    /// How long to wait before asking whether a run is final that was sent so long ago, for the `first` time or again. Not for
    /// most of what is left: who has the run is to be asked, and perhaps others.
    pub(super) fn pause(&self, first: bool, waited: Duration) -> Duration {
        let pause = match first {
            true => self.expectation.first().saturating_sub(waited),
            false => self.expectation.next(waited),
        };
        let left = self.haste.left();
        left.map_or(pause, |left| pause.min((left / 3).max(SHORTEST)))
    }

    /// Gives a relay its turn.
    pub(super) fn turn<'a>(&self, relay: &'a Relay) -> Turn<'a> {
        let senses = self.http.senses.clone();
        let timed = self.haste.left().is_some();
        Turn {
            relay,
            begun: timed.then(|| senses.moment()),
            delivered: relay.deliveries(),
            senses,
        }
    }
}

/// That a relay is at work for a call with a deadline. Dropped before it [ended](Self::ended), there was no time for more: the relay
/// is doubted if it had time and brought nothing.
pub(super) struct Turn<'a> {
    relay: &'a Relay,
    begun: Option<Moment>,
    delivered: u32,
    senses: Senses,
}

impl Turn<'_> {
    pub(super) fn ended(mut self) {
        self.begun = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(begun) = &self.begun else {
            return;
        };
        if begun.elapsed() < LEAST || self.relay.deliveries() != self.delivered {
            return;
        }
        let fault = ChainFault {
            code: "deadline".into(),
            message: format!(
                "{}: it had the run when there was no time for more.",
                self.relay.address
            ),
            passing: true,
        };
        self.relay.doubt(self.senses.now(), &fault);
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::host::{Clock, Entropy, EntropyFault};

    /// A clock that is set.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> time::OffsetDateTime {
            time::OffsetDateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    struct NoChance;

    impl Entropy for NoChance {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFault> {
            Err(EntropyFault)
        }
    }

    #[test]
    fn nobody_gets_more_than_a_third_of_what_was_left() {
        let hand = Arc::new(Hand::default());
        let senses = Senses {
            clock: hand.clone(),
            entropy: Arc::new(NoChance),
        };
        let seconds = Duration::from_secs;
        let haste = Haste::default();
        assert_eq!(haste.share(seconds(30)), seconds(30));
        assert!(!haste.is_used_up(seconds(1_000)));
        haste.ends(senses.moment().after(seconds(60)));
        for (second, share, used_up) in [(0, 20, false), (20, 13, false), (21, 13, true)] {
            hand.0.store(second, Ordering::Relaxed);
            assert_eq!(haste.share(seconds(30)).as_secs(), share);
            assert_eq!(haste.is_used_up(seconds(second)), used_up, "{second}");
        }
        assert_eq!(haste.share(seconds(5)), seconds(5));
        // What comes after half of a short call has time, too.
        hand.0.store(59, Ordering::Relaxed);
        assert_eq!(haste.half(), Some(Duration::from_millis(500)));
        // At the end there is a little for each.
        hand.0.store(60, Ordering::Relaxed);
        assert_eq!(haste.share(seconds(30)), LEAST);
        assert!(!haste.is_used_up(LEAST));
    }
}
