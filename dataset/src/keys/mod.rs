// SPDX-License-Identifier: Apache-2.0

//! The key folder of a study: the participants' private keys, each in a file of its own, and the holder's own key.
//!
//! ```text
//! FOLDER/study.json              whose keys these are: chain and study
//! FOLDER/holder.key              Ed25519, signs datasets; 64 hexadecimal digits
//! FOLDER/participants/NAME.key   a line: pseudonym, blank, X25519 private key in 64 hexadecimal digits
//! FOLDER/devices.ndjson          which device belongs to whom, as exports found out
//! FOLDER/copies.ndjson           back-ups and splits that were made
//! FOLDER/destroyed.ndjson        records of destroyed keys
//! FOLDER/erasures.ndjson         the same for `mhealth-auditor audit --erasures`, with the orders
//! FOLDER/orders.ndjson           orders to erase participants, as they were given to relays
//! ```
//!
//! A participant's key has a file of its own because it must be possible to destroy it alone: a line that is taken out of
//! a file leaves the old file's blocks behind. A line is as in the simulator's key file, so `cat participants/*.key` makes
//! one. Keys and folders are for their owner only, and the folder refuses to be used when they are not. Programs take the folder's
//! [`Lock`] before they open it.

pub mod backup;
mod destroy;
mod files;
mod lock;
mod names;
mod orders;
mod people;
mod records;
pub mod shares;
mod taking;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, OpeningKey, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_device::payload::Participant;
use rand::{rngs::OsRng, TryRngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::DataError;

pub use destroy::{DestroyedKey, Destruction};
pub use lock::Lock;
pub(crate) use names::{check_pseudonym, is_seen, Names};

/// The layout's name and version.
const SCHEMA: &str = "mhealth-keys/1";

/// Whose keys a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StudyFile {
    schema: String,
    chain: Hash,
    study: StudyId,
}

/// A line of `devices.ndjson`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceLine {
    device: DeviceId,
    participant: String,
}

/// An open key folder. `Debug` shows no key.
pub struct KeyFolder {
    path: PathBuf,
    whose: Whose,
    participants: BTreeMap<String, OpeningKey>,
    destroyed: BTreeMap<String, DestroyedKey>,
    /// The public halves of all keys that records have, each with whose it was.
    gone: BTreeMap<Key, String>,
    /// Whose files have such a key under another name than it had, and whose it was. Nobody uses it.
    unused: BTreeMap<String, String>,
    devices: BTreeMap<DeviceId, String>,
}

impl std::fmt::Debug for KeyFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.participants.len();
        write!(
            f,
            "KeyFolder({}, {keys} keys, redacted)",
            self.path.display()
        )
    }
}

impl KeyFolder {
    /// Makes a folder, with a key of the holder's. One that is there is opened, if it is of this study.
    pub fn create(path: &Path, whose: Whose) -> Result<Self, DataError> {
        let folder = Self::create_bare(path, whose)?;
        if !folder.holder_file().exists() {
            let seed = random()?;
            folder.write_holder(&seed)?;
        }
        Ok(folder)
    }

    fn create_bare(path: &Path, whose: Whose) -> Result<Self, DataError> {
        Self::make(path, whose)?;
        let folder = Self::open(path)?;
        folder.expect(whose)?;
        Ok(folder)
    }

    /// Makes a folder without keys, unless there is one.
    fn make(path: &Path, whose: Whose) -> Result<(), DataError> {
        let study = path.join("study.json");
        if !study.exists() {
            files::make_folder(path)?;
            files::check_folder(path)?;
            files::make_folder(&path.join("participants"))?;
            let file = StudyFile {
                schema: SCHEMA.into(),
                chain: whose.chain,
                study: whose.study,
            };
            let mut text = serde_json::to_string_pretty(&file).expect("string keys; qed");
            text.push('\n');
            files::write_new(&study, text.as_bytes())?;
        }
        Ok(())
    }

