// SPDX-License-Identifier: Apache-2.0

//! The journal: one log of entries for the whole chain, in pages that are written once.

use crate::{
    Config, EntryIndex, FirstJournalPage, JournalEntry, JournalLength, JournalPages, Pallet,
    ENTRIES_PER_PAGE,
};
use codec::Encode;
use frame_support::{storage::unhashed, traits::Get};

const PER_PAGE: u64 = ENTRIES_PER_PAGE as u64;

/// The page that has the entry at `index`, and the entry's place in it.
pub(crate) fn position(index: EntryIndex) -> (u64, usize) {
    (index / PER_PAGE, (index % PER_PAGE) as usize)
}

impl<T: Config> Pallet<T> {
    /// The entry at `index`, unless it was never written or has left the state.
    pub fn journal_entry(index: EntryIndex) -> Option<JournalEntry> {
        let (page, offset) = position(index);
        JournalPages::<T>::get(page)?.get(offset).copied()
    }

    /// Appends entries. Only the page at the end is ever changed, and only to be filled.
    pub(crate) fn append_to_journal(mut entries: &[JournalEntry]) {
        let mut index = JournalLength::<T>::get();
        while !entries.is_empty() {
            let (page, offset) = position(index);
            let (now, later) =
                entries.split_at(entries.len().min(ENTRIES_PER_PAGE as usize - offset));
            if offset == 0 {
                Self::drop_pages_before_retention(page);
                // As bytes, without a page in between: nearly every page is begun and filled by one batch.
                now.using_encoded(|page_of| {
                    unhashed::put_raw(&JournalPages::<T>::hashed_key_for(page), page_of)
                });
            } else {
                let mut content = JournalPages::<T>::get(page).unwrap_or_default();
                for entry in now {
                    content
                        .try_push(*entry)
                        .expect("`now` fits after `offset` entries of one page; qed");
                }
                JournalPages::<T>::insert(page, content);
            }
            index += now.len() as u64;
            entries = later;
        }
        JournalLength::<T>::put(index);
    }

    /// Drops what is older than the retention when `page` is begun.
    ///
    /// At most two pages at a time: one page in, one page out in the steady state, and a slow retreat after an upgrade
    /// that shortened the retention.
    fn drop_pages_before_retention(page: u64) {
        let Some(retention) = T::JournalRetention::get() else {
            return;
        };
        let keep_from = page.saturating_sub(retention.div_ceil(PER_PAGE));
        let first = FirstJournalPage::<T>::get();
        let drop_until = keep_from.min(first.saturating_add(2));
        if first < drop_until {
            for old in first..drop_until {
                JournalPages::<T>::remove(old);
            }
            FirstJournalPage::<T>::put(drop_until);
        }
    }
}
