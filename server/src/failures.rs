// SPDX-License-Identifier: Apache-2.0

//! Credentials that nobody has: written down, counted, and slowed, for each address by itself.
//!
//! Whoever comes with one that somebody has is not slowed, whatever others do at the same address: a hospital has one, and at the
//! listener for staff everybody is this machine. Nobody guesses 256 random bits, so it tells a guesser nothing.
//!
//! Whether somebody has one, the database says, by connections that are [kept back](crate::with_reserve) for staff. Of credentials that
//! this process has not seen to be good, one is looked up at a time, so that whoever makes some up, from however many addresses, leaves
//! the others to those whose credentials it has seen.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mhealth_api::Code;
use prometheus::{IntCounter, Registry};
use tokio::sync::Mutex as Turn;

use crate::credentials::hashed;
use crate::{ApiError, Peer};

/// The longest that an address waits after a failure.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without a failure an address is forgotten.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Addresses that are remembered. Whoever has more than these is not slowed by further ones: nobody guesses 256 random bits, and
/// memory has a bound.
const MOST: usize = 65_536;
/// Credentials that are remembered as good. With more than these, all are forgotten, and each waits its turn once more.
const MOST_SEEN: usize = 4_096;
/// How long a credential that was not seen to be good waits to be looked up.
const LONGEST_TURN: Duration = Duration::from_secs(10);

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
    /// Hashes of credentials that somebody had when they were last looked up.
    seen: Arc<Mutex<HashSet<Vec<u8>>>>,
    /// To look one up that is not among them.
    turn: Arc<Turn<()>>,
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
            seen: Arc::default(),
            turn: Arc::default(),
        })
    }

    /// Whose credential this is, as `look_up` finds it. `invalid_credentials` when nobody has it, which counts. Of one that was not
    /// seen to be good: `too_many_requests` for an address that has to wait, and `overloaded` where too many come with others that
    /// nobody may have. It is asked of the database each time, also of a credential that was seen to be good.
    pub async fn holder<T, E: Into<ApiError>>(
        &self,
        peer: Peer,
        role: &str,
        credential: &str,
        look_up: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<T, ApiError> {
        let hash = hashed(credential);
        let is_seen = self.seen().contains(&hash);
        let turn = match is_seen {
            true => None,
            false => {
                self.admit(peer)?;
                let turn = tokio::time::timeout(LONGEST_TURN, self.turn.lock()).await;
                Some(turn.map_err(|_| ApiError::from(Code::Overloaded))?)
            }
        };
        let found = look_up.await.map_err(Into::into)?;
        drop(turn);
        match found {
            Some(found) => {
                self.remember(hash);
                Ok(found)
            }
            None => {
                self.seen().remove(&hash);
                Err(self.failed(peer, role))
            }
        }
    }

    /// A credential that somebody has, because it was made a moment ago.
    pub fn made(&self, credential: &str) {
        self.remember(hashed(credential));
    }

    /// Credentials, by their hashes, that somebody has as the database says, whichever process made them.
    pub fn know(&self, hashes: impl IntoIterator<Item = Vec<u8>>) {
        let mut seen = self.seen();
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        for hash in hashes {
            if seen.len() < MOST_SEEN {
                seen.insert(hash);
            }
        }
    }

    /// For failures of another kind, which are counted with these, and slow nobody who comes with a credential.
    pub fn apart(&self) -> Self {
        Self {
            addresses: Arc::default(),
            ..self.clone()
        }
    }

    fn remember(&self, hash: Vec<u8>) {
        let mut seen = self.seen();
        if seen.len() >= MOST_SEEN && !seen.contains(&hash) {
            seen.clear();
        }
        seen.insert(hash);
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

    fn seen(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.seen
            .lock()
            .expect("no holder of this lock panics; qed")
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
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::poll;

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

    #[tokio::test]
    async fn those_who_make_credentials_up_leave_the_reserve_to_those_who_are_known() {
        let failures = failures(10);
        let staff = peer("192.0.2.9");
        let ask = async |credential: &str, found: Option<u32>| {
            let look_up = async { Ok::<_, ApiError>(found) };
            failures.holder(staff, "admin", credential, look_up).await
        };
        assert_eq!(ask("nurse's", Some(7)).await, Ok(7));
        failures.made("session");

        // The database is slow, and strangers come from two addresses.
        let begun = AtomicU32::new(0);
        let slow = || async {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<Result<Option<u32>, ApiError>>().await
        };
        let mut one = pin!(failures.holder(peer("192.0.2.1"), "admin", "made up", slow()));
        let mut other = pin!(failures.holder(peer("192.0.2.2"), "admin", "another", slow()));
        assert!(poll!(&mut one).is_pending());
        assert!(poll!(&mut other).is_pending());
        assert_eq!(begun.load(Ordering::Relaxed), 1, "they take turns");
        for known in ["nurse's", "session"] {
            let asked = pin!(ask(known, Some(7)));
            assert!(poll!(asked).is_ready(), "{known}");
        }
        // One that was taken back is nobody's, and then a stranger's.
        assert!(ask("nurse's", None).await.is_err());
        assert!(poll!(pin!(ask("nurse's", Some(7)))).is_pending());
    }

    #[tokio::test]
    async fn whoever_has_a_credential_is_not_slowed_by_a_guesser_at_the_same_address() {
        let (failures, hospital) = (failures(0), peer("192.0.2.1"));
        let ask = async |credential: &str, found: Option<u32>| {
            let look_up = async { Ok::<_, ApiError>(found) };
            let asked = failures.holder(hospital, "admin", credential, look_up);
            asked.await.map_err(|error| error.problem().known_code())
        };
        assert_eq!(ask("seen", Some(7)).await, Ok(7));
        failures.made("session");
        failures.know([hashed("of another process")]);
        assert_eq!(
            ask("made up", None).await,
            Err(Some(Code::InvalidCredentials))
        );
        for _ in 0..9 {
            failures.record(hospital, Instant::now());
        }
        for known in ["seen", "session", "of another process"] {
            assert_eq!(ask(known, Some(8)).await, Ok(8), "{known}");
        }
        // Whether somebody has it is not looked up while the address waits.
        for unknown in ["made up", "another"] {
            let refused = ask(unknown, Some(9)).await;
            assert_eq!(refused, Err(Some(Code::TooManyRequests)), "{unknown}");
        }
        // One that was taken back counts like any other, once.
        assert_eq!(ask("seen", None).await, Err(Some(Code::InvalidCredentials)));
        assert_eq!(ask("seen", None).await, Err(Some(Code::TooManyRequests)));
    }

    #[test]
    fn failures_of_another_kind_slow_nobody_who_comes_with_a_credential() {
        let (failures, hospital) = (failures(0), peer("192.0.2.1"));
        let logins = failures.apart();
        logins.failed(hospital, "login");
        assert!(logins.admit(hospital).is_err());
        assert_eq!(failures.admit(hospital), Ok(()));
        assert_eq!(failures.total.get(), 1);
    }

    #[test]
    fn what_is_remembered_of_credentials_has_a_bound() {
        let failures = failures(0);
        for number in 0..=MOST_SEEN {
            failures.made(&number.to_string());
        }
        assert_eq!(failures.seen().len(), 1);
        let all = |from: usize| (from..from + MOST_SEEN).map(|number| hashed(&number.to_string()));
        failures.know(all(0));
        assert_eq!(failures.seen().len(), MOST_SEEN);
        failures.know(all(MOST_SEEN));
        assert!(failures.seen().contains(&hashed(&MOST_SEEN.to_string())));
        assert_eq!(failures.seen().len(), MOST_SEEN);
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
