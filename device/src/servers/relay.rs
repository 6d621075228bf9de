// SPDX-License-Identifier: Apache-2.0

//! Relays, and which of them to turn to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{address::Address, patience::Patience};
use crate::chain::ChainFault;

/// A relay, as all uploads together have found it.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) address: Address,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Relay {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            health: Mutex::default(),
        }
    }

    /// It did not answer, or asked to be left alone. Failures of requests that were under way at the same time count as
    /// one.
    pub(super) fn failed(&self, patience: &Patience, fault: &ChainFault, asked: Option<Duration>) {
        let mut health = self.health();
        let now = Instant::now();
        if health.rests_until.is_none_or(|until| until <= now) {
            health.failures = health.failures.saturating_add(1);
            let wait = patience.backoff(health.failures, asked);
            if health.failures == 1 {
                tracing::warn!(%fault, "a relay does not answer");
            }
            tracing::debug!(%fault, ?wait, "left alone");
            health.rests_until = Some(now + wait);
        }
    }

    /// It answered.
    pub(super) fn worked(&self) {
        let mut health = self.health();
        health.failures = 0;
    }

    /// How long it is to be left alone yet.
    pub(super) fn rest(&self) -> Duration {
        let until = self.health().rests_until;
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        // A time and a number are never half written.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relays in the order in which a device turns to them. Each device begins with another one, so that they share the
/// devices, and always with the same one, so that it rarely has to send what came before.
pub(super) fn preference(relays: &[Arc<Relay>], device: u32) -> Vec<Arc<Relay>> {
    let mut relays = relays.to_vec();
    if !relays.is_empty() {
        let first = device as usize % relays.len();
        relays.rotate_left(first);
    }
    relays
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_at_the_same_time_count_as_one_and_an_answer_ends_them() {
        let relay = Relay::new("https://a.example".parse().unwrap());
        let patience = Patience {
            shortest_wait: Duration::from_secs(100),
            longest_wait: Duration::from_secs(100_000),
            ..Patience::default()
        };
        let fault = ChainFault {
            code: "server_unreachable".into(),
            message: "It is away.".into(),
            passing: true,
        };
        for _ in 0..1_000 {
            relay.failed(&patience, &fault, None);
        }
        assert!(relay.rest() > Duration::from_secs(90) && relay.rest() <= Duration::from_secs(200));
        relay.worked();
        assert_eq!(relay.health().failures, 0);
    }

    #[test]
    fn devices_share_the_relays() {
        let relays: Vec<_> = ["https://a.example", "https://b.example"]
            .map(|address| Arc::new(Relay::new(address.parse().unwrap())))
            .into();
        let first = |device| preference(&relays, device)[0].address.clone();
        assert_ne!(first(0), first(1));
        assert_eq!(first(0), first(2));
        assert!(preference(&[], 3).is_empty());
    }
}
