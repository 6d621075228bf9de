// SPDX-License-Identifier: Apache-2.0

//! The device's end of the chain: makes entries and turns the ratchet.

use crate::link::{link, Entry};
use crate::native::Native;
use crate::newtypes::{DataDigest, LinkHash};
use crate::ratchet::{RatchetKey, Secret};

/// Where a device's chain stands: its head and the key of the next entry.
///
/// For a device that must survive being killed, [`Sealer::draft`] is the one to use: store the entry
/// and the state after it in one transaction, and only then put the new state in the old one's place.
/// The secret itself is the first entry's key: no copy of it may outlive that entry.
///
/// ```
/// # use hashchain::{data_digest, LinkHash, Native, RatchetKey, Sealer, Secret};
/// # let sealer = Sealer::begin(LinkHash([7; 32]), &Secret::from_bytes(&[1; 32]));
/// let (entry, after) = sealer.draft(&data_digest::<Native>(b"an envelope"));
/// // What the store keeps, the key in a form that the platform protects:
/// let (head, sequence, key) = (after.head(), after.sequence(), after.key().expose());
/// // What a restart makes of it:
/// let resumed = Sealer::resume(head, RatchetKey::restore(sequence, key)?);
/// assert_eq!(resumed.head(), entry.hash);
/// # Ok::<(), hashchain::IndexOutOfRange>(())
/// ```
#[derive(Debug)]
pub struct Sealer {
    head: LinkHash,
    key: RatchetKey,
}

impl Sealer {
    /// Before the first entry of a chain that starts from `genesis`.
    pub fn begin(genesis: LinkHash, secret: &Secret) -> Self {
        Self {
            head: genesis,
            key: RatchetKey::first(secret),
        }
    }

    /// From the device's store. The position is that of the key.
    pub fn resume(head: LinkHash, key: RatchetKey) -> Self {
        Self { head, key }
    }

    /// How many entries were made; also the sequence of the newest one.
    pub fn sequence(&self) -> u64 {
        self.key.index()
    }

    /// Hash of the newest entry, or `h_0` before the first.
    pub fn head(&self) -> LinkHash {
        self.head
    }

    /// The key of the next entry, for the device's store.
    pub fn key(&self) -> &RatchetKey {
        &self.key
    }

    /// The next entry and the state after it; `self` stays where it is. Drop `self`, and with it the
    /// entry's key, once both are durable: as long as the key lives, it can make another entry.
    #[must_use = "an entry that is not stored is lost"]
    pub fn draft(&self, digest: &DataDigest) -> (Entry, Self) {
        let (tag, key) = self.key.step(&self.head, digest);
        let hash = link::<Native>(key.index(), &self.head, digest, &tag);
        let entry = Entry {
            sequence: key.index(),
            previous: self.head,
            digest: *digest,
            tag,
            hash,
        };
        (entry, Self { head: hash, key })
    }

    /// Makes the next entry and erases its key, for those who need no durable state in between.
    #[must_use = "an entry that is not stored is lost"]
    pub fn append(&mut self, digest: &DataDigest) -> Entry {
        let (entry, after) = self.draft(digest);
        *self = after;
        entry
    }
}
