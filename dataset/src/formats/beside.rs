// SPDX-License-Identifier: Apache-2.0

//! What stands beside the rows, whatever the format. `other.ndjson`: payloads that cannot be values of a row, of types that this version
//! does not know, or not what their types say; as they came, one a line. `parts.ndjson`: the entries of records in parts, one a line,
//! each with its place on the chain.

use hashchain::{DataDigest, DeviceId, LinkHash};
use mhealth_api::Base64;
use serde::Serialize;

use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::records::Ready;
use crate::row::{Raw, Row};

pub(crate) const OTHER: &str = "other.ndjson";
pub(crate) const PARTS: &str = "parts.ndjson";

/// Where a payload or a part stands.
#[derive(Serialize)]
struct Place {
    device: DeviceId,
    sequence: u64,
    link: LinkHash,
    digest: DataDigest,
    verdict: &'static str,
    registered: bool,
}

impl Place {
    fn of(row: &Row) -> Self {
        Place {
            device: row.device,
            sequence: row.sequence,
            link: row.link,
            digest: row.digest,
            verdict: row.verdict.as_str(),
            registered: row.registered,
        }
    }
}

#[derive(Serialize)]
struct OtherLine<'r> {
    participant: Option<&'r str>,
    #[serde(flatten)]
    place: Place,
    problem: Option<&'static str>,
    media_type: String,
    payload: Base64,
}

#[derive(Serialize)]
struct PartLine {
    /// The place of the record's row.
    row: u64,
    #[serde(flatten)]
    place: Place,
}

pub(crate) struct Beside {
    other: Out,
    parts: Out,
}

impl Beside {
    pub(crate) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        Ok(Beside {
            other: folder.file(OTHER)?,
            parts: folder.file(PARTS)?,
        })
    }

    /// Writes what belongs to a row, and gives the row.
    pub(crate) fn write(&mut self, ready: Ready) -> Result<Row, DataError> {
        let Ready {
            row,
            raw,
            parts,
            pieces,
        } = ready;
        if let Some(raw) = raw {
            self.keep(&row, raw)?;
        }
        for (part, piece) in parts.iter().zip(pieces) {
            self.keep(part, piece)?;
        }
        for part in &parts {
            self.parts.json(&PartLine {
                row: row.sequence,
                place: Place::of(part),
            })?;
        }
        Ok(row)
    }

    fn keep(&mut self, row: &Row, raw: Raw) -> Result<(), DataError> {
        self.other.json(&OtherLine {
            participant: row.participant.as_deref(),
            place: Place::of(row),
            problem: row.problem.map(|problem| problem.as_str()),
            media_type: raw.media_type,
            payload: Base64(raw.payload),
        })
    }

    pub(crate) fn end(self) -> Result<(), DataError> {
        self.other.end()?;
        self.parts.end()
    }
}
