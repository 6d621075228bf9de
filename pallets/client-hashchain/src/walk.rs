// SPDX-License-Identifier: Apache-2.0

//! The way back through the journal, for which a call has a budget.

use crate::{
    journal::position, Config, EntryIndex, JournalEntry, JournalLength, JournalPage, JournalPages,
};
use alloc::vec::Vec;
use core::marker::PhantomData;
use frame_support::traits::Get;

/// The journal as one call sees it: what was registered before, which costs steps to read, and then what the call adds.
pub(crate) struct Walk<T: Config> {
    first_index: EntryIndex,
    new_entries: Vec<JournalEntry>,
    steps_left: u32,
    page_read: Option<(u64, JournalPage)>,
    _runtime: PhantomData<T>,
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

    /// The entry at `index`; none if the budget is spent or the entry has left the state. It costs a step to read a
    /// page of the journal. What is on the page that was read last is free, and so is what the call has added.
    pub(crate) fn entry(&mut self, index: EntryIndex) -> Option<JournalEntry> {
        if let Some(new) = index.checked_sub(self.first_index) {
            return self.new_entries.get(new as usize).copied();
        }
        let (page, offset) = position(index);
        if self.page_read.as_ref().map(|(number, _)| *number) != Some(page) {
            self.spend()?;
            self.page_read = Some((page, JournalPages::<T>::get(page)?));
        }
        self.page_read
            .as_ref()
            .and_then(|(_, entries)| entries.get(offset).copied())
    }

    /// Takes a step from the budget; none if it is spent. Nothing else changes the budget.
    fn spend(&mut self) -> Option<()> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        Some(())
    }
}
