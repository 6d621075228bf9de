// SPDX-License-Identifier: Apache-2.0

//! What an audit says of every entry, to hold the rows of a dataset against it. A report may be larger than the memory: it is read a
//! device at a time, and of each entry about a hundred bytes are kept.

use std::collections::BTreeMap;
use std::path::Path;

use hashchain::{DataDigest, DeviceId, LinkHash};
use mhealth_api::Key;
use mhealth_auditor::verdict::JudgedEntry;
use mhealth_auditor::Verdict;

use crate::audit::{self, Audit, AuditedDevice, Heading, Sink};
use crate::columns::instant_text;
use crate::error::DataError;
use crate::places::Claim;
use crate::registry::{index, Registry};
use crate::row::Row;

/// Where a dataset says something else than the audit that it was made from, or than it says itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A row is not what the audit says of its entry.
    #[error("{file}, row {row}: device {device}, entry {sequence}: its {what} is not what the audit has")]
    Row {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// The device.
        device: DeviceId,
        /// The place.
        sequence: u64,
        /// What is another: the name of a column, or `entry` if the audit has none there.
        what: &'static str,
    },
    /// An entry has no row.
    #[error(
        "{file} has no row for device {device}, entry {sequence}, which the audit calls {verdict}"
    )]
    LeftOut {
        /// The file.
        file: String,
        /// The device.
        device: DeviceId,
        /// The place.
        sequence: u64,
        /// What the audit says of it.
        verdict: Verdict,
    },
    /// The manifest is wrong.
    #[error("dataset.json: {0}")]
    Manifest(&'static str),
}

impl Contradiction {
    /// The contradiction as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Contradiction::Row { .. } => "row_contradicts_audit",
            Contradiction::LeftOut { .. } => "entry_left_out",
            Contradiction::Manifest(_) => "bad_manifest",
        }
    }
}

/// What is kept of an audit.
pub(super) struct Audited {
    pub(super) audit: Audit,
    pub(super) devices: BTreeMap<DeviceId, Device>,
}

/// What the audit says of a device's entries.
#[derive(Default)]
pub(super) struct Device {
    /// The registered ones, from the first on.
    pub(super) registered: Vec<Judged>,
    /// Those that are not, by place and link.
    pub(super) attempts: BTreeMap<(u64, LinkHash), (DataDigest, Judged)>,
}

/// What the audit says of an entry.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// Whether the audit saw its link: a node may have let go of it.
    seen: bool,
    block: Option<u64>,
    submitter: Option<Key>,
    not_before: Option<u64>,
    not_after: Option<u64>,
    received_at: Option<u64>,
}

impl Audited {
    /// Reads a report. Its entries have to be those of the evidence, as far as that has its devices.
    pub(super) fn read(path: &Path, registry: &Registry) -> Result<Self, DataError> {
        let mut reading = Reading {
            path,
            registry,
            devices: BTreeMap::new(),
        };
        let audit = audit::read(path, &mut reading)?;
        Ok(Audited {
            audit,
            devices: reading.devices,
        })
    }

    /// What of a row is not as the audit has it, if anything. The verdict of a record in parts is none of a single entry.
    pub(super) fn differs(&self, claim: &Claim, of_record: bool) -> Option<&'static str> {
        let Some(judged) = self.entry(claim) else {
            return Some("entry");
        };
        if !of_record && judged.verdict.as_str() != claim.verdict {
            return Some("verdict");
        }
        let mut said = claim.said.iter();
        let other = said.find(|(name, text)| !judged.says(name, text));
        other.map(|(name, _)| *name)
    }

    fn entry(&self, claim: &Claim) -> Option<&Judged> {
        let device = self.devices.get(&claim.device)?;
        if claim.registered {
            let judged = device.registered.get(index(claim.sequence)?)?;
            // The evidence has the link of what a row names, and none of what has none.
            return Some(judged).filter(|it| !it.seen || claim.link.0 != [0; 32]);
        }
        let place = (claim.sequence, claim.link);
        let (digest, judged) = device.attempts.get(&place)?;
        Some(judged).filter(|_| *digest == claim.digest)
    }
}

impl Judged {
    fn of(entry: &JudgedEntry, device: &AuditedDevice) -> Self {
        let row = Row::of(entry, device);
        Judged {
            verdict: row.verdict,
            seen: row.link.0 != [0; 32],
            block: row.block,
            submitter: row.submitter,
            not_before: row.not_before,
            not_after: row.not_after,
            received_at: row.received_at,
        }
    }

    /// Whether this is the text of that column.
    fn says(&self, column: &str, text: &str) -> bool {
        let said = match column {
            "block" => self.block.map(|block| block.to_string()),
            "submitter" => self.submitter.map(|account| account.to_string()),
            "not_before" => Some(instant_text(self.not_before)),
            "not_after" => Some(instant_text(self.not_after)),
            "received_at" => Some(instant_text(self.received_at)),
            // Of the parts of records the audit says nothing.
            _ => return true,
        };
        bare(text) == bare(&said.unwrap_or_default())
    }
}

/// A text without what REDCap's instants do not have.
fn bare(text: &str) -> String {
    text.replace(['T', 'Z', ' '], "")
}

struct Reading<'a> {
    path: &'a Path,
    registry: &'a Registry,
    devices: BTreeMap<DeviceId, Device>,
}

impl Sink for Reading<'_> {
    fn heading(&mut self, _: &Heading) -> Result<(), DataError> {
        Ok(())
    }

    fn device(&mut self, _: &Heading, device: AuditedDevice) -> Result<(), DataError> {
        let last = self.devices.last_key_value().map(|(number, _)| *number);
        device.follows(last).map_err(|why| DataError::NotAnAudit {
            file: self.path.display().to_string(),
            why,
        })?;
        let mut kept = Device::default();
        for entry in &device.entries {
            let judged = Judged::of(entry, &device);
            let (sequence, link, digest) = (entry.sequence, entry.link, entry.digest);
            if !entry.registered {
                kept.attempts.insert((sequence, link), (digest, judged));
                continue;
            }
            let is_known = self.registry.devices.contains_key(&device.device);
            let has = || self.registry.has(device.device, sequence, link, digest);
            if is_known && judged.seen && !has() {
                return Err(DataError::EvidenceContradicts {
                    device: device.device,
                    sequence,
                });
            }
            kept.registered.push(judged);
        }
        self.devices.insert(device.device, kept);
        Ok(())
    }
}
