// SPDX-License-Identifier: Apache-2.0

//! Participants' keys come into the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashchain::{OpeningKey, SealingKey};
use mhealth_api::Key;
use zeroize::Zeroizing;

use super::{check_pseudonym, files, parse_line, random, KeyFolder};
use crate::error::DataError;

impl KeyFolder {
    /// Makes a key for a participant, and gives its public half: what the enrolment code names.
    pub fn add(&mut self, participant: &str) -> Result<SealingKey, DataError> {
        let mut public = self.add_all(&[participant.to_owned()])?;
        Ok(public.swap_remove(0))
    }

    /// The same for several, in their order. Either all or none.
    pub fn add_all(&mut self, participants: &[String]) -> Result<Vec<SealingKey>, DataError> {
        let (mut keys, mut public) = (BTreeMap::new(), Vec::new());
        for participant in participants {
            let key = OpeningKey::from_bytes(&*random()?);
            public.push(key.sealing_key());
            let twice = keys.insert(participant.clone(), key).is_some();
            if twice || self.participants.contains_key(participant) {
                return Err(DataError::KeyExists(participant.clone()));
            }
        }
        self.take_all(keys)?;
        Ok(public)
    }

    /// Takes all keys of a file with a line for each participant, as the simulator keeps them. Either all or none.
    pub fn import(&mut self, file: &Path) -> Result<usize, DataError> {
        let text = files::read_private(file)?;
        let mut keys = BTreeMap::new();
        for (line, number) in text.lines().zip(1..) {
            let bad = || DataError::BadKeyLine {
                file: file.display().to_string(),
                line: number,
            };
            let (participant, key) = parse_line(line).ok_or_else(bad)?;
            if keys.insert(participant, key).is_some() {
                return Err(bad());
            }
        }
        self.take_all(keys)
    }

    /// Fails unless each of these keys can be taken.
    pub(super) fn check_all(&self, keys: &BTreeMap<String, OpeningKey>) -> Result<(), DataError> {
        let mut names = self.names();
        let mut owners = self.owners();
        for (participant, key) in keys {
            check_pseudonym(participant)?;
            if self.destroyed.contains_key(participant) {
                return Err(DataError::Destroyed(participant.clone()));
            }
            let known = self.participants.get(participant);
            if known.is_some_and(|known| known.sealing_key() != key.sealing_key()) {
                return Err(DataError::AnotherKey(participant.clone()));
            }
            names.check(participant)?;
            names.add(participant);
            let public = Key(key.sealing_key().0);
            // Under no other name either.
            if let Some(owner) = self.gone.get(&public) {
                return Err(DataError::Destroyed(owner.clone()));
            }
            let owner = owners.insert(public, participant);
            if let Some(other) = owner.filter(|other| *other != participant.as_str()) {
                return Err(DataError::SameKey {
                    name: participant.clone(),
                    other: other.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Whose each key is.
    fn owners(&self) -> BTreeMap<Key, &str> {
        let keys = self.public_keys();
        keys.map(|(participant, key)| (key, participant)).collect()
    }

    /// Fails where a key is in the files of two participants, as a copy made by hand leaves it: who destroys it as the one's would
    /// keep it as the other's.
    pub(super) fn check_owners(&self) -> Result<(), DataError> {
        let owners = self.owners();
        for (participant, key) in self.public_keys() {
            if let Some(other) = owners.get(&key).filter(|other| **other != participant) {
                return Err(DataError::SameKey {
                    name: participant.to_owned(),
                    other: (*other).to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Uses no key any more that is destroyed on record, in whatever file it is.
    pub(super) fn lay_aside(&mut self) {
        let (gone, unused) = (&self.gone, &mut self.unused);
        self.participants.retain(|participant, key| {
            let owner = gone.get(&Key(key.sealing_key().0));
            if let Some(owner) = owner {
                unused.insert(participant.clone(), owner.clone());
            }
            owner.is_none()
        });
    }

    /// Takes keys, all or none. One that is there already may come again.
    pub(super) fn take_all(
        &mut self,
        mut keys: BTreeMap<String, OpeningKey>,
    ) -> Result<usize, DataError> {
        self.check_all(&keys)?;
        let count = keys.len();
        keys.retain(|participant, _| !self.participants.contains_key(participant));
        let mut written: Vec<PathBuf> = Vec::new();
        for (participant, key) in &keys {
            let file = self.key_file(participant);
            let digits = Zeroizing::new(hex::encode(key.expose()));
            let line = Zeroizing::new(format!("{participant} {}\n", &*digits));
            if let Err(error) = files::write_key(&file, line.as_bytes()) {
                // Nobody was told of them.
                for file in written {
                    let _ = files::shred(&file);
                }
                return Err(error);
            }
            written.push(file);
        }
        self.participants.extend(keys);
        Ok(count)
    }
}
