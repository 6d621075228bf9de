// SPDX-License-Identifier: Apache-2.0

//! Destroying a participant's key, on record.

use std::collections::btree_map::Entry;
use std::collections::BTreeSet;

use hashchain::DeviceId;
use mhealth_api::Key;
use mhealth_auditor::audit::Erasure;
use serde::{Deserialize, Serialize};

use super::{check_pseudonym, files, KeyFolder};
use crate::error::DataError;

/// What is known when a key is destroyed.
#[derive(Clone, Debug)]
pub struct Destruction {
    /// Whose key.
    pub participant: String,
    /// The devices that sealed to it, beside those that exports found out.
    pub devices: Vec<DeviceId>,
    /// The participant had no device.
    pub no_device: bool,
    /// By whom and on what request.
    pub record: String,
    /// When, as RFC 3339 has it.
    pub at: String,
}

/// The record of a destroyed key, or of an erased participant who had none: a line of `destroyed.ndjson`. One more for devices that were
/// named later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyedKey {
    /// Whose key it was.
    pub participant: String,
    /// Its public half. Nothing of a participant whose phones sealed to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The devices that sealed to it, or to nobody.
    pub devices: Vec<DeviceId>,
    /// When it was destroyed.
    pub destroyed_at: String,
    /// By whom and on what request.
    pub record: String,
    /// Back-ups and splits of the folder that were made while it had the key. Whoever has one can bring the key back.
    pub copies: Vec<String>,
    /// Devices that were named and are another's, which are withdrawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<DeviceId>,
}

impl KeyFolder {
    /// Destroys a participant's key, and keeps a record of it. The record comes first: a program that is killed between the two
    /// is run again, and the key is gone then. A device that was forgotten may be named later, or found by an export. One that is
    /// another's, as exports found out, destroys nothing: no relay would carry out the order.
    pub fn destroy(&mut self, destruction: &Destruction) -> Result<DestroyedKey, DataError> {
        let participant = &destruction.participant;
        self.check_named(destruction)?;
        let file = self.key_file(participant);
        if let Some(record) = self.destroyed.get(participant).cloned() {
            if file.exists() {
                files::shred(&file)?;
            }
            self.shred_unused(participant)?;
            return self.name_more(record, destruction);
        }
        let Some(key) = self.participants.get(participant) else {
            return Err(DataError::NoSuchParticipant(participant.clone()));
        };
        let key = Key(key.sealing_key().0);
        let mut devices = self.devices_of(participant);
        devices.extend(&destruction.devices);
        devices.sort_unstable();
        devices.dedup();
        match (devices.is_empty(), destruction.no_device) {
            (true, false) => return Err(DataError::UnknownDevices(participant.clone())),
            (false, true) => {
                let why = format!(
                    "--no-device, and {participant} has the device {}",
                    devices[0]
                );
                return Err(DataError::Usage(why));
            }
            _ => {}
        }
        let record = DestroyedKey {
            participant: participant.clone(),
            key: Some(key),
            devices,
            destroyed_at: destruction.at.clone(),
            record: destruction.record.clone(),
            copies: self.copies_with(&key)?,
            withdrawn: Vec::new(),
        };
        self.write_record(&record)?;
        files::shred(&file)?;
        self.participants.remove(participant);
        Ok(record)
    }

    /// Puts on record that a participant is erased whose phones seal to nobody. There is no key to destroy: what relays erase is all that
    /// can be done. Whose such a device is, nobody has but the caller.
    pub fn erase_plain(&mut self, erasure: &Destruction) -> Result<DestroyedKey, DataError> {
        let participant = &erasure.participant;
        self.check_named(erasure)?;
        self.check_keyless(participant)?;
        if let Some(record) = self.destroyed.get(participant).cloned() {
            return self.name_more(record, erasure);
        }
        check_pseudonym(participant)?;
        self.names().check(participant)?;
        let devices = BTreeSet::from_iter(erasure.devices.iter().copied());
        if devices.is_empty() {
            return Err(DataError::UnknownDevices(participant.clone()));
        }
        let record = DestroyedKey {
            participant: participant.clone(),
            key: None,
            devices: devices.into_iter().collect(),
            destroyed_at: erasure.at.clone(),
            record: erasure.record.clone(),
            copies: Vec::new(),
            withdrawn: Vec::new(),
        };
        self.write_record(&record)?;
        Ok(record)
    }

    /// Fails if a participant has a key, or had one: that has to be destroyed.
    pub fn check_keyless(&self, participant: &str) -> Result<(), DataError> {
        let record = self.destroyed.get(participant);
        let had_key = record.is_some_and(|record| record.key.is_some());
        match had_key || self.participants.contains_key(participant) {
            true => Err(DataError::Usage(format!(
                "{participant} has a key, or had one; for a phone of theirs that seals to nobody, take a name of its own"
            ))),
            false => Ok(()),
        }
    }

    /// Fails if a device that is named is another's, as exports found out.
    fn check_named(&self, destruction: &Destruction) -> Result<(), DataError> {
        let mut named = destruction.devices.iter();
        let is_anothers = |device: DeviceId| {
            let owner = self.owner(device);
            owner.is_some_and(|owner| owner != destruction.participant)
        };
        match named.find(|device| is_anothers(**device)) {
            Some(device) => Err(DataError::DeviceOfAnother(*device)),
            None => Ok(()),
        }
    }

