// SPDX-License-Identifier: Apache-2.0

//! For which entries a file has a row. What is kept takes a byte for each registered entry of a device that has any.

use std::collections::{BTreeMap, BTreeSet};

use hashchain::{DeviceId, LinkHash};

use crate::places::Claim;
use crate::registry::{index, Registry};

/// The entries that were seen.
#[derive(Default)]
pub(super) struct Seen {
    registered: BTreeMap<DeviceId, Vec<bool>>,
    /// Several may claim one place.
    attempts: BTreeSet<(DeviceId, u64, LinkHash)>,
}

impl Seen {
    /// Takes a row, and tells whether it is the first one of its entry.
    pub(super) fn add(&mut self, registry: &Registry, claim: &Claim) -> bool {
        let (device, sequence) = (claim.device, claim.sequence);
        if !claim.registered {
            return self.attempts.insert((device, sequence, claim.link));
        }
        let none = || vec![false; registry.length(device)];
        let places = self.registered.entry(device).or_insert_with(none);
        let Some(index) = index(sequence) else {
            return false;
        };
        match places.get_mut(index) {
            Some(seen) => !std::mem::replace(seen, true),
            None => false,
        }
    }

    /// Whether a registered entry was seen.
    pub(super) fn has(&self, device: DeviceId, sequence: u64) -> bool {
        let places = self.registered.get(&device);
        let place = places.and_then(|places| places.get(index(sequence)?));
        place == Some(&true)
    }

    /// Whether an entry was seen that is not registered.
    pub(super) fn has_attempt(&self, device: DeviceId, sequence: u64, link: LinkHash) -> bool {
        self.attempts.contains(&(device, sequence, link))
    }

    /// The devices of these entries.
    pub(super) fn devices(&self) -> BTreeSet<DeviceId> {
        let attempts = self.attempts.iter().map(|(device, ..)| device);
        self.registered.keys().chain(attempts).copied().collect()
    }
}
