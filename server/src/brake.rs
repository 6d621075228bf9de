// SPDX-License-Identifier: Apache-2.0

//! Whoever goes on after having been refused is refused slowly.
//!
//! A refusal is cheap, and still not free: whoever takes it for an invitation to ask again at once, over a few hundred connections,
//! takes all the time that the processor has, and those who are let in wait for what is left. So an address has some refusals at
//! once, and waits for the further ones. Who waits as long as `Retry-After` says, which is a second at least, loses nothing by it.
//! Connections are treated alike: of an address that opens too many, the further ones are listened to late, before TLS and HTTP
//! have cost anything.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::shares::{Shares, Source};
use crate::Limits;

/// How long a refusal, or a connection, of an address waits that has had enough of them.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// Refusals a second that come at once, at least.
const REFUSALS: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0; qed");
/// Of so many requests that an address may send, one may be refused at once.
const REQUESTS: u32 = 20;
/// How many times as many refusals an address may have in one go.
const REFUSALS_AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("5 is not 0; qed");
/// New connections a second that are listened to at once, at least.
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0; qed");
/// How many times as many connections an address may open in one go.
const CONNECTIONS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0; qed");

/// Counts what an address is refused, and the connections that it opens.
pub(crate) struct Brake {
    refusals: DefaultKeyedRateLimiter<Source>,
    connections: DefaultKeyedRateLimiter<Source>,
    /// Refusals that wait. Each has a connection for as long, so there is a bound for each address.
    waiting: Shares<Source>,
}

impl Brake {
    pub(crate) fn new(limits: &Limits) -> Self {
        let rate = limits.requests_per_second;
        let refusals = NonZeroU32::new(rate.get() / REQUESTS);
        let refusals = refusals.map_or(REFUSALS, |refusals| refusals.max(REFUSALS));
        let connections = rate.max(CONNECTIONS);
        let limiter = |rate: NonZeroU32, at_once: NonZeroU32| -> DefaultKeyedRateLimiter<Source> {
            let burst = rate.saturating_mul(at_once);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        };
        Self {
            refusals: limiter(refusals, REFUSALS_AT_ONCE),
            connections: limiter(connections, CONNECTIONS_AT_ONCE),
            waiting: Shares::of(limits.connections_of_an_address()),
        }
    }

    /// Ends when this address may be told that it is refused.
    pub(crate) async fn refuse(&self, source: Source) {
        if self.refusals.check_key(&source).is_ok() {
            return;
        }
        if let Some(_place) = self.waiting.take(source) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the connection that this address opens is one too many for the time being.
    pub(crate) fn is_hasty(&self, source: Source) -> bool {
        self.connections.check_key(&source).is_err()
    }

    /// Forgets addresses of which nothing was seen for a while.
    pub(crate) fn forget_idle(&self) {
        for limiter in [&self.refusals, &self.connections] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::pin::pin;

    use futures::poll;

    use super::*;

    fn source(number: u8) -> Source {
        Source::from(IpAddr::from([192, 0, 2, number]))
    }

    /// How many refusals of this address come at once; at most so many are asked for.
    async fn at_once(brake: &Brake, source: Source, most: u32) -> u32 {
        for number in 0..most {
            if poll!(pin!(brake.refuse(source))).is_pending() {
                return number;
            }
        }
        most
    }

    #[tokio::test]
    async fn who_was_refused_often_enough_waits_for_the_next_refusal_and_nobody_else_does() {
        let brake = Brake::new(&Limits::default());
        let told = at_once(&brake, source(1), 1_000).await;
        // While it was counted, some have come again.
        assert!((50..200).contains(&told), "{told}");
        assert_eq!(at_once(&brake, source(2), 10).await, 10);
    }

    #[tokio::test]
    async fn no_more_refusals_wait_than_an_address_may_have_connections() {
        let brake = Brake::new(&Limits {
            connections: 8,
            ..Limits::default()
        });
        let (mut waiting, mut told) = (Vec::new(), 0);
        while waiting.len() < 2 {
            let mut refusal = Box::pin(brake.refuse(source(1)));
            let has_to_wait = poll!(&mut refusal).is_pending();
            match has_to_wait {
                true => waiting.push(refusal),
                false => told += 1,
            }
            assert!(told < 1_000);
        }
        assert_eq!(at_once(&brake, source(1), 20).await, 20);
        drop(waiting);
        assert!(at_once(&brake, source(1), 1_000).await < 1_000);
    }

    #[test]
    fn where_an_address_may_ask_as_often_as_it_likes_it_may_connect_as_often() {
        let brakes = [200, 1_000_000].map(|rate| {
            Brake::new(&Limits {
                requests_per_second: NonZeroU32::new(rate).unwrap(),
                ..Limits::default()
            })
        });
        let hasty = |brake: &Brake, number| {
            (0..20_000)
                .filter(|_| brake.is_hasty(source(number)))
                .count()
        };
        let [usual, open] = &brakes;
        assert!(hasty(usual, 1) > 0);
        assert!(!usual.is_hasty(source(2)));
        assert_eq!(hasty(open, 1), 0);
        usual.forget_idle();
    }
}
