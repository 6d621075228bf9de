// SPDX-License-Identifier: Apache-2.0

//! The report for programs. `docs/operating/auditing.md` has its schema.

use std::collections::BTreeMap;
use std::io::Write;

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{DeviceStatus, Key};
use serde::Serialize;

use super::{Heading, Summary};
use crate::audit::{ErasedDevice, Judged, StoreReport};
use crate::error::AuditError;
use crate::verdict::{Finding, JudgedConflict, JudgedEntry, Outcome, Uncovered};

/// Names the schema of the report. A change that a reader could stumble over gets a new number.
pub const SCHEMA: &str = "mhealth-audit/1";

/// A report that is written while the audit goes on: one device after the other.
pub struct JsonReport<W> {
    out: W,
    first: bool,
}

#[derive(Serialize)]
struct Device<'a> {
    device: DeviceId,
    key: Key,
    status: &'a DeviceStatus,
    enrolled_at: u64,
    predecessor: Option<DeviceId>,
    successor: Option<DeviceId>,
    length: u64,
    head: LinkHash,
    trusted_length: Option<u64>,
    outcome: Outcome,
    trusted_to: u64,
    trusted_head: LinkHash,
    erasure: Option<&'a ErasedDevice>,
    uncovered: &'a [Uncovered],
    findings: Vec<WordedFinding<'a>>,
    conflicts: &'a [JudgedConflict],
    conflicts_not_stored: u32,
    /// When the blocks that the entries name were made, and `enrolled_at`, in seconds since 1970, as far as that is known.
    block_times: BTreeMap<u64, u64>,
    entries: &'a [JudgedEntry],
}

#[derive(Serialize)]
struct WordedFinding<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    sentence: &'static str,
}

impl<W: Write> JsonReport<W> {
    /// Begins a report.
    pub fn begin(
        mut out: W,
        heading: &Heading,
        relays: &[StoreReport],
    ) -> Result<Self, AuditError> {
        write!(out, "{{\n\"schema\": ")?;
        json(&mut out, &SCHEMA)?;
        write!(out, ",\n\"audit\": ")?;
        json(&mut out, heading)?;
        write!(out, ",\n\"relays\": ")?;
        json(&mut out, &relays)?;
        write!(out, ",\n\"devices\": [")?;
        Ok(JsonReport { out, first: true })
    }

    /// Adds a judged device.
    pub fn device(&mut self, judged: &Judged<'_>) -> Result<(), AuditError> {
        let (record, judgement) = (judged.record, &judged.judgement);
        let separator = if self.first { "\n" } else { ",\n" };
        self.first = false;
        write!(self.out, "{separator}")?;
        let device = Device {
            device: record.device,
            key: Key(record.key),
            status: &record.status,
            enrolled_at: record.enrolled_at,
            predecessor: record.predecessor.map(|predecessor| predecessor.device),
            successor: record.successor,
            length: record.length,
            head: record.head,
            trusted_length: record.trusted_length,
            outcome: judgement.outcome(),
            trusted_to: judgement.trusted_to,
            trusted_head: judgement.trusted_head,
            erasure: judged.erasure.as_ref(),
            uncovered: &judgement.uncovered,
            findings: judgement
                .findings
                .iter()
                .map(|finding| WordedFinding {
                    finding,
                    sentence: finding.ground.sentence(),
                })
                .collect(),
            conflicts: &judgement.conflicts,
            conflicts_not_stored: judgement.conflicts_not_stored,
            block_times: judged
                .block_times
                .iter()
                .filter_map(|(block, time)| Some((*block, (*time)?)))
                .collect(),
            entries: &judgement.entries,
        };
        json(&mut self.out, &device)
    }

    /// Ends the report.
    pub fn end(mut self, summary: &Summary) -> Result<(), AuditError> {
        write!(self.out, "\n],\n\"summary\": ")?;
        // Nothing judged has an outcome, too, and readers are promised a word.
        let summary = Summary {
            outcome: Some(summary.outcome()),
            ..summary.clone()
        };
        json(&mut self.out, &summary)?;
        writeln!(self.out, "\n}}")?;
        self.out.flush()?;
        Ok(())
    }
}

fn json(out: &mut impl Write, value: &impl Serialize) -> Result<(), AuditError> {
    serde_json::to_writer(out, value).map_err(|error| AuditError::Output(error.into()))
}
