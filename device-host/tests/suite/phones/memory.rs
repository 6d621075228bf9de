// SPDX-License-Identifier: Apache-2.0

//! A store in memory that dies when it is told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use mhealth_device_host::host::{PhoneStore, StoreFault, Stored, Write};

/// When a store dies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Death {
    /// Before this list of writes, counted from 0, is durable.
    Before(usize),
    /// After it is durable, and before the phone hears of it.
    After(usize),
}

#[derive(Clone, Default)]
struct Contents {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    applied: usize,
    death: Option<Death>,
    dead: bool,
    full: bool,
}

/// The bytes of one phone. Its clones are the same store.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Contents>>);

impl Memory {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no test panics with the lock")
    }

    /// The store that is left when the program is started again, which dies as it is told to.
    pub(super) fn revived(&self, death: Option<Death>) -> Self {
        let values = self.contents().values.clone();
        Self(Arc::new(Mutex::new(Contents {
            values,
            death,
            ..Contents::default()
        })))
    }

    pub(super) fn is_dead(&self) -> bool {
        self.contents().dead
    }

    pub(super) fn is_full(&self, full: bool) {
        self.contents().full = full;
    }

    /// Whether these bytes stand anywhere in it.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let contents = self.contents();
        let mut pairs = contents.values.iter();
        let found = |place: &[u8]| place.windows(bytes.len()).any(|window| window == bytes);
        pairs.any(|(key, value)| found(key) || found(value))
    }
}

fn killed() -> StoreFault {
    StoreFault::unusable("the program was killed")
}

impl PhoneStore for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        let contents = self.contents();
        match contents.dead {
            true => Err(killed()),
            false => Ok(contents.values.get(key).cloned()),
        }
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        let contents = self.contents();
        if contents.dead {
            return Err(killed());
        }
        let found = contents.values.iter();
        let found = found.filter(|(key, _)| key.as_slice() >= from && key.as_slice() < until);
        let found = found.map(|(key, value)| (key.clone(), value.clone()));
        Ok(found.take(most).collect())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        let mut contents = self.contents();
        let place = contents.applied;
        contents.applied += 1;
        if contents.full {
            return Err(StoreFault::Full);
        }
        if contents.death == Some(Death::Before(place)) {
            contents.dead = true;
        }
        if contents.dead {
            return Err(killed());
        }
        for write in writes.iter().cloned() {
            match write {
                Write::Put { key, value } => contents.values.insert(key, value),
                Write::Delete { key } => contents.values.remove(&key),
            };
        }
        contents.dead = contents.death == Some(Death::After(place));
        match contents.dead {
            true => Err(killed()),
            false => Ok(()),
        }
    }
}
