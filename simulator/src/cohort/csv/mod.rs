// SPDX-License-Identifier: Apache-2.0

//! Nights from a table of daily sleep summaries: columns `Id`, `Day` (or `SleepDay`), `TotalSleepRecords`,
//! `TotalMinutesAsleep`, `TotalTimeInBed` (minutes), found by name in any order, and perhaps `IsMainSleep`.
//!
//! Dialects of programs and countries are read where there is one way to read them: separators, line ends, a line `sep=;`,
//! case, empty rows. What could be read in two ways is refused, and the message says what to do. Rows are read one at a time
//! and in bounded memory, so a file may be longer than memory, and anything may be in it. An error names line and column and
//! never repeats a value: a value is a participant's data.

mod day;
mod error;
mod id;
mod table;

use std::io::Read;

use mhealth_device_host::payload::{
    Datasheet, Minutes, Modality, Night, PartOfDay, Participant, SleepEpisode, TimeFrame,
    TimeInBed, TimeInterval, Uuid,
};
use rand::RngCore;
use time::{Date, OffsetDateTime};

use table::{Record, Table};

pub use super::lines::NotText;
pub use day::{parse_day, DateFormat};
pub use error::{CsvError, RowProblem};
pub use id::{check_id, likeness};

/// Names of the columns, in the order of their places in [`Columns`].
const COLUMNS: [&str; 5] = [
    "Id",
    "Day",
    "TotalSleepRecords",
    "TotalMinutesAsleep",
    "TotalTimeInBed",
];

/// How Fitbit calls the second.
const OTHER_DAY: &str = "SleepDay";

/// Says whether a row is the day's main sleep, in files with a row for each sleep.
const MAIN: &str = "IsMainSleep";

/// Minutes of a day; no night is longer.
const DAY: u32 = 24 * 60;

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// All sleep of a day. Equal rows are the same night twice.
    #[default]
    Day,
    /// One sleep, the main one or a nap. Equal rows are two equal sleeps.
    Sleep,
}

impl std::str::FromStr for Rows {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "day" => Ok(Self::Day),
            "sleep" => Ok(Self::Sleep),
            _ => Err("neither day nor sleep"),
        }
    }
}

/// What a file does not say of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// How dates are to be read that do not begin with the year.
    pub dates: Option<DateFormat>,
    /// What a row is.
    pub rows: Rows,
}

/// One row: a night or a sleep of one person, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NightRow {
    /// The file's name for the person. Stays on this machine: payloads carry a pseudonym.
    pub id: String,
    /// The day that the night belongs to.
    pub day: Date,
    /// Sleep records that were added up; at least one.
    pub sleep_records: u32,
    /// Minutes asleep, at most `minutes_in_bed`.
    pub minutes_asleep: u32,
    /// Minutes in bed, 1 to 1,440.
    pub minutes_in_bed: u32,
    /// Which sleep of the day it is, where rows are sleeps.
    pub sleep: Option<Sleep>,
}

/// One of the sleeps of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sleep {
    /// Its place among the file's sleeps of this person and day, from 1.
    pub number: u32,
    /// Whether it is the day's main sleep; `None` where neither the file nor the lengths say so.
    pub is_main: Option<bool>,
}

impl NightRow {
    /// Says what the data point was made from: a summary, which is no record of the moment.
    pub fn datasheet() -> Datasheet {
        Datasheet {
            datasheet_type: "software".into(),
            datasheet_reference: "urn:mhealth-chain:device:daily-summary-reader:1".into(),
        }
    }

    /// The night as the participant's phone records it. The file knows the day and no times of day, so the time frames are
    /// the day's night, or the day alone where nobody says that it was the night. `read` is when the row was read: the
    /// data points come about then, and nobody knows when the device measured.
    pub fn into_night(
        self,
        participant: Participant,
        read: OffsetDateTime,
        rng: &mut impl RngCore,
    ) -> Night {
        let is_main = self.sleep.and_then(|sleep| sleep.is_main);
        let date = self.day;
        let time_interval = match (self.sleep, is_main) {
            (None, _) | (_, Some(true)) => TimeInterval::PartOfDay {
                date,
                part_of_day: PartOfDay::Night,
            },
            _ => TimeInterval::Day { date },
        };
        let frame = TimeFrame { time_interval };
        let sleep_episode = SleepEpisode {
            total_sleep_time: Some(Minutes::new(self.minutes_asleep)),
            is_main_sleep: is_main,
            ..SleepEpisode::within(frame.clone())
        };
        let time_in_bed = TimeInBed {
            time_in_bed: Minutes::new(self.minutes_in_bed),
            effective_time_frame: frame,
            is_main_sleep: is_main,
        };
        let (sensed, sheets) = (Modality::Sensed, vec![Self::datasheet()]);
        Night {
            participant,
            night: self.day,
            sleep_records: Some(self.sleep_records),
            sleep_episode: sleep_episode.into_data_point(
                Uuid::random(rng),
                read,
                sensed,
                sheets.clone(),
            ),
            time_in_bed: time_in_bed.into_data_point(Uuid::random(rng), read, sensed, sheets),
            diary: None,
        }
    }
}

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    places: [usize; 5],
    main: Option<usize>,
    width: usize,
}

