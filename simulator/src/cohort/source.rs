// SPDX-License-Identifier: Apache-2.0

//! Nights as their sources give them, whatever the source.

use std::{fmt::Write, io::Read};

use mhealth_device_host::payload::{
    DiaryEntry, ExchangedNight, Participant, DATA_POINT_MEDIA_TYPE, MEDIA_TYPE,
};
use rand::RngCore;
use serde_json::Value;
use time::{Date, OffsetDateTime};

use super::{
    csv::{CsvError, NightRow, NightRows, RowProblem},
    generator::Trial,
    omh::{DataPoints, OmhError, OmhProblem, PersonsDataPoint},
};

/// A night as its source gives it.
#[derive(Clone, Debug)]
pub enum SourceNight {
    /// A row of a CSV file.
    Measured(NightRow),
    /// An entry of a made-up diary, with the generator's name for the person.
    MadeUp(String, DiaryEntry),
    /// A data point that another program made.
    Exchanged(PersonsDataPoint),
}

impl SourceNight {
    /// The source's name for the person.
    pub fn person(&self) -> &str {
        match self {
            Self::Measured(row) => &row.id,
            Self::MadeUp(person, _) => person,
            Self::Exchanged(point) => &point.person,
        }
    }

    /// The day that the night belongs to.
    pub fn day(&self) -> Date {
        match self {
            Self::Measured(row) => row.day,
            Self::MadeUp(_, entry) => entry.out_of_bed.date(),
            Self::Exchanged(point) => point.checked.night,
        }
    }

    /// What is sealed at most once of a person: the day, where a day has more than that a place or a name in it.
    pub fn source(&self) -> String {
        let day = self.day();
        match self {
            Self::Measured(row) => match row.sleep {
                Some(sleep) if sleep.number > 1 => format!("{day} sleep {}", sleep.number),
                _ => day.to_string(),
            },
            Self::MadeUp(..) => day.to_string(),
            Self::Exchanged(point) => point.source(),
        }
    }

    /// What the source says of it. The same night with another content is a correction.
    pub fn content(&self) -> Vec<u8> {
        let mut content = String::new();
        let written = match self {
            Self::Measured(row) => write!(
                content,
                "{} {} {} {:?}",
                row.sleep_records,
                row.minutes_asleep,
                row.minutes_in_bed,
                row.sleep.and_then(|sleep| sleep.is_main),
            ),
            Self::MadeUp(_, entry) => {
                let times = [
                    entry.into_bed,
                    entry.tried_to_sleep,
                    entry.final_awakening,
                    entry.out_of_bed,
                    entry.written,
                ];
                write!(
                    content,
                    "{:?} {} {} {} {}",
                    times.map(OffsetDateTime::unix_timestamp),
                    entry.sleep_latency,
                    entry.awakenings,
                    entry.awake_in_between,
                    u8::from(entry.quality),
                )
            }
            Self::Exchanged(point) => {
                canonical(&point.data_point["body"], &mut content);
                write!(content, " {}", point.data_point["header"]["modality"])
            }
        };
        written.expect("writing into a string cannot fail; qed");
        content.into_bytes()
    }

    /// How to read [`payload`](Self::payload).
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Measured(_) | Self::MadeUp(..) => MEDIA_TYPE,
            Self::Exchanged(_) => DATA_POINT_MEDIA_TYPE,
        }
    }

    /// The payload, with a pseudonym instead of the person. `now` is when the source was read.
    pub fn payload(
        self,
        participant: Participant,
        now: OffsetDateTime,
        rng: &mut impl RngCore,
    ) -> Vec<u8> {
        match self {
            Self::Measured(row) => row.into_night(participant, now, rng).to_json(),
            Self::MadeUp(_, entry) => entry
                .into_night(participant, vec![Trial::datasheet()], rng)
                .expect("the generator makes entries that do not contradict themselves; qed")
                .to_json(),
            Self::Exchanged(point) => ExchangedNight::new(participant, point.data_point)
                .expect("it was checked when it was read; qed")
                .to_json(),
        }
    }

    /// That an earlier one of the same person and source says something else.
    pub(super) fn contradiction(&self, line: u64) -> SourceError {
        match self {
            Self::Exchanged(_) => SourceError::Omh(OmhError::Line {
                line,
                problem: OmhProblem::ContradictsEarlier,
            }),
            _ => SourceError::Csv(CsvError::Row {
                line,
                problem: RowProblem::ContradictsEarlier,
            }),
        }
    }
}

/// A document in the one order of members that does not depend on who wrote it.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            out.push('{');
            for name in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                canonical(&members[name], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            items.iter().for_each(|item| canonical(item, out));
            out.push(']');
        }
        other => {
            out.push_str(&other.to_string());
            out.push(',');
        }
    }
}

/// Why nights of a file were not taken. [`code`](Self::code) stays the same between versions.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file of rows, or one of them.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A file of data points, or one of them.
    #[error(transparent)]
    Omh(#[from] OmhError),
    /// Two names that are one to people.
    #[error(
        "line {line}: the name of the person differs from that {} by zeroes, blanks or invisible characters only; give \
         each person one name, as text",
        .other.map_or("of an earlier file".into(), |other| format!("on line {other}"))
    )]
    LooksAlike {
        /// Line of the file, from 1.
        line: u64,
        /// The line with the other name; `None` if it came in another file.
        other: Option<u64>,
    },
    /// A night that was sealed before, with other values.
    #[error(
        "line {line}: the night {night} was sealed before with other values, as entry {sequence} of its device; with \
         --corrections it is sealed as a new entry that names the one that it corrects"
    )]
    Differs {
        /// Line of the file, from 1.
        line: u64,
        /// The day of the night.
        night: Date,
        /// The entry.
        sequence: u64,
    },
}

impl SourceError {
    /// Stable name of the kind of error, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Csv(error) => error.code(),
            Self::Omh(error) => error.code(),
            Self::LooksAlike { .. } => "names_look_alike",
            Self::Differs { .. } => "differs_from_sealed",
        }
    }
}

/// The nights of a file, in its order, each with its line. Yields an error for each wrong one and goes on after it.
#[allow(clippy::large_enum_variant, reason = "a program has one of it")]
pub enum Nights<R> {
    /// A table.
    Csv(NightRows<R>),
    /// Data points, one a line.
    Omh(DataPoints<R>),
}

impl<R: Read> Nights<R> {
    /// Empty rows or lines that were passed over up to now.
    pub fn blank(&self) -> u64 {
        match self {
            Self::Csv(rows) => rows.blank_rows(),
            Self::Omh(points) => points.blank_lines(),
        }
    }

    /// That the file has more than so many nights.
    pub(super) fn too_many(&self, most: u64) -> SourceError {
        match self {
            Self::Csv(_) => CsvError::TooManyRows { most }.into(),
            Self::Omh(_) => OmhError::TooManyRows { most }.into(),
        }
    }

    /// That the file has nothing to give.
    pub(super) fn nothing(&self) -> SourceError {
        match self {
            Self::Csv(_) => CsvError::NoRows.into(),
            Self::Omh(_) => OmhError::Empty.into(),
        }
    }
}

impl<R: Read> Iterator for Nights<R> {
    type Item = Result<(u64, SourceNight), SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self {
            Self::Csv(rows) => rows
                .next()?
                .map(|(line, row)| (line, SourceNight::Measured(row)))
                .map_err(SourceError::from),
            Self::Omh(points) => points
                .next()?
                .map(|(line, point)| (line, SourceNight::Exchanged(point)))
                .map_err(SourceError::from),
        })
    }
}
