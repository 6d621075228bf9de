// SPDX-License-Identifier: Apache-2.0

//! Reads an audit's JSON report, one device at a time: a report may be larger than the memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_auditor::report::SCHEMA;
use mhealth_auditor::signature::{signature_path, verify_file, Expected, ReportFault, Statement};
use mhealth_auditor::verdict::JudgedEntry;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::DataError;
use crate::input::{self, Hashing};
use crate::keys::Whose;

/// What an audit is about, as far as a dataset needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Heading {
    /// Who ran it.
    pub auditor: String,
    /// The program that made it.
    pub program: String,
    /// When it was run, in seconds since 1970.
    pub run_at: u64,
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
    /// Its title.
    pub title: String,
    /// The finalised block that it is about.
    pub block: u64,
    /// Its hash.
    pub block_hash: Hash,
    /// When the block was made, in seconds since 1970.
    pub block_time: Option<u64>,
    /// What is only the node's word.
    pub standing: Standing,
}

/// What an audit rests on.
#[derive(Clone, Debug, Deserialize)]
pub struct Standing {
    /// What only the node says; nothing if all is proved.
    words: Vec<IgnoredAny>,
}

impl Heading {
    /// Whether the audit proved all that it read of the chain.
    pub fn is_proved(&self) -> bool {
        self.standing.words.is_empty()
    }
}

/// A judged device.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditedDevice {
    /// Its number.
    pub device: DeviceId,
    /// Its key.
    pub key: Key,
    /// The block that enrolled it.
    pub enrolled_at: u64,
    /// How many of its entries are registered.
    pub length: u64,
    /// When blocks were made, in seconds since 1970.
    pub block_times: BTreeMap<u64, u64>,
    /// The judged entries.
    pub entries: Vec<JudgedEntry>,
}

impl AuditedDevice {
    /// Fails unless it comes behind that device, with its registered entries all there, each once and in order: a report that says
    /// something twice would make rows twice.
    pub(crate) fn follows(&self, last: Option<DeviceId>) -> Result<(), String> {
        let registered = self.entries.iter().filter(|entry| entry.registered);
        let is_whole = registered.map(|entry| entry.sequence).eq(1..=self.length);
        match is_whole && last < Some(self.device) {
            true => Ok(()),
            false => {
                let device = self.device;
                Err(format!("device {device} or its entries are not in order"))
            }
        }
    }
}

/// The audit in figures.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// How many devices were judged.
    pub devices: u64,
    /// How many entries got a verdict.
    pub entries: u64,
    /// How many got each.
    pub verdicts: BTreeMap<String, u64>,
    /// `right`, `wrong`, `not_covered` or `not_proved`.
    pub outcome: String,
}

/// An audit that was read to its end.
#[derive(Clone, Debug)]
pub struct Audit {
    /// What it is about.
    pub heading: Heading,
    /// Its figures.
    pub summary: Summary,
    /// SHA-256 of the file.
    pub sha256: Hash,
}

/// Takes what is read of an audit.
pub trait Sink {
    /// The heading, before any device.
    fn heading(&mut self, heading: &Heading) -> Result<(), DataError>;
    /// A device.
    fn device(&mut self, heading: &Heading, device: AuditedDevice) -> Result<(), DataError>;
}

/// What the auditor signed of a report with one of these keys. If there are none, nothing is asked for.
pub(crate) fn signature(
    report: &Path,
    keys: &[Key],
    about: Whose,
) -> Result<Option<Statement>, DataError> {
    if keys.is_empty() {
        return Ok(None);
    }
    input::must_be_file(report)?;
    let expected = Expected {
        keys: keys.to_vec(),
        chain: Some(about.chain),
        study: Some(about.study),
    };
    match verify_file(report, &signature_path(report), &expected) {
        Ok(statement) => Ok(Some(statement)),
        Err(ReportFault::Unreadable(why)) => Err(DataError::file(report)(why)),
        Err(why) => Err(DataError::Report {
            file: report.display().to_string(),
            why,
        }),
    }
}

/// Reads a report from its first byte to its last.
pub fn read(path: &Path, sink: &mut dyn Sink) -> Result<Audit, DataError> {
    let file = File::open(path).map_err(DataError::file(path))?;
    let mut reader = BufReader::with_capacity(1 << 16, Hashing::new(file));
    let mut json = serde_json::Deserializer::from_reader(&mut reader);
    let mut failed = None;
    let seed = Report {
        sink,
        failed: &mut failed,
    };
    let parsed = seed.deserialize(&mut json);
    let parsed = parsed.and_then(|parts| json.end().map(|()| parts));
    if let Some(error) = failed {
        return Err(error);
    }
    let bad = |why: String| DataError::NotAnAudit {
        file: path.display().to_string(),
        why,
    };
    let (heading, summary) = match parsed {
        Ok(parts) => parts,
        Err(error) if error.is_io() => return Err(DataError::file(path)(error.into())),
        // Its own words could have a value of the file.
        Err(error) => {
            return Err(bad(format!(
                "line {}, column {}",
                error.line(),
                error.column()
            )))
        }
    };
    Ok(Audit {
        heading,
        summary,
        sha256: reader.into_inner().finish(),
    })
}

struct Report<'a> {
    sink: &'a mut dyn Sink,
    /// What the sink failed with: serde has no place for it.
    failed: &'a mut Option<DataError>,
}

impl<'de> DeserializeSeed<'de> for Report<'_> {
    type Value = (Heading, Summary);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Report<'_> {
    type Value = (Heading, Summary);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audit's report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut known, mut heading, mut summary, mut judged) = (false, None, None, false);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "schema" => known = members.next_value::<String>()? == SCHEMA,
                "audit" if known && heading.is_none() => {
                    let read: Heading = members.next_value()?;
                    keep(self.failed, self.sink.heading(&read))?;
                    heading = Some(read);
                }
                "devices" if !judged => {
                    let heading = heading.as_ref();
                    members.next_value_seed(Devices {
                        heading: heading.ok_or_else(|| A::Error::missing_field("audit"))?,
                        sink: &mut *self.sink,
                        failed: &mut *self.failed,
                    })?;
                    judged = true;
                }
                "summary" => summary = Some(members.next_value()?),
                "audit" | "devices" => return Err(A::Error::custom("out of order")),
                // Reports may get members.
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        match (heading, summary, judged) {
            (Some(heading), Some(summary), true) => Ok((heading, summary)),
            _ => Err(A::Error::custom("a part is missing")),
        }
    }
}

struct Devices<'a> {
    heading: &'a Heading,
    sink: &'a mut dyn Sink,
    failed: &'a mut Option<DataError>,
}

impl<'de> DeserializeSeed<'de> for Devices<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Devices<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the judged devices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut devices: A) -> Result<(), A::Error> {
        while let Some(device) = devices.next_element::<AuditedDevice>()? {
            keep(self.failed, self.sink.device(self.heading, device))?;
        }
        Ok(())
    }
}

/// Puts a failure of the sink aside, and stops the reading.
fn keep<E: serde::de::Error>(
    failed: &mut Option<DataError>,
    done: Result<(), DataError>,
) -> Result<(), E> {
    done.map_err(|error| {
        *failed = Some(error);
        E::custom("stopped")
    })
}
