// SPDX-License-Identifier: Apache-2.0

//! Where the rows of each file of a dataset say that they stand on the chain.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use hashchain::{DataDigest, DeviceId, LinkHash};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;

use crate::columns::COLUMNS;
use crate::error::DataError;
use crate::formats;
use crate::person;

/// Bytes of the longest line that a dataset has: the longest record in Base64, and what stands around it.
const LONGEST: usize = 96 << 20;

/// What a row says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) link: LinkHash,
    pub(crate) digest: DataDigest,
    pub(crate) verdict: String,
    pub(crate) registered: bool,
}

/// What a file with rows has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    /// Every row of the dataset once.
    EveryRow,
    /// Every part of its records once.
    EveryPart,
    /// Some rows, and some of them several times.
    Some,
}

/// Takes the claim of each row, with its number from 1; none where the row does not say it in full.
pub(crate) type Take<'a> = dyn FnMut(u64, Option<Claim>) -> Result<(), DataError> + 'a;

/// Reads all rows of a file, if it is one with rows, and says of what.
pub(crate) fn read(
    folder: &Path,
    name: &str,
    take: &mut Take<'_>,
) -> Result<Option<Has>, DataError> {
    let path = folder.join(name);
    let has = match name {
        formats::CSV_FILE
        | formats::REDCAP_FILE
        | formats::PARQUET_FILE
        | formats::CDISC_FILE
        | formats::FHIR_FILE
        | person::JSON => Has::EveryRow,
        formats::PARTS_FILE => Has::EveryPart,
        // A row may have several data points, or none.
        formats::OMH_FILE | formats::OTHER_FILE => Has::Some,
        _ => return Ok(None),
    };
    match name {
        formats::PARQUET_FILE => columns(&path, take),
        formats::CDISC_FILE => records(&path, take),
        person::JSON => entries(&path, take),
        formats::FHIR_FILE => lines(&path, &of_provenance, take),
        formats::OMH_FILE => lines(&path, &of_data_point, take),
        formats::OTHER_FILE | formats::PARTS_FILE => lines(&path, &of_object, take),
        _ => table(&path, take),
    }?;
    Ok(Some(has))
}

fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    let file = File::open(path).map_err(DataError::file(path))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// From a value for each of these names.
fn claim(value: impl Fn(&str) -> Option<String>) -> Option<Claim> {
    Some(Claim {
        device: value("device")?.parse().ok()?,
        sequence: value("sequence")?.parse().ok()?,
        link: value("link")?.parse().ok()?,
        digest: value("digest")?.parse().ok()?,
        verdict: value("verdict")?,
        registered: match value("registered")?.as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return None,
        },
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
                    let claimed = claim(|name| {
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
        take(number, claim(|name| cell(&row, name)))?;
    }
    Ok(())
}

fn cell(row: &Row, name: &str) -> Option<String> {
    let mut columns = row.get_column_iter();
    match columns.find(|(column, _)| *column == name)?.1 {
        Field::Str(text) => Some(text.clone()),
        Field::Long(value) => Some(value.to_string()),
        Field::Bool(value) => Some(value.to_string()),
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
        let claimed = claim(|name| {
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
        take(row, of_object(&value))
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

fn of_object(value: &Value) -> Option<Claim> {
    claim(|name| text(value.get(name)?))
}

fn of_data_point(value: &Value) -> Option<Claim> {
    of_object(&value["header"][formats::OMH_MEMBER])
}

fn of_provenance(value: &Value) -> Option<Claim> {
    let entities = value["entity"].as_array()?;
    let named = |name: &str| {
        let system = format!("urn:mhealth-chain:{name}");
        let mut identifiers = entities.iter().map(|entity| &entity["what"]["identifier"]);
        let found = identifiers.find(|it| it["system"] == system.as_str())?;
        found["value"].as_str()
    };
    let (device, sequence) = named("entry")?.split_once('/')?;
    claim(|name| match name {
        "device" => Some(device.to_owned()),
        "sequence" => Some(sequence.to_owned()),
        other => named(other).map(str::to_owned),
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
