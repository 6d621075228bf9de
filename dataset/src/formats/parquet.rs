// SPDX-License-Identifier: Apache-2.0

//! A table in columns. Rows are gathered until there are enough for a row group, so the memory is bounded.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use time::Date;

use super::Writer;
use crate::columns::{Column, Kind, Value, COLUMNS};
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

pub(crate) const DATA: &str = "nights.parquet";

/// Rows of a row group.
const GROUP: usize = 16_384;

/// A column's values that wait for their row group. A place without a value has a level of 0 and no value.
#[derive(Default)]
struct Waiting {
    texts: Vec<ByteArray>,
    longs: Vec<i64>,
    days: Vec<i32>,
    numbers: Vec<f64>,
    booleans: Vec<bool>,
    levels: Vec<i16>,
}

impl Waiting {
    fn add(&mut self, value: Value<'_>) {
        self.levels.push(i16::from(value != Value::Absent));
        match value {
            Value::Absent => {}
            Value::Text(text) => self.texts.push(text.as_ref().into()),
            Value::Integer(value) => self.longs.push(value),
            Value::Number(value) => self.numbers.push(value),
            Value::Boolean(value) => self.booleans.push(value),
            Value::Date(day) => self.days.push(day_number(day)),
            Value::Instant(seconds) => self.longs.push(seconds.saturating_mul(1_000)),
        }
    }

    fn write(
        &mut self,
        column: &Column,
        writer: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let levels = (!column.required).then_some(self.levels.as_slice());
        match column.kind {
            Kind::Text(_) | Kind::Time => batch::<ByteArrayType>(writer, &self.texts, levels),
            Kind::Integer | Kind::Instant => batch::<Int64Type>(writer, &self.longs, levels),
            Kind::Number => batch::<DoubleType>(writer, &self.numbers, levels),
            Kind::Boolean => batch::<BoolType>(writer, &self.booleans, levels),
            Kind::Date => batch::<Int32Type>(writer, &self.days, levels),
        }?;
        *self = Waiting::default();
        Ok(())
    }
}

fn batch<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    writer
        .typed::<T>()
        .write_batch(values, levels, None)
        .map(drop)
}

/// Days since 1970.
fn day_number(day: Date) -> i32 {
    /// Of the first of January 1970.
    const EPOCH: i32 = 2_440_588;
    day.to_julian_day() - EPOCH
}

pub(super) struct Parquet {
    writer: SerializedFileWriter<Out>,
    waiting: Vec<Waiting>,
    rows: usize,
}

impl Parquet {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        let described = COLUMNS.iter().map(|column| {
            let unit = column.unit.map(|unit| format!(" [{unit}]"));
            let text = format!("{}{}", column.label, unit.unwrap_or_default());
            KeyValue::new(column.name.to_owned(), text)
        });
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("mhealth-data ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(described.collect()))
            .build();
        let out = folder.file(DATA)?;
        let path = out.path().to_owned();
        let schema = parse_message_type(&schema()).expect("a test reads it; qed");
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Parquet {
            writer: writer.map_err(failed(&path))?,
            waiting: COLUMNS.iter().map(|_| Waiting::default()).collect(),
            rows: 0,
        })
    }

    fn flush(&mut self) -> Result<(), DataError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let path = self.writer.inner().path().to_owned();
        let (writer, waiting) = (&mut self.writer, &mut self.waiting);
        let write = || {
            let mut group = writer.next_row_group()?;
            for (column, waiting) in COLUMNS.iter().zip(waiting) {
                let next = group.next_column()?;
                let mut next = next.ok_or_else(|| ParquetError::General("no column".into()))?;
                waiting.write(column, &mut next)?;
                next.close()?;
            }
            group.close().map(drop)
        };
        write().map_err(failed(&path))
    }
}

impl Writer for Parquet {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        for (column, waiting) in COLUMNS.iter().zip(&mut self.waiting) {
            waiting.add((column.value)(row));
        }
        self.rows += 1;
        match self.rows < GROUP {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn end(mut self: Box<Self>) -> Result<(), DataError> {
        self.flush()?;
        let path = self.writer.inner().path().to_owned();
        // Writes the file's end, once: every other way to close a writer would write another.
        self.writer.finish().map_err(failed(&path))?;
        self.writer.inner().sync()
    }
}

/// The table's columns, as Parquet's own language has them.
fn schema() -> String {
    let mut schema = String::from("message nights {\n");
    for column in COLUMNS {
        let (kind, meaning) = match column.kind {
            // Its own instants have no offset.
            Kind::Text(_) | Kind::Time => ("BYTE_ARRAY", " (STRING)"),
            Kind::Integer => ("INT64", ""),
            Kind::Number => ("DOUBLE", ""),
            Kind::Boolean => ("BOOLEAN", ""),
            Kind::Date => ("INT32", " (DATE)"),
            Kind::Instant => ("INT64", " (TIMESTAMP(MILLIS,true))"),
        };
        let must = if column.required {
            "REQUIRED"
        } else {
            "OPTIONAL"
        };
        schema.push_str(&format!("  {must} {kind} {}{meaning};\n", column.name));
    }
    schema.push('}');
    schema
}

/// An error of the library, as one of the file.
pub(crate) fn failed(path: &Path) -> impl Fn(ParquetError) -> DataError + '_ {
    move |error| {
        let why = match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(why) => *why,
                Err(other) => io::Error::other(other),
            },
            other => io::Error::other(other),
        };
        DataError::file(path)(why)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn the_schema_is_read_and_days_are_counted_from_1970() {
        parse_message_type(&schema()).unwrap();
        assert_eq!(day_number(date!(1970 - 01 - 01)), 0);
        assert_eq!(day_number(date!(2016 - 04 - 12)), 16_903);
    }
}
