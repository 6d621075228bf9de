// SPDX-License-Identifier: Apache-2.0

//! What is counted while a dataset is made.

use std::collections::{BTreeMap, BTreeSet};

use hashchain::DeviceId;
use mhealth_device::payload::corrected;

use crate::audit::Summary;
use crate::error::DataError;
use crate::records::Ready;
use crate::row::Row;

/// Media types that a manifest counts one by one. A phone may make up as many as it likes.
const MOST_MEDIA_TYPES: usize = 1_000;

/// What was counted on the way.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) devices: u64,
    pub(crate) participants: BTreeSet<String>,
    pub(crate) entries: u64,
    /// Registered entries, as the audit says.
    pub(crate) audited: u64,
    pub(crate) rows: u64,
    pub(crate) current: u64,
    pub(crate) records_in_parts: u64,
    pub(crate) parts: u64,
    pub(crate) verdicts: BTreeMap<String, u64>,
    pub(crate) left_out: BTreeMap<String, u64>,
    pub(crate) problems: BTreeMap<String, u64>,
    pub(crate) media_types: BTreeMap<String, u64>,
}

impl Count {
    /// Counts what a row is made of.
    pub(crate) fn ready(&mut self, ready: &Ready) {
        self.parts += ready.parts.len() as u64;
        if let (Some(raw), Some("other")) = (&ready.raw, ready.row.content) {
            // Each correction names another entry in it.
            let (media_type, _) = corrected(&raw.media_type);
            let known = self.media_types.contains_key(media_type);
            let name = match known || self.media_types.len() < MOST_MEDIA_TYPES {
                true => media_type,
                false => "others",
            };
            *self.media_types.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Counts a row.
    pub(crate) fn row(&mut self, row: &Row) {
        self.rows += 1;
        self.current += u64::from(row.current);
        self.records_in_parts += u64::from(row.in_parts.is_some());
        if let Some(participant) = &row.participant {
            self.participants.insert(participant.clone());
        }
        if let Some(problem) = row.problem {
            *self.problems.entry(problem.as_str().into()).or_default() += 1;
        }
    }

    /// Whether the audit's own sums are these. They tell whether all of it was read.
    pub(crate) fn agrees_with(&self, summary: &Summary) -> bool {
        let mut verdicts = summary.verdicts.clone();
        verdicts.retain(|_, count| *count > 0);
        (summary.devices, summary.entries) == (self.devices, self.entries)
            && verdicts == self.verdicts
    }
}

/// Valid entries without an envelope.
pub(crate) struct Missing {
    pub(crate) count: u64,
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) held_by: String,
}

impl Missing {
    pub(crate) fn into_error(self) -> DataError {
        DataError::EnvelopesMissing {
            count: self.count,
            device: self.device,
            sequence: self.sequence,
            held_by: self.held_by,
        }
    }
}
