// SPDX-License-Identifier: Apache-2.0

//! Equal shares of something scarce, so that whoever takes all of theirs leaves the others what is theirs.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// From so many on, those who hold nothing are looked for and forgotten.
const CROWD: usize = 1_024;

/// Where a request comes from, as far as shares go: an IPv4 address, or the /64 network of an IPv6 address, of which one
/// subscriber has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

/// As much for each. Only those who hold some of it are remembered.
#[derive(Debug)]
pub struct Shares<K> {
    each: usize,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    holders: HashMap<K, Weak<Semaphore>>,
    /// When there are so many holders, those who hold nothing any more are forgotten.
    crowd: usize,
}

impl<K: Eq + Hash> Shares<K> {
    /// So much for each.
    pub fn of(each: usize) -> Self {
        Self {
            each: each.clamp(1, Semaphore::MAX_PERMITS),
            known: Mutex::new(Known {
                holders: HashMap::new(),
                crowd: CROWD,
            }),
        }
    }

    /// How much each may take.
    pub fn each(&self) -> usize {
        self.each
    }

    /// The share of this one.
    pub fn share(&self, of: K) -> Arc<Semaphore> {
        let mut known = self.known();
        if let Some(share) = known.holders.get(&of).and_then(Weak::upgrade) {
            return share;
        }
        if known.holders.len() >= known.crowd {
            known.holders.retain(|_, share| share.strong_count() > 0);
            known.crowd = CROWD.max(known.holders.len() * 2);
        }
        let share = Arc::new(Semaphore::new(self.each));
        known.holders.insert(of, Arc::downgrade(&share));
        share
    }

    /// One piece of a share, if there is one left.
    pub fn take(&self, of: K) -> Option<OwnedSemaphorePermit> {
        self.share(of).try_acquire_owned().ok()
    }

    fn known(&self) -> MutexGuard<'_, Known<K>> {
        // A map is whole between two of its changes.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_so_is_an_address_of_ipv4_in_either_form() {
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(source("::ffff:198.51.100.7"), source("198.51.100.7"));
        assert_ne!(source("198.51.100.7"), source("198.51.100.8"));
        assert_ne!(source("::ffff:198.51.100.7"), source("::ffff:198.51.100.8"));
    }

    #[test]
    fn who_takes_a_whole_share_leaves_the_others_theirs_and_gets_it_again_when_it_is_given_back() {
        let shares = Shares::of(2);
        let taken: Vec<_> = (0..2).map(|_| shares.take("one").unwrap()).collect();
        assert!(shares.take("one").is_none());
        assert!(shares.take("another").is_some());
        drop(taken);
        assert!(shares.take("one").is_some());
    }

    #[test]
    fn those_who_hold_nothing_are_forgotten() {
        let shares = Shares::of(1);
        let held = shares.take(0).unwrap();
        for passer_by in 1..100_000 {
            drop(shares.take(passer_by).unwrap());
        }
        assert!(shares.known().holders.len() <= 2 * CROWD);
        assert!(shares.take(0).is_none());
        drop(held);
    }
}