    /// Opens a folder and reads its keys.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let study = path.join("study.json");
        if !study.exists() {
            return Err(DataError::NoKeyFolder(path.display().to_string()));
        }
        for folder in [path, &path.join("participants")] {
            files::check_folder(folder)?;
        }
        let text = files::read(&study)?;
        let read: Option<StudyFile> = serde_json::from_str(&text).ok();
        let read = read.filter(|read| read.schema == SCHEMA);
        let read = read.ok_or_else(|| files::damaged(&study, "no study of this version"))?;
        let mut folder = Self {
            path: path.to_owned(),
            whose: Whose {
                chain: read.chain,
                study: read.study,
            },
            participants: BTreeMap::new(),
            destroyed: BTreeMap::new(),
            gone: BTreeMap::new(),
            unused: BTreeMap::new(),
            devices: BTreeMap::new(),
        };
        for record in files::lines::<DestroyedKey>(&folder.file("destroyed.ndjson"))? {
            folder.take_record(record);
        }
        for line in files::lines::<DeviceLine>(&folder.file("devices.ndjson"))? {
            folder.devices.insert(line.device, line.participant);
        }
        folder.read_participants()?;
        folder.lay_aside();
        folder.check_owners()?;
        Ok(folder)
    }

    fn read_participants(&mut self) -> Result<(), DataError> {
        let participants = self.path.join("participants");
        let listed = fs::read_dir(&participants).map_err(DataError::file(&participants))?;
        for file in listed {
            let file = file.map_err(DataError::file(&participants))?.path();
            if file.extension().is_none_or(|extension| extension != "key") {
                continue;
            }
            let text = files::read_private(&file)?;
            let line = text.strip_suffix('\n').and_then(parse_line);
            let damaged = || files::damaged(&file, "not one line of a pseudonym and a key");
            let (participant, key) = line.ok_or_else(damaged)?;
            if self.key_file(&participant) != file {
                return Err(files::damaged(&file, "its name is another participant's"));
            }
            // A key whose destruction was cut short is gone all the same.
            if !self.destroyed.contains_key(&participant) {
                self.participants.insert(participant, key);
            }
        }
        Ok(())
    }

    /// Fails unless the keys are of this study.
    pub fn expect(&self, whose: Whose) -> Result<(), DataError> {
        match self.whose == whose {
            true => Ok(()),
            false => Err(DataError::AnotherStudy {
                chain: self.whose.chain,
                study: self.whose.study,
            }),
        }
    }

    /// Whose keys these are.
    pub fn whose(&self) -> Whose {
        self.whose
    }

    /// The participants with their public keys, in order of their pseudonyms.
    pub fn public_keys(&self) -> impl Iterator<Item = (&str, Key)> {
        let keys = self.participants.iter();
        keys.map(|(participant, key)| (participant.as_str(), Key(key.sealing_key().0)))
    }

    /// The participants with their private keys, in order of their pseudonyms.
    pub fn keys(&self) -> impl Iterator<Item = (Participant, &OpeningKey)> {
        let keys = self.participants.iter();
        keys.map(|(participant, key)| (Participant(participant.clone()), key))
    }

    /// The records of destroyed keys.
    pub fn destroyed(&self) -> impl Iterator<Item = &DestroyedKey> {
        self.destroyed.values()
    }

    /// The pseudonyms that a key stands for, or stood for until it was destroyed.
    pub(crate) fn names(&self) -> Names {
        let held = self.participants.keys();
        Names::of(held.chain(self.destroyed.keys()).map(String::as_str))
    }

    /// Whose a device is, as far as exports have found out.
    pub fn owner(&self, device: DeviceId) -> Option<&str> {
        self.devices.get(&device).map(String::as_str)
    }

    /// The devices of a participant, as far as exports have found out.
    pub fn devices_of(&self, participant: &str) -> Vec<DeviceId> {
        let devices = self.devices.iter();
        let own = devices.filter(|(_, owner)| *owner == participant);
        own.map(|(device, _)| *device).collect()
    }

    /// Remembers whose devices are. Needed to destroy a key: the record names the devices.
    pub fn remember(&mut self, found: &BTreeMap<DeviceId, String>) -> Result<(), DataError> {
        let is_known = |device: &DeviceId, owner: &String| self.devices.get(device) == Some(owner);
        let new = found
            .iter()
            .filter(|&(device, owner)| !is_known(device, owner));
        let lines: Vec<DeviceLine> = new
            .map(|(device, participant)| DeviceLine {
                device: *device,
                participant: participant.clone(),
            })
            .collect();
        files::append_all(&self.file("devices.ndjson"), &lines)?;
        self.devices.extend(found.clone());
        Ok(())
    }

    /// The key that signs datasets.
    pub fn holder(&self) -> Result<SigningKey, DataError> {
        let file = self.holder_file();
        if !file.exists() {
            return Err(DataError::NoHolderKey);
        }
        let text = files::read_private(&file)?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), &mut *seed)
            .map_err(|_| files::damaged(&file, "not 64 hexadecimal digits"))?;
        Ok(SigningKey::from_bytes(&seed))
    }

    fn write_holder(&self, seed: &[u8; 32]) -> Result<(), DataError> {
        let digits = Zeroizing::new(hex::encode(seed));
        let line = Zeroizing::new(format!("{}\n", &*digits));
        files::write_key(&self.holder_file(), line.as_bytes())
    }

    fn holder_file(&self) -> PathBuf {
        self.file("holder.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn key_file(&self, participant: &str) -> PathBuf {
        let participants = self.path.join("participants");
        participants.join(format!("{}.key", file_name(participant)))
    }
}

/// 32 bytes of the system's randomness.
fn random() -> Result<Zeroizing<[u8; 32]>, DataError> {
    let mut bytes = Zeroizing::new([0; 32]);
    let filled = OsRng.try_fill_bytes(&mut *bytes);
    filled.map_err(|error| DataError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// A pseudonym as a file's name: other characters than letters, digits, `-` and `_` as `%` and their bytes.
fn file_name(participant: &str) -> String {
    let mut name = String::new();
    for byte in participant.bytes() {
        match byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

fn parse_line(line: &str) -> Option<(String, OpeningKey)> {
    let (participant, digits) = line.split_once(' ')?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *bytes).ok()?;
    check_pseudonym(participant).ok()?;
    Some((participant.to_owned(), OpeningKey::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests;
