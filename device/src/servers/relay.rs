// SPDX-License-Identifier: Apache-2.0

//! Relays, and which of them to turn to.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, time::Duration};

use super::{address::Address, patience::Patience};
use crate::{
    chain::ChainFault,
    lock::Mutex,
    senses::{Moment, Senses},
};

/// How long others are turned to first when a relay did not do what it said, in seconds: this long the first time, and twice
/// as long each further time, up to a day.
const SHORTEST_DOUBT: i64 = 600;
const LONGEST_DOUBT: i64 = 86_400;

/// A relay, as all uploads together have found it.
pub(super) struct Relay {
    pub(super) address: Address,
    senses: Senses,
    health: Mutex<Health>,
    doubt: Mutex<Doubt>,
}

/// Whether a relay does what it says. Nothing that it only says ends a doubt.
#[derive(Debug, Default)]
struct Doubt {
    times: u32,
    /// In seconds since 1970.
    until: i64,
    /// How often what it was sent was proved to be final.
    deliveries: u32,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    rests_until: Option<Moment>,
    /// Why it rests.
    fault: Option<ChainFault>,
    /// Whether somebody was asked for others since it failed last.
    others_sought: bool,
}

impl Relay {
    #[cfg(test)]
    pub(super) fn new(address: Address) -> Self {
        Self::doubted_until(address, 0, crate::senses::fixed())
    }

    /// A relay that others were preferred to until then, in seconds since 1970; 0 for one of which nothing is known. What was noted
    /// while the clock was years ahead lasts no longer than any other doubt.
    pub(super) fn doubted_until(address: Address, until: i64, senses: Senses) -> Self {
        let until = until.min(senses.now().saturating_add(LONGEST_DOUBT));
        Self {
            address,
            senses,
            health: Mutex::default(),
            doubt: Mutex::new(Doubt {
                times: u32::from(until > 0),
                until,
                deliveries: 0,
            }),
        }
    }

    /// It did not do what it said, or showed what is no proof. Others are turned to first for a while.
    pub(super) fn doubt(&self, now: i64, fault: &ChainFault) {
        let mut doubt = self.doubt.lock();
        // What was under way at the same time counts once.
        if doubt.until <= now {
            let wait = SHORTEST_DOUBT << doubt.times.min(16);
            doubt.times = doubt.times.saturating_add(1);
            doubt.until = now.saturating_add(wait.min(LONGEST_DOUBT));
            tracing::warn!(%fault, "others are turned to first");
        }
    }

    /// What it was sent is proved to be final.
    pub(super) fn delivered(&self) {
        let mut doubt = self.doubt.lock();
        *doubt = Doubt {
            deliveries: doubt.deliveries.wrapping_add(1),
            ..Doubt::default()
        };
    }

    /// How often that was so.
    pub(super) fn deliveries(&self) -> u32 {
        self.doubt.lock().deliveries
    }

    /// Until when others are turned to first, in seconds since 1970.
    pub(super) fn doubts_end(&self) -> i64 {
        let doubt = self.doubt.lock();
        doubt.until
    }

    /// It did not answer, or asked to be left alone. Failures of requests that were under way at the same time count as
    /// one.
    pub(super) fn failed(&self, patience: &Patience, fault: &ChainFault, asked: Option<Duration>) {
        let (chance, now) = (self.senses.chance(), self.senses.moment());
        let mut health = self.health.lock();
        let rests = health.rests_until.as_ref();
        if rests.is_none_or(|until| until.left().is_zero()) {
            health.failures = health.failures.saturating_add(1);
            let wait = patience.backoff(health.failures, asked, chance);
            if health.failures == 1 {
                tracing::warn!(%fault, "a relay does not answer");
            }
            tracing::debug!(%fault, ?wait, "left alone");
            health.rests_until = Some(now.after(wait));
            health.fault = Some(fault.clone());
            health.others_sought = false;
        }
    }

    /// Whether it was of no use when it was asked last.
    pub(super) fn has_failed(&self) -> bool {
        self.health.lock().failures > 0
    }

    /// Notes that somebody is asked for others. Whether nobody was since it failed last.
    pub(super) fn seek_others(&self) -> bool {
        let mut health = self.health.lock();
        !core::mem::replace(&mut health.others_sought, true)
    }

    /// Why it is left alone, or was last.
    pub(super) fn fault(&self) -> Option<ChainFault> {
        self.health.lock().fault.clone()
    }

    /// It answered.
    pub(super) fn worked(&self) {
        let mut health = self.health.lock();
        health.failures = 0;
    }

    /// How long it is to be left alone yet.
    pub(super) fn rest(&self) -> Duration {
        let health = self.health.lock();
        let until = health.rests_until.as_ref();
        until.map_or(Duration::ZERO, Moment::left)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The relays in the order in which a device turns to them. Each device begins with another one, so that they share the
/// devices, and always with the same one, so that it rarely has to send what came before. Those that are doubted come last.
pub(super) fn preference(relays: &[Arc<Relay>], device: u32, now: i64) -> Vec<Arc<Relay>> {
    let mut relays = relays.to_vec();
    if !relays.is_empty() {
        let first = device as usize % relays.len();
        relays.rotate_left(first);
    }
    relays.sort_by_key(|relay| relay.doubts_end() > now);
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
        assert_eq!(relay.health.lock().failures, 0);
    }

    #[test]
    fn devices_share_the_relays() {
        let relays: Vec<_> = ["https://a.example", "https://b.example"]
            .map(|address| Arc::new(Relay::new(address.parse().unwrap())))
            .into();
        let first = |device| preference(&relays, device, 0)[0].address.clone();
        assert_ne!(first(0), first(1));
        assert_eq!(first(0), first(2));
        assert!(preference(&[], 3, 0).is_empty());
    }

    #[test]
    fn a_doubted_relay_comes_last_for_longer_each_time_until_it_delivers() {
        let relays: Vec<_> = ["https://a.example", "https://b.example"]
            .map(|address| Arc::new(Relay::new(address.parse().unwrap())))
            .into();
        let fault = ChainFault {
            code: "proof_unavailable".into(),
            message: "It said so and did not prove it.".into(),
            passing: true,
        };
        let first = |now| preference(&relays, 0, now)[0].address.clone();
        let [one, other] = [0, 1].map(|place| relays[place].address.clone());
        let mut now = 0;
        for wait in [600, 1_200, 2_400] {
            assert_eq!(first(now), one);
            relays[0].doubt(now, &fault);
            relays[0].doubt(now, &fault);
            assert_eq!(first(now + wait - 1), other);
            now += wait;
        }
        for _ in 0..40 {
            relays[0].doubt(now, &fault);
            assert!(relays[0].doubts_end() <= now + LONGEST_DOUBT);
            now = relays[0].doubts_end();
        }
        relays[0].doubt(now, &fault);
        relays[0].delivered();
        assert_eq!(first(now), one);
    }
}
