// SPDX-License-Identifier: Apache-2.0

//! The way back through the journal, for which a call has a budget.

use crate::{
    journal::position, Config, EntryIndex, JournalEntry, JournalLength, JournalPage, JournalPages,
};
use alloc::vec::Vec;
use core::marker::PhantomData;
use frame_support::traits::Get;

/// The journal as one call sees it: what was registered before, and then what the call adds.
pub(crate) struct Walk<T: Config> {
    first_index: EntryIndex,
    new_entries: Vec<JournalEntry>,
    steps_left: u32,
    /// The page on which the last entry was, of old entries or new.
    page: Option<u64>,
    /// What that page has of old entries, once one of them was asked for.
    page_read: Option<JournalPage>,
    _runtime: PhantomData<T>,
}

#[cfg(test)]
std::thread_local! {
    static LOOKUPS: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// How many entries this thread has looked up so far, for the law that bounds them.
#[cfg(test)]
pub(crate) fn lookups() -> u64 {
    LOOKUPS.get()
}

impl<T: Config> Walk<T> {
    /// With the whole budget, and nothing added yet.
    pub(crate) fn new() -> Self {
        Self::with_budget(T::WalkBudget::get())
    }

    /// With so many steps. For a call, [`Walk::new`] is the one that counts what it spends.
    pub(crate) fn with_budget(steps: u32) -> Self {
        Self {
            first_index: JournalLength::<T>::get(),
            new_entries: Vec::new(),
            steps_left: steps,
            page: None,
            page_read: None,
            _runtime: PhantomData,
        }
    }

    /// Index of the first entry that the call adds.
    pub(crate) fn first_index(&self) -> EntryIndex {
        self.first_index
    }

    /// Index of the next entry that the call adds.
    pub(crate) fn next_index(&self) -> EntryIndex {
        self.first_index + self.new_entries.len() as u64
    }

    /// What the call has added.
    pub(crate) fn new_entries(&self) -> &[JournalEntry] {
        &self.new_entries
    }

    /// Adds an entry at [`Walk::next_index`].
    pub(crate) fn push(&mut self, entry: JournalEntry) {
        self.new_entries.push(entry);
    }

    /// Steps that were spent, for the weight.
    pub(crate) fn steps(&self) -> u32 {
        T::WalkBudget::get() - self.steps_left
    }

    /// Whether no steps are left.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps_left == 0
    }

    /// The entry at `index`; none if the budget is spent or the entry has left the state.
    ///
    /// It costs a step to go to another page of the journal than that of the entry before; the entries of one page are
    /// free. That holds for what the call itself has added, too: it needs no reading, but one run could be made to walk over
    /// all that the runs before it have brought.
    pub(crate) fn entry(&mut self, index: EntryIndex) -> Option<JournalEntry> {
        #[cfg(test)]
        LOOKUPS.set(LOOKUPS.get() + 1);
        let (page, offset) = position(index);
        if self.page != Some(page) {
            self.spend()?;
            self.page = Some(page);
            self.page_read = None;
        }
        if let Some(new) = index.checked_sub(self.first_index) {
            return self.new_entries.get(new as usize).copied();
        }
        if self.page_read.is_none() {
            self.page_read = JournalPages::<T>::get(page);
            // What has left the state is looked for again at the price of a step.
            self.page = self.page_read.as_ref().map(|_| page);
        }
        self.page_read.as_ref()?.get(offset).copied()
    }

    /// Takes a step from the budget; none if it is spent. Nothing else changes the budget.
    fn spend(&mut self) -> Option<()> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        Some(())
    }
}
