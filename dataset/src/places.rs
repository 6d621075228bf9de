// SPDX-License-Identifier: Apache-2.0

//! Where the rows of each file of a dataset say that they stand on the chain, and what they say that the audit says of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use hashchain::{DataDigest, DeviceId, LinkHash};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;

use crate::columns::{rfc3339, COLUMNS};
use crate::error::DataError;
use crate::formats;
use crate::person;

/// Bytes of the longest line that a dataset has: the longest record in Base64, and what stands around it.
const LONGEST: usize = 96 << 20;

/// Columns of tables whose values rest on the audit, and that of a record's parts, which stand in a file of their own.
const OF_TABLES: &[&str] = &[
    "block",
    "submitter",
    "not_before",
    "not_after",
    "received_at",
    "parts",
];
/// Those of them that a data point has.
const OF_POINTS: &[&str] = &["block", "submitter", "not_before", "not_after", "parts"];
/// Those that a Provenance has. Of a record in parts it has the `span`, from its first to its last entry.
const OF_PROVENANCE: &[&str] = &["block", "submitter", "not_before", "not_after", "span"];

/// What a row says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) link: LinkHash,
    pub(crate) digest: DataDigest,
    pub(crate) verdict: String,
    pub(crate) registered: bool,
    /// Whether it counts, or is the night.
    pub(crate) counts: bool,
    /// Of a part, the place of its record's row.
    pub(crate) row: Option<u64>,
    /// The columns of the file that can be compared, each with its text; with none where there is no value.
    pub(crate) said: Vec<(&'static str, String)>,
}

/// What a file with rows has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    /// Every row of the dataset once.
    EveryRow,
    /// Every part of its records once.
    EveryPart,
    /// Data points: of some rows none, and of some several.
    Points,
    /// Payloads of some rows and parts, as they came.
    Payloads,
}

impl Has {
    /// What a file of this name has, if it is one with rows.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            formats::CSV_FILE
            | formats::REDCAP_FILE
            | formats::PARQUET_FILE
            | formats::CDISC_FILE
            | formats::FHIR_FILE
            | person::JSON => Some(Has::EveryRow),
            formats::PARTS_FILE => Some(Has::EveryPart),
            formats::OMH_FILE => Some(Has::Points),
            formats::OTHER_FILE => Some(Has::Payloads),
            _ => None,
        }
    }
}

/// Takes the claim of each row, with its number from 1; none where the row does not say it in full.
pub(crate) type Take<'a> = dyn FnMut(u64, Option<Claim>) -> Result<(), DataError> + 'a;

/// Reads all rows of a file that has some.
pub(crate) fn read(folder: &Path, name: &str, take: &mut Take<'_>) -> Result<(), DataError> {
    let path = folder.join(name);
    match name {
        formats::PARQUET_FILE => columns(&path, take),
        formats::CDISC_FILE => records(&path, take),
        person::JSON => entries(&path, take),
        formats::FHIR_FILE => lines(&path, &of_provenance, take),
        formats::OMH_FILE => lines(&path, &of_data_point, take),
        formats::OTHER_FILE | formats::PARTS_FILE => {
            lines(&path, &|value: &Value| of_object(&[], value), take)
        }
        _ => table(&path, take),
    }
}

fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    let file = File::open(path).map_err(DataError::file(path))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// From the values of these columns, and of those that every row has.
fn claim(said: &[&'static str], value: impl Fn(&str) -> Option<String>) -> Option<Claim> {
    let is = |name: &str| match value(name)?.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    Some(Claim {
        device: value("device")?.parse().ok()?,
        sequence: value("sequence")?.parse().ok()?,
        link: value("link")?.parse().ok()?,
        digest: value("digest")?.parse().ok()?,
        verdict: value("verdict")?,
        registered: is("registered")?,
        counts: is("current") == Some(true) || is("main") == Some(true),
        row: value("row").and_then(|row| row.parse().ok()),
        said: said
            .iter()
            .map(|name| (*name, value(name).unwrap_or_default()))
            .collect(),
    })
}

fn table(path: &Path, take: &mut Take<'_>) -> Result<(), DataError> {
    let mut reader = open(path)?;
    let mut csv = csv_core::Reader::new();
    let (mut text, mut ends) = (vec![0; 1 << 16], vec![0; 256]);
    let (mut filled, mut ended, mut row) = (0, 0, 0);
    let mut head: Vec<String> = Vec::new();
    loop {
        let input = reader.fill_buf().map_err(DataError::file(path))?;
        let (result, read, wrote, fields) =
            csv.read_record(input, &mut text[filled..], &mut ends[ended..]);
        reader.consume(read);
        filled += wrote;
        ended += fields;
        match result {
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::OutputFull if text.len() > LONGEST => {
                return Err(too_long(path, row + 1));
            }
            csv_core::ReadRecordResult::OutputFull => text.resize(2 * text.len(), 0),
            csv_core::ReadRecordResult::OutputEndsFull if ends.len() > LONGEST => {
                return Err(too_long(path, row + 1));
            }
            csv_core::ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            csv_core::ReadRecordResult::End => return Ok(()),
            csv_core::ReadRecordResult::Record => {
                let field = |place: usize| {
                    let from = place.checked_sub(1).map_or(0, |before| ends[before]);
                    String::from_utf8_lossy(&text[from..ends[place]]).into_owned()
                };
                if head.is_empty() {
                    head = (0..ended).map(field).collect();
                } else {
                    row += 1;
                    let claimed = claim(OF_TABLES, |name| {
                        let place = head.iter().position(|it| it == name)?;
                        (place < ended).then(|| field(place))
                    });
                    take(row, claimed)?;
                }
                (filled, ended) = (0, 0);
            }
        }
    }
}

fn columns(path: &Path, take: &mut Take<'_>) -> Result<(), DataError> {
    let failed = formats::parquet_failed(path);
    let file = File::open(path).map_err(DataError::file(path))?;
    let reader = SerializedFileReader::new(file).map_err(&failed)?;
    let rows = reader.get_row_iter(None).map_err(&failed)?;
    for (row, number) in rows.zip(1..) {
        let row = row.map_err(&failed)?;
        take(number, claim(OF_TABLES, |name| cell(&row, name)))?;
    }
    Ok(())
}

fn cell(row: &Row, name: &str) -> Option<String> {
    let mut columns = row.get_column_iter();
    match columns.find(|(column, _)| *column == name)?.1 {
        Field::Str(text) => Some(text.clone()),
        Field::Long(value) => Some(value.to_string()),
        Field::Bool(value) => Some(value.to_string()),
        Field::TimestampMillis(value) => Some(match value % 1_000 {
            0 => rfc3339(value / 1_000),
            // None of this program's.
            _ => value.to_string(),
        }),
        _ => None,
    }
}

/// The rows of Dataset-JSON, each in a line of its own.
fn records(path: &Path, take: &mut Take<'_>) -> Result<(), DataError> {
    let mut row = 0;
    each_line(path, &mut |_, line| {
        let line = line.strip_suffix(b",").unwrap_or(line);
        if !line.starts_with(b"[") {
            return Ok(());
        }
        row += 1;
        let values: Vec<Value> = serde_json::from_slice(line).unwrap_or_default();
        let claimed = claim(OF_TABLES, |name| {
            let place = COLUMNS.iter().position(|column| column.name == name)?;
            text(values.get(place)?)
        });
        take(row, claimed)
    })
}

/// The entries of a participant's package, each in a line of its own behind the heading, which is the first line.
fn entries(path: &Path, take: &mut Take<'_>) -> Result<(), DataError> {
    let mut row = 0;
    each_line(path, &mut |number, line| {
        if number == 1 || !line.starts_with(b"{") {
            return Ok(());
        }
        row += 1;
        let line = line.strip_suffix(b",").unwrap_or(line);
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        take(row, of_object(OF_TABLES, &value))
    })
}

fn lines(
    path: &Path,
    of: &dyn Fn(&Value) -> Option<Claim>,
    take: &mut Take<'_>,
) -> Result<(), DataError> {
    each_line(path, &mut |row, line| {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        take(row, of(&value))
    })
}

/// What is done with a line of this number.
type TakeLine<'a> = dyn FnMut(u64, &[u8]) -> Result<(), DataError> + 'a;

/// Takes every line without its line feed, with its number from 1.
fn each_line(path: &Path, take: &mut TakeLine<'_>) -> Result<(), DataError> {
    let (mut reader, mut line, mut number) = (open(path)?, Vec::new(), 0);
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(LONGEST as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(DataError::file(path))? == 0 {
            return Ok(());
        }
        number += 1;
        if line.len() > LONGEST {
            return Err(too_long(path, number));
        }
        take(number, line.strip_suffix(b"\n").unwrap_or(&line))?;
    }
}

fn too_long(path: &Path, row: u64) -> DataError {
    DataError::BadRow {
        file: path.display().to_string(),
        row,
        why: "the line is longer than any row is",
    }
}

fn of_object(said: &[&'static str], value: &Value) -> Option<Claim> {
    claim(said, |name| text(value.get(name)?))
}

fn of_data_point(value: &Value) -> Option<Claim> {
    of_object(OF_POINTS, &value["header"][formats::OMH_MEMBER])
}

fn of_provenance(value: &Value) -> Option<Claim> {
    let (entities, agents) = (value["entity"].as_array()?, value["agent"].as_array()?);
    let named = |name: &str| identified(entities, "what", name);
    let entry = named("entry")?;
    let (device, sequence) = entry.split_once('/')?;
    let period = &value["occurredPeriod"];
    claim(OF_PROVENANCE, |name| match name {
        "device" => Some(device.to_owned()),
        "sequence" => Some(sequence.to_owned()),
        "submitter" => identified(agents, "who", "account"),
        "not_before" => text(&period["start"]),
        "not_after" => text(&period["end"]),
        "span" => named("parts"),
        other => named(other),
    })
}

/// The value of the identifier of this name in a list of resources.
fn identified(resources: &[Value], member: &str, name: &str) -> Option<String> {
    let system = format!("urn:mhealth-chain:{name}");
    let mut identifiers = resources.iter().map(|it| &it[member]["identifier"]);
    let found = identifiers.find(|it| it["system"] == system.as_str())?;
    found["value"].as_str().map(str::to_owned)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
