// SPDX-License-Identifier: Apache-2.0

//! Data points of Open mHealth and IEEE 1752.1, one a line, as they came. Their headers get two members more, which the header's
//! schema allows: `user_id`, as Open mHealth has it, and where the data point stands on the chain.

use serde_json::{json, Value};

use super::Writer;
use crate::columns::COLUMNS;
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

pub(crate) const DATA: &str = "open-mhealth.ndjson";
/// The header's member that says where a data point stands.
pub(crate) const MEMBER: &str = "mhealth_chain";
/// The columns that it has.
const PLACE: [&str; 19] = [
    "night",
    "device",
    "sequence",
    "link",
    "digest",
    "verdict",
    "registered",
    "block",
    "not_before",
    "not_after",
    "first_part",
    "last_part",
    "parts",
    "corrects",
    "corrected_by",
    "current",
    "main",
    "problem",
    "submitter",
];

pub(super) struct OpenMhealth(Out);

impl OpenMhealth {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        folder.file(DATA).map(OpenMhealth)
    }
}

impl Writer for OpenMhealth {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let mut place = serde_json::Map::new();
        for column in COLUMNS.iter().filter(|column| PLACE.contains(&column.name)) {
            let value = (column.value)(row).to_json();
            if !value.is_null() {
                place.insert(column.name.into(), value);
            }
        }
        for point in &row.points {
            let mut point = point.clone();
            if let Some(header) = point.get_mut("header").and_then(Value::as_object_mut) {
                header.insert("user_id".into(), json!(row.participant));
                header.insert(MEMBER.into(), place.clone().into());
            }
            self.0.json(&point)?;
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_place_is_a_column() {
        for name in PLACE {
            assert!(COLUMNS.iter().any(|column| column.name == name), "{name}");
        }
    }
}
