// SPDX-License-Identifier: Apache-2.0

//! The formats of a dataset. Each takes rows as they come and keeps none of them.

mod beside;
mod cdisc;
mod csv;
mod fhir;
mod omh;
mod parquet;
mod picture;
mod redcap;

use std::fmt;
use std::str::FromStr;

use mhealth_api::Key;

use crate::audit::Heading;
use crate::error::DataError;
use crate::folder::Unfinished;
use crate::row::Row;

pub(crate) use beside::{Beside, OTHER as OTHER_FILE, PARTS as PARTS_FILE};
pub(crate) use cdisc::DATA as CDISC_FILE;
pub(crate) use csv::{Table, DATA as CSV_FILE};
pub(crate) use fhir::PROVENANCE as FHIR_FILE;
pub(crate) use omh::{DATA as OMH_FILE, MEMBER as OMH_MEMBER};
pub(crate) use parquet::{failed as parquet_failed, DATA as PARQUET_FILE};
pub(crate) use redcap::DATA as REDCAP_FILE;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// A table in text, with its columns described as CSV on the Web has it.
    Csv,
    /// A table in columns.
    Parquet,
    /// The data points, one a line.
    OpenMhealth,
    /// Resources of FHIR R5, one a line.
    Fhir,
    /// Dataset-JSON 1.1 with Define-XML 2.1.
    Cdisc,
    /// An import file with its data dictionary.
    Redcap,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 6] = [
        Format::Csv,
        Format::Parquet,
        Format::OpenMhealth,
        Format::Fhir,
        Format::Cdisc,
        Format::Redcap,
    ];

    /// Its name, as a command line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::OpenMhealth => "open-mhealth",
            Format::Fhir => "fhir",
            Format::Cdisc => "cdisc",
            Format::Redcap => "redcap",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Format::ALL.into_iter();
        let found = all.find(|format| format.as_str() == text);
        found.ok_or_else(|| "csv, parquet, open-mhealth, fhir, cdisc or redcap".into())
    }
}

/// Text without the characters that XML 1.0 does not have, or does not like. Titles and pseudonyms may have some.
fn for_xml(text: &str) -> String {
    let unfit = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(unfit, "\u{fffd}")
}

/// Writes rows down in one format.
pub(crate) trait Writer {
    /// A device, before its rows.
    fn device(&mut self, _device: Device<'_>) -> Result<(), DataError> {
        Ok(())
    }
    /// A row.
    fn row(&mut self, row: &Row) -> Result<(), DataError>;
    /// Makes everything durable.
    fn end(self: Box<Self>) -> Result<(), DataError>;
}

/// A device, as writers need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device<'a> {
    pub(crate) number: hashchain::DeviceId,
    pub(crate) key: Key,
    /// To whom it seals, by the chain.
    pub(crate) participant: Option<&'a str>,
}

/// Writers of these formats, and of a picture.
pub(crate) fn writers(
    formats: &[Format],
    folder: &Unfinished,
    heading: &Heading,
) -> Result<Vec<Box<dyn Writer + Send>>, DataError> {
    let mut writers: Vec<Box<dyn Writer + Send>> =
        vec![Box::new(picture::Picture::begin(folder, heading)?)];
    let mut formats = formats.to_vec();
    formats.sort_unstable();
    formats.dedup();
    for format in formats {
        writers.push(match format {
            Format::Csv => Box::new(csv::Csv::begin(folder)?),
            Format::Parquet => Box::new(parquet::Parquet::begin(folder)?),
            Format::OpenMhealth => Box::new(omh::OpenMhealth::begin(folder)?),
            Format::Fhir => Box::new(fhir::Fhir::begin(folder, heading)?),
            Format::Cdisc => Box::new(cdisc::Cdisc::begin(folder, heading)?),
            Format::Redcap => Box::new(redcap::Redcap::begin(folder)?),
        });
    }
    Ok(writers)
}
