// SPDX-License-Identifier: Apache-2.0

//! Pages of heads as a batch works on them: as bytes, of which only the heads that it needs are decoded.
//!
//! With many devices a batch touches nearly as many pages as it has runs. To decode and encode all heads of each took
//! more time than everything else that a run of one entry needs (`scripts/bench --growth`).

use crate::{
    devices::position, Config, DeviceHead, DeviceId, EntryIndex, HeadPages, KeyPages,
    HEADS_PER_PAGE,
};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, Encode};
use core::ops::Range;
use frame_support::storage::unhashed;

/// Bytes of the number of heads or keys, with which a page begins.
const COUNT: usize = 1;
const _: () = assert!(HEADS_PER_PAGE < 1 << 6);

/// Bytes of a key.
const KEY: usize = 32;

/// The pages that a batch has touched, by number.
pub(crate) struct WorkingPages<T: Config> {
    pages: BTreeMap<u32, WorkingPage>,
    first_index_of_block: EntryIndex,
    _runtime: core::marker::PhantomData<T>,
}

/// A page as it is in the state, with what the batch has changed.
struct WorkingPage {
    heads: Vec<u8>,
    /// The keys of the same devices, once one of them was asked for.
    keys: Option<Vec<u8>>,
    changed: bool,
    /// Whether this block has written entries of it before. Its key in the trie changes once, however often it is
    /// written.
    again: bool,
}

/// How many pages a batch has touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    /// All pages of heads.
    pub(crate) all: u32,
    /// Those that this block had not written before.
    pub(crate) first: u32,
    /// The pages of keys beside the latter. Beside the others a block has nearly always read them before.
    pub(crate) first_keys: u32,
}

impl<T: Config> WorkingPages<T> {
    /// No pages yet, in a block whose first entry gets this index.
    pub(crate) fn new(first_index_of_block: EntryIndex) -> Self {
        Self {
            pages: BTreeMap::new(),
            first_index_of_block,
            _runtime: core::marker::PhantomData,
        }
    }

    /// The head of a device; none if the number was never given out.
    pub(crate) fn head(&mut self, device: DeviceId) -> Option<DeviceHead> {
        let (page, slot) = self.find(device);
        let head = page.heads.get(place(slot, DeviceHead::BYTES))?;
        DeviceHead::decode(&mut &head[..]).ok()
    }

    /// Puts another head in the place of a device's. What was never given out has none.
    pub(crate) fn set(&mut self, device: DeviceId, head: &DeviceHead) {
        let (page, slot) = self.find(device);
        if let Some(place) = page.heads.get_mut(place(slot, DeviceHead::BYTES)) {
            head.using_encoded(|now| place.copy_from_slice(now));
            page.changed = true;
        }
    }

    /// The Ed25519 key of a device; none if the number was never given out.
    pub(crate) fn key(&mut self, device: DeviceId) -> Option<[u8; KEY]> {
        let (number, _) = position(device);
        let (page, slot) = self.find(device);
        let read = || unhashed::get_raw(&KeyPages::<T>::hashed_key_for(number));
        let keys = page.keys.get_or_insert_with(|| read().unwrap_or_default());
        keys.get(place(slot, KEY))?.try_into().ok()
    }

    fn find(&mut self, device: DeviceId) -> (&mut WorkingPage, usize) {
        let (number, slot) = position(device);
        let page = self.pages.entry(number).or_insert_with(|| {
            let heads = unhashed::get_raw(&HeadPages::<T>::hashed_key_for(number));
            WorkingPage::new(heads.unwrap_or_default(), self.first_index_of_block)
        });
        (page, slot)
    }

    /// What was touched so far.
    pub(crate) fn touched(&self) -> Touched {
        let first = || self.pages.values().filter(|page| !page.again);
        Touched {
            all: self.pages.len() as u32,
            first: first().count() as u32,
            first_keys: first().filter(|page| page.keys.is_some()).count() as u32,
        }
    }

    /// Writes what has changed.
    pub(crate) fn write(self) {
        for (number, page) in self.pages {
            if page.changed {
                unhashed::put_raw(&HeadPages::<T>::hashed_key_for(number), &page.heads);
            }
        }
    }
}

impl WorkingPage {
    fn new(heads: Vec<u8>, first_index_of_block: EntryIndex) -> Self {
        let mut each = heads
            .get(COUNT..)
            .unwrap_or_default()
            .chunks_exact(DeviceHead::BYTES);
        Self {
            again: each.any(|head| latest(head) >= Some(first_index_of_block)),
            heads,
            keys: None,
            changed: false,
        }
    }
}

/// Where in a page the head or key in this slot is, of which each has so many bytes.
fn place(slot: usize, bytes: usize) -> Range<usize> {
    let begin = COUNT + slot * bytes;
    begin..begin + bytes
}

/// [`DeviceHead::latest`] of an encoded head, which begins with `length` and `latest`.
pub(crate) fn latest(head: &[u8]) -> Option<EntryIndex> {
    match head.as_chunks().0 {
        [length, latest, ..] if *length != [0; 8] => Some(EntryIndex::from_le_bytes(*latest)),
        _ => None,
    }
}
