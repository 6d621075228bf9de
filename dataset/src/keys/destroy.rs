// SPDX-License-Identifier: Apache-2.0

//! Destroying a participant's key, on record.

use hashchain::DeviceId;
use mhealth_api::Key;
use mhealth_auditor::audit::Erasure;
use serde::{Deserialize, Serialize};

use super::{files, KeyFolder};
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

/// The record of a destroyed key: a line of `destroyed.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyedKey {
    /// Whose key it was.
    pub participant: String,
    /// Its public half.
    pub key: Key,
    /// The devices that sealed to it.
    pub devices: Vec<DeviceId>,
    /// When it was destroyed.
    pub destroyed_at: String,
    /// By whom and on what request.
    pub record: String,
    /// Back-ups and splits of the folder that were made while it had the key. Whoever has one can bring the key back.
    pub copies: Vec<String>,
}

impl KeyFolder {
    /// Destroys a participant's key, and keeps a record of it. The record comes first: a program that is killed between the two
    /// is run again, and the key is gone then.
    pub fn destroy(&mut self, destruction: &Destruction) -> Result<DestroyedKey, DataError> {
        let participant = &destruction.participant;
        let file = self.key_file(participant);
        if let Some(record) = self.destroyed.get(participant) {
            if file.exists() {
                files::shred(&file)?;
            }
            return Ok(record.clone());
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
            key,
            devices,
            destroyed_at: destruction.at.clone(),
            record: destruction.record.clone(),
            copies: self.copies_with(&key)?,
        };
        let erasures = self.file("erasures.ndjson");
        for device in &record.devices {
            let erasure = Erasure {
                device: *device,
                erased_at: record.destroyed_at.clone(),
                record: record.record.clone(),
                order: None,
            };
            files::append(&erasures, &erasure)?;
        }
        files::append(&self.file("destroyed.ndjson"), &record)?;
        self.destroyed.insert(participant.clone(), record.clone());
        files::shred(&file)?;
        self.participants.remove(participant);
        Ok(record)
    }
}
