// SPDX-License-Identifier: Apache-2.0

//! Who is meant: people are asked for by different names.

use hashchain::{participant_digest, Native};
use mhealth_api::{Hash, Key};

use super::KeyFolder;
use crate::error::DataError;

impl KeyFolder {
    /// The pseudonym of whoever is named so: by the pseudonym itself, by the public key that was in the enrolment code, or by the
    /// digest of that key, which the chain has in the record of each device. Whose key is destroyed is found, too.
    pub fn person(&self, named: &str) -> Result<String, DataError> {
        if self.participants.contains_key(named) || self.destroyed.contains_key(named) {
            return Ok(named.to_owned());
        }
        let nobody = || {
            let alike = self.names().check(named).err();
            alike.unwrap_or_else(|| DataError::NoSuchParticipant(named.to_owned()))
        };
        // No pseudonym is as long as this.
        let digits: Hash = named.parse().map_err(|_| nobody())?;
        let is = |key: &[u8; 32]| {
            digits.0 == *key || digits.0 == participant_digest::<Native>(Some(key))
        };
        let mut held = self.public_keys();
        if let Some((participant, _)) = held.find(|(_, key)| is(&key.0)) {
            return Ok(participant.to_owned());
        }
        let mut destroyed = self.destroyed();
        let gone = destroyed.find(|record| record.key.is_some_and(|key| is(&key.0)));
        gone.map(|record| record.participant.clone())
            .ok_or_else(nobody)
    }

    /// The public half of a participant's key, also of one that is destroyed. Nothing of who is erased and had none.
    pub fn public_key(&self, participant: &str) -> Result<Option<Key>, DataError> {
        let held = self.participants.get(participant);
        let held = held.map(|key| Some(Key(key.sealing_key().0)));
        let gone = || self.destroyed.get(participant).map(|record| record.key);
        let key = held.or_else(gone);
        key.ok_or_else(|| DataError::NoSuchParticipant(participant.to_owned()))
    }
}
