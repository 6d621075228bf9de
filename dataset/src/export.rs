// SPDX-License-Identifier: Apache-2.0

//! Makes a dataset: from an audit, the relays' exports, evidence, and the participants' keys.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hashchain::DeviceId;
use mhealth_api::Key;
use mhealth_auditor::verdict::JudgedEntry;
use mhealth_auditor::Verdict;
use rayon::prelude::*;

use crate::audit::{self, AuditedDevice, Heading, Sink};
use crate::corrections::arrange;
use crate::count::{Count, Missing};
use crate::envelopes::{Envelopes, NamedFile};
use crate::error::DataError;
use crate::folder::Unfinished;
use crate::formats::{self, Beside, Format, Writer};
use crate::keys::{check_pseudonym, KeyFolder, Whose};
use crate::manifest::{describe, names, program, AuditRef, Manifest, SCHEMA};
use crate::nights::Nights;
use crate::owners::{Only, Owner, Owners};
use crate::person::Package;
use crate::records::{Ready, Records};
use crate::registry::{Registry, Sources};
use crate::row::{Inside, Problem, Row};
use crate::wanted;

/// Entries whose envelopes are in memory at the same time, to be opened by all processors.
const AT_A_TIME: usize = 64;

/// What a dataset is made from, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// The audit's JSON report.
    pub audit: PathBuf,
    /// Public halves of report keys of auditors who are trusted. If there are any, one of them has to have signed the report.
    pub signed_by: Vec<Key>,
    /// The relays' exports.
    pub exports: Vec<NamedFile>,
    /// The evidence.
    pub evidence: Sources,
    /// The folder that is made.
    pub out: PathBuf,
    /// The formats.
    pub formats: Vec<Format>,
    /// Takes entries that are not valid, too.
    pub include_flagged: bool,
    /// Goes on where keys are lacking.
    pub allow_missing_keys: bool,
    /// Only what this participant's phones made, with a page for that person, who is named as [`KeyFolder::person`] takes it.
    pub participant: Option<String>,
    /// Devices of this participant's that seal to nobody. Whoever has any needs no key.
    pub devices: Vec<DeviceId>,
    /// When it is made, in seconds since 1970.
    pub made_at: u64,
}