impl Columns {
    fn of(header: &Record) -> Result<Self, CsvError> {
        let line = header.line;
        let place = |column: &'static str| {
            let mut places = (0..header.len()).filter(|field| names(header, *field, column));
            let place = places.next();
            match places.next() {
                None => Ok(place),
                Some(_) => Err(CsvError::RepeatedColumn { line, column }),
            }
        };
        let mut places = [0; 5];
        for (found, column) in places.iter_mut().zip(COLUMNS) {
            *found = place(column)?.ok_or(CsvError::MissingColumn { line, column })?;
        }
        Ok(Self {
            places,
            main: place(MAIN)?,
            width: header.len(),
        })
    }

    /// How many columns a header names.
    fn named(header: &Record) -> usize {
        let known = |column: &&str| (0..header.len()).any(|field| names(header, field, column));
        COLUMNS.iter().filter(|column| known(column)).count()
    }
}

/// Whether a header's field names a column, in any case, with or without blanks.
fn names(header: &Record, field: usize, column: &str) -> bool {
    let name = header.field(field).unwrap_or_default();
    let letters = || name.chars().filter(|c| !matches!(c, ' ' | '_' | '-'));
    let is = |column: &str| {
        letters()
            .map(|c| c.to_ascii_lowercase())
            .eq(column.chars().map(|c| c.to_ascii_lowercase()))
    };
    is(column) || (column == COLUMNS[1] && is(OTHER_DAY))
}

/// The rows of a file, in its order. Yields an error for each wrong row and goes on after it.
pub struct NightRows<R> {
    table: Table<R>,
    columns: Columns,
    dialect: Dialect,
    blank: u64,
    /// Nothing more can be read.
    over: bool,
}

impl<R: Read> NightRows<R> {
    /// Reads the header.
    pub fn new(source: R, dialect: Dialect) -> Result<Self, CsvError> {
        let table = Table::open(source, Columns::named)?;
        Ok(Self {
            columns: Columns::of(table.record())?,
            table,
            dialect,
            blank: 0,
            over: false,
        })
    }

    /// Empty rows that were passed over up to now.
    pub fn blank_rows(&self) -> u64 {
        self.blank
    }

    /// What a row is.
    pub fn rows(&self) -> Rows {
        self.dialect.rows
    }

    fn row(&self) -> Result<NightRow, RowProblem> {
        let (record, columns) = (self.table.record(), &self.columns);
        if record.len() != columns.width {
            return Err(RowProblem::FieldCount {
                expected: columns.width,
                found: record.len(),
            });
        }
        let field = |place| record.field(place).ok_or(RowProblem::NotText);
        let [id, day, numbers @ ..] = columns.places;
        let (id, day) = (field(id)?, field(day)?);
        check_id(id)?;
        let day = parse_day(day, self.dialect.dates)?;
        let mut values = [0; 3];
        for ((value, place), column) in values.iter_mut().zip(numbers).zip(&COLUMNS[2..]) {
            *value = number(field(place)?, column)?;
        }
        let [sleep_records, minutes_asleep, minutes_in_bed] = values;
        if sleep_records == 0 {
            return Err(RowProblem::Impossible(COLUMNS[2]));
        }
        if minutes_in_bed == 0 {
            return Err(RowProblem::Impossible(COLUMNS[4]));
        }
        if minutes_asleep > minutes_in_bed {
            return Err(RowProblem::AsleepExceedsInBed);
        }
        let sleep = match (self.dialect.rows, columns.main) {
            (Rows::Day, _) => None,
            (Rows::Sleep, None) => Some(None),
            (Rows::Sleep, Some(place)) => Some(boolean(field(place)?)?),
        };
        Ok(NightRow {
            id: id.to_owned(),
            day,
            sleep_records,
            minutes_asleep,
            minutes_in_bed,
            sleep: sleep.map(|is_main| Sleep { number: 0, is_main }),
        })
    }
}

/// A whole number from 0 to the minutes of a day.
fn number(text: &str, column: &'static str) -> Result<u32, RowProblem> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RowProblem::NotANumber(column));
    }
    if text.starts_with('-') {
        return Err(RowProblem::Negative(column));
    }
    match digits.parse() {
        Ok(value) if value <= DAY => Ok(value),
        _ => Err(RowProblem::Impossible(column)),
    }
}

/// Whether it is the main sleep; an empty field does not say.
fn boolean(text: &str) -> Result<Option<bool>, RowProblem> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "1" | "yes" => Ok(Some(true)),
        "false" | "0" | "no" => Ok(Some(false)),
        _ => Err(RowProblem::NotABoolean(MAIN)),
    }
}

impl<R: Read> Iterator for NightRows<R> {
    type Item = Result<(u64, NightRow), CsvError>;

    /// The next row with the line that it begins on.
    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            match self.table.read() {
                Ok(true) if self.table.record().is_blank() => self.blank += 1,
                Ok(true) => {
                    let line = self.table.record().line;
                    let row = self
                        .row()
                        .map_err(|problem| CsvError::Row { line, problem });
                    return Some(row.map(|row| (line, row)));
                }
                Ok(false) => self.over = true,
                Err(error) => {
                    self.over = !matches!(
                        error,
                        CsvError::Row {
                            problem: RowProblem::TooLong,
                            ..
                        }
                    );
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
