// SPDX-License-Identifier: Apache-2.0

//! Holds the rows of each file against the evidence, against the parts of records, and against the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashchain::DeviceId;
use mhealth_api::Hash;

use super::audited::{Audited, Contradiction};
use super::complete::Rows;
use super::seen::Seen;
use crate::error::DataError;
use crate::manifest::{AuditRef, Manifest};
use crate::places::{self, Claim, Has};
use crate::registry::{EvidenceFile, Registry};

/// A record in parts, by `parts.ndjson`.
#[derive(Default)]
struct Record {
    /// That of its first part that is not valid.
    verdict: String,
    parts: u64,
    last: u64,
}

/// A check of one dataset, file by file.
pub(super) struct Check<'a> {
    manifest: &'a Manifest,
    registry: &'a Registry,
    audited: Option<&'a Audited>,
    /// The entries that are parts of records.
    parts: Seen,
    /// The records that they are of, by the places of their rows.
    records: BTreeMap<(DeviceId, u64), Record>,
    key_destroyed: Option<Vec<DeviceId>>,
}

impl<'a> Check<'a> {
    pub(super) fn of(
        manifest: &'a Manifest,
        registry: &'a Registry,
        audited: Option<&'a Audited>,
    ) -> Self {
        Check {
            manifest,
            registry,
            audited,
            parts: Seen::default(),
            records: BTreeMap::new(),
            key_destroyed: None,
        }
    }

    /// Checks a file, and tells how many rows it has, if it is one with rows. What is a part of a record has to be known before the rows
    /// come.
    pub(super) fn file(&mut self, folder: &Path, name: &str) -> Result<Option<u64>, DataError> {
        let Some(has) = Has::of(name) else {
            return Ok(None);
        };
        let (mut count, mut seen) = (0, Seen::default());
        places::read(folder, name, &mut |row, claim| {
            count += 1;
            let claim = check_row(self.registry, self.manifest, name, row, claim)?;
            let bad = |why| DataError::BadRow {
                file: name.to_owned(),
                row,
                why,
            };
            if has != Has::Points && !seen.add(self.registry, &claim) {
                return Err(bad("its entry has a row before it"));
            }
            if has == Has::EveryPart {
                self.part(&claim).map_err(bad)?;
            }
            self.compare(has, name, row, &claim)
        })?;
        let expected = match has {
            Has::EveryRow => self.manifest.rows,
            Has::EveryPart => self.manifest.parts,
            Has::Points | Has::Payloads => count,
        };
        let bad = |why| DataError::BadRow {
            file: name.to_owned(),
            row: count,
            why,
        };
        if count != expected {
            return Err(bad("there are more or fewer rows than the holder signed"));
        }
        match has {
            Has::EveryPart => {
                self.parts = seen;
                self.end_parts().map_err(bad)?;
            }
            Has::EveryRow => {
                let mut records = self.records.keys();
                if !records.all(|(device, sequence)| seen.has(*device, *sequence)) {
                    return Err(bad("a record in parts has no row"));
                }
                self.end_rows(name, &seen)?;
            }
            Has::Points | Has::Payloads => {}
        }
        Ok(Some(count))
    }