impl Job {
    fn not_an_audit(&self, why: impl Into<String>) -> DataError {
        DataError::NotAnAudit {
            file: self.audit.display().to_string(),
            why: why.into(),
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Runs of exports that were read.
    Runs(u64),
    /// Rows that were written.
    Rows(u64),
}

/// Makes a dataset. It is there as a whole, or not at all.
pub fn export(
    job: &Job,
    keys: &mut KeyFolder,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, DataError> {
    let folder = Unfinished::begin(&job.out)?;
    let holder = keys.holder()?;
    let signed = audit::signature(&job.audit, &job.signed_by, keys.whose())?;
    let registry = Registry::load(&job.evidence)?;
    let participant = participant_of(job, keys)?;
    let only = participant.as_deref().map(|participant| Only {
        participant,
        plain: &job.devices,
    });
    let owners = Owners::of(keys, &registry, only)?;
    let (wanted, looked_through) = wanted::digests(job, &registry, &owners)?;
    let envelopes = Envelopes::index(&job.exports, wanted, &mut |runs| {
        progress(Progress::Runs(runs));
    })?;
    let mut making = Making {
        job,
        participant: participant.as_deref(),
        whose: keys.whose(),
        registry: &registry,
        owners: &owners,
        envelopes,
        beside: Beside::begin(&folder)?,
        folder: &folder,
        writers: Vec::new(),
        count: Count::default(),
        nights: Nights::default(),
        missing: None,
        lacking: BTreeSet::new(),
        last: None,
        progress,
    };
    let audit = audit::read(&job.audit, &mut making)?;
    let Making {
        beside,
        writers,
        count,
        missing,
        lacking,
        envelopes,
        ..
    } = making;
    beside.end()?;
    for writer in writers {
        writer.end()?;
    }
    if let Some(missing) = missing {
        return Err(missing.into_error());
    }
    if let (Some(device), false) = (lacking.first(), job.allow_missing_keys) {
        return Err(DataError::MissingKeys {
            count: lacking.len(),
            device: *device,
        });
    }
    if participant.is_none() && !count.agrees_with(&audit.summary) {
        return Err(job.not_an_audit("its sums are not those of its entries"));
    }
    let mut before = [signed.as_ref().map(|it| it.sha256), looked_through].into_iter();
    if before.any(|it| it.is_some_and(|it| it != audit.sha256)) {
        return Err(job.not_an_audit("it was changed while it was read"));
    }
    let mut manifest = Manifest {
        schema: SCHEMA.into(),
        program: program(option_env!("MHEALTH_COMMIT")),
        made_at: job.made_at,
        holder: Key(holder.verifying_key().to_bytes()),
        chain: audit.heading.chain,
        study: audit.heading.study,
        title: audit.heading.title.clone(),
        participant: participant.clone(),
        audit: AuditRef::of(&audit, signed.map(|it| it.key)),
        evidence: registry.files.clone(),
        exports: envelopes.read,
        include_flagged: job.include_flagged,
        devices: count.devices,
        participants: count.participants.len() as u64,
        rows: count.rows,
        current: count.current,
        records_in_parts: count.records_in_parts,
        parts: count.parts,
        not_audited: wanted::registered(&registry, &owners).count() as u64 - count.audited,
        verdicts: count.verdicts,
        left_out: count.left_out,
        problems: count.problems,
        unknown_media_types: count.media_types,
        files: Vec::new(),
    };
    for name in names(folder.path())? {
        if !name.starts_with('.') {
            manifest.files.push(describe(folder.path(), &name)?);
        }
    }
    for (name, text) in manifest.sign(&holder) {
        let mut file = folder.file(name)?;
        file.bytes(text.as_bytes())?;
        file.end()?;
    }
    let Owners { devices, found, .. } = owners;
    drop(devices);
    // Who destroys a key later has to know which devices it was for.
    keys.remember(&found)?;
    folder.finish()?;
    Ok(manifest)
}

/// The pseudonym of the only person whose data are wanted, if there is one.
fn participant_of(job: &Job, keys: &KeyFolder) -> Result<Option<String>, DataError> {
    let Some(named) = &job.participant else {
        return Ok(None);
    };
    let person = match keys.person(named) {
        Err(DataError::NoSuchParticipant(named)) if !job.devices.is_empty() => {
            check_pseudonym(&named)?;
            named
        }
        other => other?,
    };
    Ok(Some(person))
}

struct Making<'a> {
    job: &'a Job,
    /// The pseudonym of the only person whose data are taken.
    participant: Option<&'a str>,
    whose: Whose,
    registry: &'a Registry,
    owners: &'a Owners<'a>,
    envelopes: Envelopes,
    folder: &'a Unfinished,
    beside: Beside,
    writers: Vec<Box<dyn Writer + Send>>,
    count: Count,
    nights: Nights,
    missing: Option<Missing>,
    /// Devices with valid entries that no key of the folder opens.
    lacking: BTreeSet<DeviceId>,
    /// The device that came last.
    last: Option<DeviceId>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Sink for Making<'_> {
    fn heading(&mut self, heading: &Heading) -> Result<(), DataError> {
        if heading.chain != self.job.evidence.genesis {
            return Err(DataError::AnotherChain(heading.chain));
        }
        let about = Whose {
            chain: heading.chain,
            study: heading.study,
        };
        if self.whose != about {
            return Err(DataError::AnotherStudy {
                chain: self.whose.chain,
                study: self.whose.study,
            });
        }
        self.registry.reaches(heading.block)?;
        self.writers = formats::writers(&self.job.formats, self.folder, heading)?;
        if let Some(participant) = self.participant {
            let package = Package::begin(self.folder, heading, participant, self.owners)?;
            self.writers.push(Box::new(package));
        }
        Ok(())
    }

    fn device(&mut self, heading: &Heading, device: AuditedDevice) -> Result<(), DataError> {
        let registered = self.registry.device(device.device)?;
        if registered.study != heading.study {
            let (device, study) = (device.device, registered.study);
            let why = format!("device {device} is of study {study}, as the evidence has it");
            return Err(self.job.not_an_audit(why));
        }
        if registered.key != device.key || (registered.entries.len() as u64) < device.length {
            return Err(DataError::EvidenceContradicts {
                device: device.device,
                sequence: device.length,
            });
        }
        let follows = device.follows(self.last);
        follows.map_err(|why| self.job.not_an_audit(why))?;
        self.last = Some(device.device);
        let Some(owner) = self.owners.devices.get(&device.device) else {
            return Ok(());
        };
        self.count.devices += 1;
        self.count.audited += device.length;
        let described = formats::Device {
            number: device.device,
            key: device.key,
            participant: match owner {
                Owner::Key(participant, _) => Some(participant.0.as_str()),
                _ => None,
            },
        };
        let names = &self.owners.names;
        let (mut rows, mut records) = (Vec::new(), Records::of(names));
        for entries in device.entries.chunks(AT_A_TIME) {
            let mut taken = Vec::new();
            for entry in entries {
                self.check(entry, &device)?;
                owner.check(entry, device.device)?;
                self.count.entries += 1;
                let verdict = entry.verdict.as_str();
                *self.count.verdicts.entry(verdict.into()).or_default() += 1;
                let left_out = match (entry.verdict, owner) {
                    (Verdict::Valid, Owner::Destroyed) => Some("key_destroyed"),
                    (Verdict::Valid, _) => None,
                    _ if self.job.include_flagged => None,
                    _ => Some(verdict),
                };
                match left_out {
                    Some(why) => *self.count.left_out.entry(why.into()).or_default() += 1,
                    None => taken.push((Row::of(entry, &device), self.envelope(entry, &device)?)),
                }
            }
            let open = |(mut row, envelope): (Row, Option<Vec<u8>>)| {
                let inside = row.open(envelope.as_deref(), &device.key, owner, names);
                (row, inside)
            };
            let opened: Vec<(Row, Inside)> = taken.into_par_iter().map(open).collect();
            for (row, inside) in opened {
                if row.verdict == Verdict::Valid && row.problem == Some(Problem::NoKey) {
                    self.lacking.insert(row.device);
                }
                for ready in records.add(row, inside) {
                    rows.push(self.put_aside(ready, owner)?);
                }
            }
        }
        if let Some(ready) = records.end() {
            rows.push(self.put_aside(ready, owner)?);
        }
        arrange(&mut rows);
        self.nights.choose(&mut rows);
        rows.iter().for_each(|row| self.count.row(row));
        self.writers.par_iter_mut().try_for_each(|writer| {
            writer.device(described)?;
            rows.iter().try_for_each(|row| writer.row(row))
        })?;
        (self.progress)(Progress::Rows(self.count.rows));
        Ok(())
    }
}

impl Making<'_> {
    /// The evidence has to have what the audit says is registered, and what it calls right is. What the audit did not see any more
    /// has no link.
    fn check(&self, entry: &JudgedEntry, device: &AuditedDevice) -> Result<(), DataError> {
        let unseen = entry.verdict == Verdict::NotCovered && entry.link.0 == [0; 32];
        let (number, sequence) = (device.device, entry.sequence);
        let is_right = matches!(entry.verdict, Verdict::Valid | Verdict::Erased);
        if is_right && !entry.registered {
            let why = format!("device {number}: entry {sequence} is right, and not registered");
            return Err(self.job.not_an_audit(why));
        }
        let has = || {
            self.registry
                .has(number, sequence, entry.link, entry.digest)
        };
        match !entry.registered || unseen || has() {
            true => Ok(()),
            false => Err(DataError::EvidenceContradicts {
                device: number,
                sequence,
            }),
        }
    }

    fn envelope(
        &mut self,
        entry: &JudgedEntry,
        device: &AuditedDevice,
    ) -> Result<Option<Vec<u8>>, DataError> {
        // What was erased is used by nobody, even where a relay and a key are left.
        if entry.verdict == Verdict::Erased {
            return Ok(None);
        }
        let envelope = self.envelopes.get(&entry.digest)?;
        if envelope.is_none() && entry.verdict == Verdict::Valid {
            let missing = self.missing.get_or_insert_with(|| Missing {
                count: 0,
                device: device.device,
                sequence: entry.sequence,
                held_by: entry.held_by.join(", "),
            });
            missing.count += 1;
        }
        Ok(envelope)
    }

    /// Writes down at once what goes into no row: it may be large, and the rows of a device are kept until all are there.
    fn put_aside(&mut self, mut ready: Ready, owner: &Owner<'_>) -> Result<Row, DataError> {
        let row = &ready.row;
        if self.participant.is_some() && row.problem == Some(Problem::AnotherParticipant) {
            // Whose the device is, is the holder's word, and the device says something else.
            if let (Owner::Plain(_), Verdict::Valid) = (owner, row.verdict) {
                return Err(DataError::DeviceOfAnother(row.device));
            }
            // Somebody else's night is nothing for this person.
            ready.raw = None;
        }
        self.count.ready(&ready);
        self.beside.write(ready)
    }
}
