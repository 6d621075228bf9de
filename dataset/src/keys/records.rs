// SPDX-License-Identifier: Apache-2.0

//! What a key folder has on record beside its keys. It goes into every copy: wherever one brings the folder back, what was erased
//! stays erased, the orders are there to be given again, and auditors get what they are owed.

use std::collections::HashSet;

use mhealth_auditor::audit::Erasure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::backup::CopyLine;
use super::orders::OrderLine;
use super::{files, DestroyedKey, DeviceLine, KeyFolder};
use crate::error::DataError;

/// The lines of the folder's records, by file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Records {
    devices: String,
    copies: String,
    destroyed: String,
    erasures: String,
    orders: String,
}

impl Records {
    pub(super) fn of(folder: &KeyFolder) -> Result<Self, DataError> {
        let text = |name: &str| files::text(&folder.file(name));
        Ok(Self {
            devices: text("devices.ndjson")?,
            copies: text("copies.ndjson")?,
            destroyed: text("destroyed.ndjson")?,
            erasures: text("erasures.ndjson")?,
            orders: text("orders.ndjson")?,
        })
    }

    /// Each with its file. What was erased comes first, and orders are for auditors before they are for relays.
    fn files(&self) -> [(&'static str, &str); 5] {
        [
            ("destroyed.ndjson", &self.destroyed),
            ("erasures.ndjson", &self.erasures),
            ("orders.ndjson", &self.orders),
            ("devices.ndjson", &self.devices),
            ("copies.ndjson", &self.copies),
        ]
    }

    /// How many bytes they take at most as a part of JSON.
    pub(super) fn room(&self) -> usize {
        // A line has nothing that is written with more than two bytes instead of one.
        let files = self.files();
        files.iter().map(|(_, text)| 2 * text.len()).sum()
    }

    /// What of it a folder does not have.
    fn new_to(&self, folder: &KeyFolder) -> Result<Self, DataError> {
        let new = |name: &str, lines: &str| -> Result<String, DataError> {
            let text = files::text(&folder.file(name))?;
            let known: HashSet<&str> = text.lines().collect();
            let new = lines.lines().filter(|line| !known.contains(line));
            Ok(new.flat_map(|line| [line, "\n"]).collect())
        };
        Ok(Self {
            devices: new("devices.ndjson", &self.devices)?,
            copies: new("copies.ndjson", &self.copies)?,
            destroyed: new("destroyed.ndjson", &self.destroyed)?,
            erasures: new("erasures.ndjson", &self.erasures)?,
            orders: new("orders.ndjson", &self.orders)?,
        })
    }
}

impl KeyFolder {
    /// Learns what a copy has on record and this folder has not, which is to be [written](Self::write_records) before any key is
    /// taken from the copy.
    pub(super) fn learn(&mut self, copy: &Records) -> Result<Records, DataError> {
        let new = copy.new_to(self)?;
        let devices: Vec<DeviceLine> = parse(&new.devices)?;
        let destroyed: Vec<DestroyedKey> = parse(&new.destroyed)?;
        let orders: Vec<OrderLine> = parse(&new.orders)?;
        parse::<CopyLine>(&new.copies)?;
        parse::<Erasure>(&new.erasures)?;
        if !orders.iter().all(|line| line.order.is_signed()) {
            return Err(DataError::NotABackUp);
        }
        for record in destroyed {
            self.check_same_kind(&record)?;
            self.participants.remove(&record.participant);
            self.take_record(record);
        }
        self.lay_aside();
        let devices = devices.into_iter();
        self.devices
            .extend(devices.map(|line| (line.device, line.participant)));
        Ok(new)
    }

    /// Fails where a participant is erased in the copy as one who had no key, and has or had one here, or the other way round: these are
    /// two, and neither's record may take the other's key out of use.
    fn check_same_kind(&self, record: &DestroyedKey) -> Result<(), DataError> {
        let participant = &record.participant;
        let known = self.destroyed.get(participant);
        let is_another = match record.key {
            None => self.check_keyless(participant).is_err(),
            Some(_) => known.is_some_and(|known| known.key.is_none()),
        };
        match is_another {
            true => Err(DataError::Usage(format!(
                "{participant} was erased without a key there and has or had one here, or the other way round: take this copy into a \
                 new folder"
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn write_records(&self, new: &Records) -> Result<(), DataError> {
        let mut records = new.files().into_iter();
        records.try_for_each(|(name, lines)| files::append_text(&self.file(name), lines))
    }

    /// Whose key was destroyed, as a copy has it on record, and is in a file of this folder still, be it under another name. Nothing
    /// uses it; [`destroy`](Self::destroy) takes it away.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        let destroyed = self.destroyed.keys().map(String::as_str);
        destroyed.filter(move |participant| {
            let mut unused = self.unused.values();
            self.key_file(participant).exists() || unused.any(|owner| owner == participant)
        })
    }
}

fn parse<T: DeserializeOwned>(lines: &str) -> Result<Vec<T>, DataError> {
    let lines = lines.lines().map(serde_json::from_str);
    let parsed: Result<Vec<T>, _> = lines.collect();
    parsed.map_err(|_| DataError::NotABackUp)
}
