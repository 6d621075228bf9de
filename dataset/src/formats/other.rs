// SPDX-License-Identifier: Apache-2.0

//! Payloads that cannot be values of a row: of types that this version does not know, or not what their types say. They are kept
//! as they came, one a line.

use mhealth_api::Base64;
use serde_json::json;

use super::Writer;
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

pub(crate) const DATA: &str = "other.ndjson";

pub(super) struct Other(Out);

impl Other {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        folder.file(DATA).map(Other)
    }
}

impl Writer for Other {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let Some(raw) = &row.raw else {
            return Ok(());
        };
        self.0.json(&json!({
            "participant": row.participant, "device": row.device, "sequence": row.sequence, "link": row.link,
            "digest": row.digest, "verdict": row.verdict, "registered": row.registered,
            "problem": row.problem.map(|problem| problem.as_str()),
            "media_type": raw.media_type, "payload": Base64(raw.payload.clone()),
        }))
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.0.end()
    }
}
