// SPDX-License-Identifier: Apache-2.0

//! Writes that are to be durable together.

use alloc::{borrow::ToOwned, collections::BTreeMap, vec::Vec};

use crate::{
    host::{PhoneStore, StoreFault, Stored, Write},
    lock::Mutex,
};

/// What was written last under each key; none where it was deleted.
type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A store, and what was written since [`begin`](Self::begin) and is not in it yet. One at a time uses it.
pub(super) struct Journaled<S> {
    store: S,
    pending: Mutex<Option<Pending>>,
}

/// Ends what [`Journaled::begin`] began; dropped without [`Journaled::commit`], nothing of it was.
pub(super) struct Begun<'a, S>(&'a Journaled<S>);

impl<S> Drop for Begun<'_, S> {
    fn drop(&mut self) {
        *self.0.pending.lock() = None;
    }
}

impl<S: PhoneStore> Journaled<S> {
    pub(super) fn new(store: S) -> Self {
        Self {
            store,
            pending: Mutex::default(),
        }
    }

    /// Holds back what is written from now on; none if that is so already.
    pub(super) fn begin(&self) -> Option<Begun<'_, S>> {
        let mut pending = self.pending.lock();
        if pending.is_some() {
            return None;
        }
        *pending = Some(BTreeMap::new());
        drop(pending);
        Some(Begun(self))
    }

    /// Makes what was held back durable, all of it or nothing.
    pub(super) fn commit(&self, begun: Begun<'_, S>) -> Result<(), StoreFault> {
        let pending = self.pending.lock().take().unwrap_or_default();
        drop(begun);
        let writes: Vec<Write> = pending
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => Write::Put { key, value },
                None => Write::Delete { key },
            })
            .collect();
        match writes.is_empty() {
            true => Ok(()),
            false => self.store.apply(&writes),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        if let Some(held) = self.pending.lock().as_ref().and_then(|held| held.get(key)) {
            return Ok(held.clone());
        }
        self.store.get(key)
    }

    /// What is under the keys from `from` on and before `until`; the first `most`.
    pub(super) fn scan(
        &self,
        from: &[u8],
        until: &[u8],
        most: usize,
    ) -> Result<Vec<Stored>, StoreFault> {
        let pending = self.pending.lock();
        let Some(held) = pending.as_ref().filter(|held| !held.is_empty()) else {
            drop(pending);
            return self.store.scan(from, until, most);
        };
        let held: BTreeMap<Vec<u8>, Option<Vec<u8>>> = held
            .range::<[u8], _>((
                core::ops::Bound::Included(from),
                core::ops::Bound::Excluded(until),
            ))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        drop(pending);
        let stored = self
            .store
            .scan(from, until, most.saturating_add(held.len()))?;
        let mut found: BTreeMap<Vec<u8>, Option<Vec<u8>>> = stored
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        found.extend(held);
        let found = found.into_iter();
        Ok(found
            .filter_map(|(key, value)| Some((key, value?)))
            .take(most)
            .collect())
    }

    pub(super) fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreFault> {
        self.write(key, Some(value))
    }

    pub(super) fn delete(&self, key: &[u8]) -> Result<(), StoreFault> {
        self.write(key.to_owned(), None)
    }

    fn write(&self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StoreFault> {
        if let Some(held) = self.pending.lock().as_mut() {
            held.insert(key, value);
            return Ok(());
        }
        self.store.apply(&[match value {
            Some(value) => Write::Put { key, value },
            None => Write::Delete { key },
        }])
    }
}
