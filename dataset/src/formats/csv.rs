// SPDX-License-Identifier: Apache-2.0

//! A table in text: commas, quotes and UTF-8 as RFC 4180 has them, line feeds, a header, and its columns described as CSV on the Web (W3C) has it.

use serde_json::json;

use super::Writer;
use crate::columns::{Kind, COLUMNS, KEYS};
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

pub(crate) const DATA: &str = "nights.csv";
const METADATA: &str = "nights.csv-metadata.json";

/// Lines of fields.
pub(crate) struct Table {
    out: Out,
    writer: csv_core::Writer,
    line: Vec<u8>,
}

impl Table {
    pub(crate) fn begin(folder: &Unfinished, name: &str) -> Result<Self, DataError> {
        Ok(Table {
            out: folder.file(name)?,
            writer: csv_core::WriterBuilder::new().build(),
            line: Vec::new(),
        })
    }

    pub(crate) fn line<T: AsRef<str>>(
        &mut self,
        fields: impl IntoIterator<Item = T>,
    ) -> Result<(), DataError> {
        self.line.clear();
        for (place, field) in fields.into_iter().enumerate() {
            let field = field.as_ref().as_bytes();
            // Every byte a quote, quotes around them, and a comma before.
            let from = self.line.len();
            self.line.resize(from + 2 * field.len() + 8, 0);
            let mut to = from;
            if place > 0 {
                to += self.writer.delimiter(&mut self.line[to..]).1;
            }
            to += self.writer.field(field, &mut self.line[to..]).2;
            self.line.truncate(to);
        }
        let from = self.line.len();
        self.line.resize(from + 8, 0);
        let to = from + self.writer.terminator(&mut self.line[from..]).1;
        self.out.bytes(&self.line[..to])
    }

    pub(crate) fn end(self) -> Result<(), DataError> {
        self.out.end()
    }
}

pub(super) struct Csv(Table);

impl Csv {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        let columns = COLUMNS.iter().map(|column| {
            let datatype = match column.kind {
                Kind::Text(_) => "string",
                Kind::Integer => "integer",
                Kind::Number => "double",
                Kind::Boolean => "boolean",
                Kind::Date => "date",
                Kind::Instant | Kind::Time => "dateTime",
            };
            let mut described = json!({
                "name": column.name, "titles": column.name, "datatype": datatype,
                "dc:description": column.label, "required": column.required,
            });
            if let Some(unit) = column.unit {
                described["schema:unitText"] = unit.into();
            }
            described
        });
        let columns: Vec<_> = columns.collect();
        let metadata = json!({
            "@context": "http://www.w3.org/ns/csvw",
            "url": DATA,
            "dc:title": "Records of nights, a row each. Of a night, one is main",
            "tableSchema": { "columns": columns, "primaryKey": KEYS },
        });
        let mut out = folder.file(METADATA)?;
        out.json(&metadata)?;
        out.end()?;
        let mut table = Table::begin(folder, DATA)?;
        table.line(COLUMNS.iter().map(|column| column.name))?;
        Ok(Csv(table))
    }
}

impl Writer for Csv {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        self.0
            .line(COLUMNS.iter().map(|column| (column.value)(row).to_text()))
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.0.end()
    }
}
