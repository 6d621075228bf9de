// SPDX-License-Identifier: Apache-2.0

//! REDCap: an import file, and the data dictionary that makes its project. A record is a participant, and a row an instance of
//! the repeating instrument `night`; of a night, one is `main`.

use std::collections::HashMap;

use super::{Table, Writer};
use crate::columns::{Kind, Value, COLUMNS};
use crate::error::DataError;
use crate::folder::Unfinished;
use crate::row::Row;

pub(crate) const DATA: &str = "redcap/nights.csv";
const DICTIONARY: &str = "redcap/data-dictionary.csv";
/// The heads of a dictionary's columns, as REDCap writes them.
const DICTIONARY_HEAD: [&str; 18] = [
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
];

pub(super) struct Redcap {
    table: Table,
    /// How many nights each record has so far.
    instances: HashMap<String, u64>,
}

impl Redcap {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        dictionary(folder)?;
        let mut table = Table::begin(folder, DATA)?;
        let head = [
            "record_id",
            "redcap_repeat_instrument",
            "redcap_repeat_instance",
        ];
        let columns = COLUMNS.iter().map(|column| column.name);
        table.line(head.into_iter().chain(columns).chain(["night_complete"]))?;
        Ok(Redcap {
            table,
            instances: HashMap::new(),
        })
    }
}

fn dictionary(folder: &Unfinished) -> Result<(), DataError> {
    let mut table = Table::begin(folder, DICTIONARY)?;
    table.line(DICTIONARY_HEAD)?;
    let mut field = |name: &str, form: &str, kind: &str, label: &str, note: &str, check: &str| {
        let mut line = [""; 18];
        (line[0], line[1], line[3], line[4]) = (name, form, kind, label);
        (line[6], line[7]) = (note, check);
        table.line(line)
    };
    field(
        "record_id",
        "participant",
        "text",
        "Participant's pseudonym",
        "",
        "",
    )?;
    for column in COLUMNS {
        let (kind, check) = match column.kind {
            // Its fields for instants have no place for an offset.
            Kind::Text(_) | Kind::Time => ("text", ""),
            Kind::Integer => ("text", "integer"),
            Kind::Number => ("text", "number"),
            Kind::Boolean => ("yesno", ""),
            Kind::Date => ("text", "date_ymd"),
            Kind::Instant => ("text", "datetime_seconds_ymd"),
        };
        let note = match (column.unit, column.kind) {
            (Some(unit), _) => unit,
            (None, Kind::Instant) => "UTC",
            _ => "",
        };
        field(column.name, "night", kind, column.label, note, check)?;
    }
    table.end()
}

impl Writer for Redcap {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let record = match &row.participant {
            Some(participant) => participant.clone(),
            // A record needs a name.
            None => format!("device-{}", row.device),
        };
        let instance = self.instances.entry(record.clone()).or_default();
        *instance += 1;
        let head = [record, "night".into(), instance.to_string()];
        let columns = COLUMNS.iter().map(|column| match (column.value)(row) {
            Value::Boolean(yes) => String::from(if yes { "1" } else { "0" }),
            instant @ Value::Instant(_) => instant.to_text().replace('T', " ").replace('Z', ""),
            other => other.to_text(),
        });
        // 2: complete.
        let fields = head.into_iter().chain(columns).chain(["2".into()]);
        self.table.line(fields)
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.table.end()
    }
}