    /// Takes a participant's destroyed key out of the files of others.
    fn shred_unused(&mut self, participant: &str) -> Result<(), DataError> {
        let unused = self.unused.iter();
        let named = unused.filter(|(_, owner)| owner.as_str() == participant);
        let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
        for name in named {
            files::shred(&self.key_file(&name))?;
            self.unused.remove(&name);
        }
        Ok(())
    }

    /// Adds the devices to the record of a key that is destroyed which are not in it.
    fn name_more(
        &mut self,
        record: DestroyedKey,
        destruction: &Destruction,
    ) -> Result<DestroyedKey, DataError> {
        if !destruction.record.is_empty() && destruction.record != record.record {
            let why = format!(
                "another text is on record for the erasure of {}, and stays there: leave --record out",
                record.participant
            );
            return Err(DataError::Usage(why));
        }
        let mut named = BTreeSet::from_iter(self.devices_of(&record.participant));
        named.extend(&destruction.devices);
        let known: BTreeSet<DeviceId> = record.devices.iter().copied().collect();
        let forgotten: BTreeSet<DeviceId> = &named - &known;
        if forgotten.is_empty() {
            return Ok(record);
        }
        self.write_record(&DestroyedKey {
            devices: forgotten.into_iter().collect(),
            copies: Vec::new(),
            withdrawn: Vec::new(),
            ..record.clone()
        })?;
        let whole = self.destroyed.get(&record.participant);
        Ok(whole.cloned().unwrap_or(record))
    }

    /// Devices that exports found to seal to a destroyed key, and that are in no record of it. [`destroy`](Self::destroy) takes them up.
    pub fn forgotten(&self) -> impl Iterator<Item = (DeviceId, &str)> {
        let devices = self.devices.iter();
        let forgotten = devices.filter(move |(device, owner)| {
            let record = self.destroyed.get(*owner);
            record.is_some_and(|record| !record.devices.contains(device))
        });
        forgotten.map(|(device, owner)| (*device, owner.as_str()))
    }

    fn write_record(&mut self, record: &DestroyedKey) -> Result<(), DataError> {
        let erasure = |device: &DeviceId| Erasure {
            device: *device,
            erased_at: record.destroyed_at.clone(),
            record: record.record.clone(),
            order: None,
        };
        let erasures: Vec<Erasure> = record.devices.iter().map(erasure).collect();
        files::append_all(&self.file("erasures.ndjson"), &erasures)?;
        files::append(&self.file("destroyed.ndjson"), record)?;
        self.take_record(record.clone());
        Ok(())
    }

    /// Withdraws a device from the record of a destroyed key, because it is another's. Orders that name it are void, and the rest of
    /// their devices get a new one: no relay takes an order with another's device. Nor is it on file for auditors any more, who would
    /// accuse nobody of losing its data.
    pub fn withdraw(&mut self, participant: &str, device: DeviceId) -> Result<(), DataError> {
        let record = self.destroyed.get(participant).cloned();
        let is_named = |record: &DestroyedKey| {
            record.devices.contains(&device) || record.withdrawn.contains(&device)
        };
        let Some(record) = record.filter(is_named) else {
            let why = format!("device {device} is not on record for an erasure of {participant}");
            return Err(DataError::Usage(why));
        };
        // Unless a program was killed between this and the next.
        if record.devices.contains(&device) {
            let line = DestroyedKey {
                devices: Vec::new(),
                copies: Vec::new(),
                withdrawn: vec![device],
                ..record
            };
            files::append(&self.file("destroyed.ndjson"), &line)?;
            self.take_record(line);
        }
        self.forget_withdrawn()
    }

    /// Takes out of what auditors get what was withdrawn.
    pub(super) fn forget_withdrawn(&self) -> Result<(), DataError> {
        let is_withdrawn = |erasure: &Erasure| {
            let mut records = self.destroyed.values();
            records.any(|record| {
                record.withdrawn.contains(&erasure.device)
                    && record.destroyed_at == erasure.erased_at
                    && record.record == erasure.record
            })
        };
        let file = self.file("erasures.ndjson");
        let erasures = files::lines::<Erasure>(&file)?.into_iter();
        let (withdrawn, kept): (Vec<_>, Vec<_>) = erasures.partition(is_withdrawn);
        match withdrawn.is_empty() {
            true => Ok(()),
            false => files::write_whole(&file, files::json_lines(&kept).as_bytes()),
        }
    }

    /// Takes a line of `destroyed.ndjson`. A second one of a participant names devices that the first forgot, or named wrongly.
    pub(super) fn take_record(&mut self, record: DestroyedKey) {
        if let Some(key) = record.key {
            let owner = self.gone.entry(key);
            owner.or_insert_with(|| record.participant.clone());
        }
        match self.destroyed.entry(record.participant.clone()) {
            Entry::Vacant(place) => {
                place.insert(record);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.withdrawn.retain(|it| !record.devices.contains(it));
                known.devices.extend(record.devices);
                known.devices.sort_unstable();
                known.devices.dedup();
                known.devices.retain(|it| !record.withdrawn.contains(it));
                known.withdrawn.extend(record.withdrawn);
            }
        }
    }
}