    /// Takes a part to its record.
    fn part(&mut self, claim: &Claim) -> Result<(), &'static str> {
        let Some(row) = claim.row.filter(|_| claim.registered) else {
            return Err("it does not say of which record it is a part");
        };
        let record = self.records.entry((claim.device, row)).or_default();
        if claim.sequence <= record.last {
            return Err("the parts of its record are not in order");
        }
        if ["", "valid"].contains(&record.verdict.as_str()) {
            record.verdict.clone_from(&claim.verdict);
        }
        record.parts += 1;
        record.last = claim.sequence;
        Ok(())
    }

    fn end_parts(&self) -> Result<(), &'static str> {
        let mut records = self.records.iter();
        if !records.all(|((_, row), record)| record.last == *row) {
            return Err("the row of a record is not at the last of its parts");
        }
        match self.records.len() as u64 == self.manifest.records_in_parts {
            true => Ok(()),
            false => Err("there are more or fewer records in parts than the holder signed"),
        }
    }

    /// Holds a row against the parts of its record, and against the audit.
    fn compare(&self, has: Has, file: &str, row: u64, claim: &Claim) -> Result<(), DataError> {
        let place = (claim.device, claim.sequence);
        let record = self.records.get(&place);
        let record = record.filter(|_| claim.registered && has != Has::EveryPart);
        if [Has::EveryRow, Has::Points].contains(&has) {
            let is_part = claim.registered && self.parts.has(place.0, place.1);
            as_record(claim, record, is_part).map_err(|why| DataError::BadRow {
                file: file.to_owned(),
                row,
                why,
            })?;
        }
        // The parts of a record are compared one by one.
        let of_record = record.is_some_and(|record| record.verdict == claim.verdict);
        let differs = self.audited.and_then(|it| it.differs(claim, of_record));
        match differs {
            None => Ok(()),
            Some(what) => Err(Contradiction::Row {
                file: file.to_owned(),
                row,
                device: place.0,
                sequence: place.1,
                what,
            }
            .into()),
        }
    }

    fn end_rows(&mut self, file: &str, rows: &Seen) -> Result<(), DataError> {
        if let Some(audited) = self.audited {
            let held = Rows {
                manifest: self.manifest,
                registry: self.registry,
                file,
                rows,
                parts: &self.parts,
            };
            self.key_destroyed = Some(held.held_against(audited)?);
        }
        Ok(())
    }

    /// Holds the manifest against itself, and against the audit.
    pub(super) fn end(self) -> Result<Option<Vec<DeviceId>>, DataError> {
        let manifest = self.manifest;
        let wrong = |why| Err(Contradiction::Manifest(why).into());
        let sum = |counts: &BTreeMap<String, u64>| -> u128 {
            let counts = counts.values().map(|count| u128::from(*count));
            counts.sum()
        };
        let [rows, records, parts] =
            [manifest.rows, manifest.records_in_parts, manifest.parts].map(u128::from);
        if sum(&manifest.verdicts) + records != sum(&manifest.left_out) + rows + parts {
            return wrong("its entries, rows and what is left out do not add up");
        }
        let Some(audited) = self.audited else {
            return Ok(None);
        };
        let heading = &audited.audit.heading;
        let about = (heading.chain, heading.study, &heading.title);
        if about != (manifest.chain, manifest.study, &manifest.title)
            || AuditRef::of(&audited.audit, manifest.audit.signed_by) != manifest.audit
        {
            return wrong("what it says of the audit is not what the report has");
        }
        if manifest.participant.is_none() {
            if manifest.devices != audited.devices.len() as u64 {
                return wrong("it is about more or fewer devices than the audit");
            }
            // Later evidence has more.
            let is_same = digests(&self.registry.files) == digests(&manifest.evidence);
            if is_same && self.not_audited(audited) != Some(manifest.not_audited) {
                return wrong("the audit lacks more or fewer entries of the evidence than it says");
            }
        }
        Ok(self.key_destroyed)
    }

    /// How many entries of the study the evidence has, and the audit has not.
    fn not_audited(&self, audited: &Audited) -> Option<u64> {
        let devices = self.registry.devices.values();
        let own = devices.filter(|device| device.study == self.manifest.study);
        let registered: usize = own.map(|device| device.entries.len()).sum();
        let devices = audited.devices.values();
        let audited: usize = devices.map(|device| device.registered.len()).sum();
        registered.checked_sub(audited).map(|it| it as u64)
    }
}

/// Which files of evidence these are, in whatever order they were named.
fn digests(files: &[EvidenceFile]) -> BTreeSet<Hash> {
    files.iter().map(|file| file.sha256).collect()
}

/// Holds a row against the parts that its record has, if it is in parts.
fn as_record(claim: &Claim, record: Option<&Record>, is_part: bool) -> Result<(), &'static str> {
    match record {
        None if is_part => return Err("it is a part of a record, which has its row elsewhere"),
        Some(record) if record.verdict != claim.verdict => {
            return Err("its verdict is not that of its record's parts");
        }
        _ => {}
    }
    let parts = record.map_or_else(String::new, |record| record.parts.to_string());
    let mut said = claim.said.iter();
    let is_so = said.all(|(name, text)| match *name {
        "parts" => *text == parts,
        "span" => text.is_empty() == record.is_none(),
        _ => true,
    });
    match is_so {
        true => Ok(()),
        false => Err("it says of the parts of its record what parts.ndjson does not"),
    }
}

fn check_row(
    registry: &Registry,
    manifest: &Manifest,
    file: &str,
    row: u64,
    claim: Option<Claim>,
) -> Result<Claim, DataError> {
    let bad = |why| DataError::BadRow {
        file: file.to_owned(),
        row,
        why,
    };
    let claim = claim.ok_or_else(|| bad("it does not say which entry it is"))?;
    // Registered or not.
    if registry.is_of_another(claim.device, manifest.study) {
        return Err(bad(
            "its device is of another study than the dataset, as the evidence has it",
        ));
    }
    if !manifest.include_flagged && (claim.verdict != "valid" || !claim.registered) {
        return Err(bad(
            "it is not valid, and the dataset is said to have valid entries only",
        ));
    }
    if ["valid", "erased"].contains(&claim.verdict.as_str()) && !claim.registered {
        return Err(bad("it is called right, and is not registered"));
    }
    if claim.counts && claim.verdict != "valid" {
        return Err(bad("it is said to count, and is not valid"));
    }
    let Claim {
        device,
        sequence,
        link,
        digest,
        ..
    } = claim;
    // What the audit did not see any more has no link, and is never valid.
    let unseen = claim.verdict == "not_covered" && link.0 == [0; 32];
    let unseen = unseen && (1..=registry.length(device) as u64).contains(&sequence);
    match !claim.registered || unseen || registry.has(device, sequence, link, digest) {
        true => Ok(claim),
        false => Err(DataError::RowNotRegistered {
            file: file.to_owned(),
            row,
            device,
            sequence,
        }),
    }
}
