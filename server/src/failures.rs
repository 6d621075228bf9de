// SPDX-License-Identifier: Apache-2.0

//! Credentials that nobody has: written down, counted, and slowed, for each address by itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mhealth_api::Code;
use prometheus::{IntCounter, Registry};

use crate::{ApiError, Peer};

/// The longest that an address waits after a failure.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without a failure an address is forgotten.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Addresses that are remembered. Whoever has more than these is not slowed by further ones: nobody guesses 256 random bits, and
/// memory has a bound.
const MOST: usize = 65_536;

/// How many wrong credentials are forgiven.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FailureOptions {
    /// Wrong credentials that one address may come with. After each further one it waits: a second, then twice as long each time,
    /// up to five minutes. It is forgotten after an hour without one.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub wrong_credentials: u32,
}

/// Slows down whoever comes with credentials that nobody has. Cheap to clone.
#[derive(Clone)]
pub struct Failures {
    free: u32,
    total: IntCounter,
    addresses: Arc<Mutex<HashMap<IpAddr, Record>>>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    count: u32,
    last: Instant,
    until: Instant,
}

impl Failures {
    /// Makes and registers the metric.
    pub fn register(options: FailureOptions, registry: &Registry) -> prometheus::Result<Self> {
        let total = IntCounter::new(
            "mhealth_failed_credentials_total",
            "Requests with a credential that nobody has.",
        )?;
        registry.register(Box::new(total.clone()))?;
        Ok(Self {
            free: options.wrong_credentials,
            total,
            addresses: Arc::default(),
        })
    }

    /// `too_many_requests` for an address that has to wait, whatever it comes with.
    pub fn admit(&self, peer: Peer) -> Result<(), ApiError> {
        match self.wait(peer, Instant::now()) {
            None => Ok(()),
            Some(wait) => {
                let detail = "This address came with credentials that nobody has; wait as long as Retry-After says.";
                Err(ApiError::new(Code::TooManyRequests, detail).retry_after(wait))
            }
        }
    }

    /// Writes down that somebody came with a credential, of this role, that nobody has; `invalid_credentials`.
    pub fn failed(&self, peer: Peer, role: &str) -> ApiError {
        let failures = self.record(peer, Instant::now());
        tracing::warn!(address = %peer.0, role, failures, "a credential that nobody has");
        Code::InvalidCredentials.into()
    }

    fn wait(&self, peer: Peer, now: Instant) -> Option<Duration> {
        let addresses = self.addresses();
        let record = addresses.get(&neighbourhood(peer.0))?;
        Some(record.until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// How often that was, with this one.
    fn record(&self, peer: Peer, now: Instant) -> u32 {
        self.total.inc();
        let mut addresses = self.addresses();
        let address = neighbourhood(peer.0);
        if addresses.len() >= MOST && !addresses.contains_key(&address) {
            addresses.retain(|_, record| now.saturating_duration_since(record.last) < MEMORY);
            if addresses.len() >= MOST {
                return 1;
            }
        }
        let fresh = Record {
            count: 0,
            last: now,
            until: now,
        };
        let record = addresses.entry(address).or_insert(fresh);
        if now.saturating_duration_since(record.last) >= MEMORY {
            *record = fresh;
        }
        record.count = record.count.saturating_add(1);
        record.last = now;
        record.until = now + pause(record.count.saturating_sub(self.free));
        record.count
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.addresses
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

/// None, a second, two, four, and so on.
fn pause(beyond: u32) -> Duration {
    match beyond {
        0 => Duration::ZERO,
        beyond => Duration::from_secs(1 << (beyond - 1).min(16)).min(LONGEST),
    }
}

/// Those who share a connection to the Internet: an IPv4 address, or the first half of an IPv6 address.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(free: u32) -> Failures {
        let options = FailureOptions {
            wrong_credentials: free,
        };
        Failures::register(options, &Registry::new()).unwrap()
    }

    fn peer(text: &str) -> Peer {
        Peer(text.parse().unwrap())
    }

    #[test]
    fn each_failure_beyond_the_free_ones_makes_the_wait_longer() {
        let (failures, guesser) = (failures(2), peer("192.0.2.1"));
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..14 {
            failures.record(guesser, now);
            let wait = failures.wait(guesser, now).unwrap_or_default();
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(failures.wait(guesser, now), None);
        }
        assert_eq!(
            waits,
            [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        );
        assert_eq!(failures.total.get(), 14);
        now += MEMORY;
        failures.record(guesser, now);
        assert_eq!(failures.wait(guesser, now), None);
    }

    #[test]
    fn whoever_is_elsewhere_does_not_wait() {
        let failures = failures(0);
        let now = Instant::now();
        failures.record(peer("192.0.2.1"), now);
        failures.record(peer("2001:db8::1"), now);
        for (address, waits) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::2", true),
            ("192.0.2.2", false),
            ("2001:db8:0:1::1", false),
        ] {
            let wait = failures.wait(peer(address), now);
            assert_eq!(wait.is_some(), waits, "{address}");
        }
    }

    #[test]
    fn memory_has_a_bound() {
        let failures = failures(0);
        let now = Instant::now();
        let address = |number: usize| Peer(std::net::Ipv4Addr::from(number as u32).into());
        for number in 0..MOST + 10 {
            failures.record(address(number), now);
        }
        assert_eq!(failures.addresses().len(), MOST);
        // Those that are known wait, and room comes back with time.
        assert!(failures.wait(address(3), now).is_some());
        failures.record(address(MOST + 1), now + MEMORY);
        assert_eq!(failures.addresses().len(), 1);
    }
}
