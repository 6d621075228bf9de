// SPDX-License-Identifier: Apache-2.0

//! Pages of heads as a batch works on them: as bytes, of which only the heads that it needs are decoded.
//!
//! With many devices a batch touches nearly as many pages as it has runs. To decode and encode all heads of each took
//! more time than everything else that a run of one entry needs (`scripts/bench --growth`).

use crate::{
    devices::position, Config, DeviceHead, DeviceId, EntryIndex, HeadPages, HEADS_PER_PAGE,
};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, Encode};
use core::ops::Range;
use frame_support::storage::unhashed;

/// The pages that a batch has touched, by number.
pub(crate) struct WorkingPages<T: Config> {
    pages: BTreeMap<u32, WorkingPage>,
    first_index_of_block: EntryIndex,
    _runtime: core::marker::PhantomData<T>,
}

/// A page as it is in the state, with what the batch has changed.
struct WorkingPage {
    encoded: Vec<u8>,
    /// Where each head begins.
    begins: [u16; HEADS_PER_PAGE as usize],
    changed: bool,
    /// Whether this block has written entries of it before. Its key in the trie changes once, however often it is
    /// written.
    again: bool,
}

/// How much a batch has touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Bytes of all pages.
    pub(crate) bytes: usize,
    /// Pages that this block had not written before.
    pub(crate) first: usize,
    /// Their bytes.
    pub(crate) first_bytes: usize,
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
        let (page, place) = self.find(device)?;
        DeviceHead::decode(&mut &page.encoded[place]).ok()
    }

    /// Puts another head in the place of a device's. What was never given out has none.
    pub(crate) fn set(&mut self, device: DeviceId, head: &DeviceHead) {
        if let Some((page, place)) = self.find(device) {
            head.using_encoded(|now| page.replace(place, now));
        }
    }

    fn find(&mut self, device: DeviceId) -> Option<(&mut WorkingPage, Range<usize>)> {
        let (number, slot) = position(device);
        let page = self.pages.entry(number).or_insert_with(|| {
            let encoded = unhashed::get_raw(&HeadPages::<T>::hashed_key_for(number));
            WorkingPage::new(encoded.unwrap_or_default(), self.first_index_of_block)
        });
        let begin = *page.begins.get(slot)?;
        let place = Place::at(&page.encoded, usize::from(begin))?.bytes;
        Some((page, place))
    }

    /// What was touched so far.
    pub(crate) fn touched(&self) -> Touched {
        let bytes = |page: &WorkingPage| page.encoded.len();
        let first = || self.pages.values().filter(|page| !page.again);
        Touched {
            bytes: self.pages.values().map(bytes).sum(),
            first: first().count(),
            first_bytes: first().map(bytes).sum(),
        }
    }

    /// Writes what has changed.
    pub(crate) fn write(self) {
        for (number, page) in self.pages {
            if page.changed {
                unhashed::put_raw(&HeadPages::<T>::hashed_key_for(number), &page.encoded);
            }
        }
    }
}

impl WorkingPage {
    fn new(encoded: Vec<u8>, first_index_of_block: EntryIndex) -> Self {
        let mut page = Self {
            encoded,
            begins: [0; HEADS_PER_PAGE as usize],
            changed: false,
            again: false,
        };
        page.again = page.look_through() >= Some(first_index_of_block);
        page
    }

    /// Notes where the heads begin, and says which entry is the latest of them all.
    fn look_through(&mut self) -> Option<EntryIndex> {
        // What is no head begins where the page has ended.
        self.begins = [u16::MAX; HEADS_PER_PAGE as usize];
        let mut latest = None;
        for (begin, place) in self.begins.iter_mut().zip(places(&self.encoded)) {
            *begin = place.bytes.start as u16;
            latest = latest.max(place.latest);
        }
        latest
    }

    fn replace(&mut self, place: Range<usize>, head: &[u8]) {
        self.changed = true;
        if head.len() == place.len() {
            self.encoded[place].copy_from_slice(head);
        } else {
            drop(self.encoded.splice(place, head.iter().copied()));
            self.look_through();
        }
    }
}

/// The heads of an encoded page, in their order.
fn places(page: &[u8]) -> impl Iterator<Item = Place> + '_ {
    // Heads follow their number, which for so few is one byte.
    let mut end = 1;
    core::iter::from_fn(move || {
        let place = Place::at(page, end)?;
        end = place.bytes.end;
        Some(place)
    })
}

/// Where a head is in an encoded page, and what of it can be read without decoding.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) bytes: Range<usize>,
    pub(crate) latest: Option<EntryIndex>,
}

impl Place {
    /// Of the head that begins here; none if there is none. The order of fields is that of [`DeviceHead`], encoded by
    /// SCALE.
    pub(crate) fn at(page: &[u8], begin: usize) -> Option<Self> {
        let status = begin + 4;
        let length = status + 1 + usize::from(*page.get(status)? == SUSPENDED);
        let latest = length + 8;
        let (latest, hash) = match page.get(latest)? {
            0 => (None, latest + 1),
            _ => {
                let index = page.get(latest + 1..latest + 9)?.try_into().ok()?;
                (Some(EntryIndex::from_le_bytes(index)), latest + 9)
            }
        };
        let signer = hash + 32;
        let end = signer + if *page.get(signer)? == 0 { 1 } else { 33 };
        (end <= page.len()).then_some(Self {
            bytes: begin..end,
            latest,
        })
    }
}

/// The one variant of a status that carries something: the reason, a byte.
pub(crate) const SUSPENDED: u8 = 1;
