// SPDX-License-Identifier: Apache-2.0

//! Nights from a CSV file of daily sleep summaries: one row a night, columns `Id`, `Day`, `TotalSleepRecords`,
//! `TotalMinutesAsleep`, `TotalTimeInBed` (minutes), found by name in any order.
//!
//! Rows are read one at a time, so a file may be longer than memory. An error names line and column and never
//! repeats a value: a value is a participant's data.

use std::{
    collections::{hash_map::Entry, HashMap},
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    path::Path,
};

use mhealth_device::payload::{
    Minutes, Modality, Night, PartOfDay, Participant, Percentage, SleepEpisode, TimeFrame,
    TimeInBed, TimeInterval, Uuid,
};
use rand::RngCore;
use time::{macros::format_description, Date};

use super::line_feeds::LineFeeds;

const COLUMNS: [&str; 5] = [
    "Id",
    "Day",
    "TotalSleepRecords",
    "TotalMinutesAsleep",
    "TotalTimeInBed",
];

/// Minutes of a day; no night is longer.
const DAY: u32 = 24 * 60;

/// Bytes of the longest accepted `Id`.
const LONGEST_ID: usize = 64;

/// One row: a night of one person, checked.
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
}

impl NightRow {
    /// The night as the participant's phone would record it. The file knows the day and no times of day, so the
    /// time frame is the day's night, and noon of the day stands for the moment of recording.
    pub fn into_night(self, participant: Participant, rng: &mut impl RngCore) -> Night {
        let written = self
            .day
            .with_hms(12, 0, 0)
            .expect("noon is a time of day; qed")
            .assume_utc();
        let frame = TimeFrame {
            time_interval: TimeInterval::PartOfDay {
                date: self.day,
                part_of_day: PartOfDay::Night,
            },
        };
        let sleep_episode = SleepEpisode {
            total_sleep_time: Some(Minutes::new(self.minutes_asleep)),
            sleep_efficiency_percentage: Percentage::of(self.minutes_asleep, self.minutes_in_bed),
            ..SleepEpisode::within(frame.clone())
        };
        let time_in_bed = TimeInBed {
            time_in_bed: Minutes::new(self.minutes_in_bed),
            effective_time_frame: frame,
            is_main_sleep: None,
        };
        let sensed = Modality::Sensed;
        Night {
            participant,
            night: self.day,
            sleep_records: Some(self.sleep_records),
            sleep_episode: sleep_episode.into_data_point(
                Uuid::random(rng),
                written,
                sensed,
                vec![],
            ),
            time_in_bed: time_in_bed.into_data_point(Uuid::random(rng), written, sensed, vec![]),
            diary: None,
        }
    }
}

/// Why a file was refused. [`code`](Self::code) stays the same between versions.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file cannot be opened or read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// There is not even a header.
    #[error("the file is empty; expected a header with the columns {}", COLUMNS.join(", "))]
    Empty,
    /// A header and nothing else.
    #[error("the file has a header and no rows")]
    NoRows,
    /// The header lacks a column.
    #[error("line 1: the column {0} is missing")]
    MissingColumn(&'static str),
    /// The header has a column twice.
    #[error("line 1: the column {0} appears twice")]
    RepeatedColumn(&'static str),
    /// A row is wrong.
    #[error("line {line}: {problem}")]
    Row {
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong with it.
        problem: RowProblem,
    },
}

/// What can be wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// More or fewer fields than the header.
    #[error("{found} fields, but the header has {expected}")]
    FieldCount {
        /// As many as the header has.
        expected: usize,
        /// As many as the row has.
        found: usize,
    },
    /// Bytes that are no text.
    #[error("not UTF-8 text")]
    NotText,
    /// The `Id` is empty, too long or has control characters.
    #[error("Id must be 1 to {LONGEST_ID} printable characters")]
    BadId,
    /// The `Day` is no date.
    #[error("Day is not a date of the form YYYY-MM-DD")]
    BadDate,
    /// Not a whole number.
    #[error("{0} is not a whole number")]
    NotANumber(&'static str),
    /// Below zero.
    #[error("{0} is negative")]
    Negative(&'static str),
    /// More than a day has, or nothing where a night needs something.
    #[error(
        "{0} is impossible: a night has 1 to 1440 minutes in bed and at least one sleep record"
    )]
    Impossible(&'static str),
    /// Asleep for longer than in bed.
    #[error("TotalMinutesAsleep exceeds TotalTimeInBed")]
    AsleepExceedsInBed,
    /// The same `Id` and `Day` as before, with other values.
    #[error("a second, different night of the same Id and Day")]
    ContradictsEarlier,
}

impl CsvError {
    /// Stable name of the kind of error, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "csv_unreadable",
            Self::Empty => "csv_empty",
            Self::NoRows => "csv_no_rows",
            Self::MissingColumn(_) => "csv_missing_column",
            Self::RepeatedColumn(_) => "csv_repeated_column",
            Self::Row { problem, .. } => match problem {
                RowProblem::FieldCount { .. } => "csv_field_count",
                RowProblem::NotText => "csv_not_text",
                RowProblem::BadId => "csv_bad_id",
                RowProblem::BadDate => "csv_bad_date",
                RowProblem::NotANumber(_) => "csv_not_a_number",
                RowProblem::Negative(_) => "csv_negative",
                RowProblem::Impossible(_) => "csv_impossible",
                RowProblem::AsleepExceedsInBed => "csv_asleep_exceeds_in_bed",
                RowProblem::ContradictsEarlier => "csv_contradicts_earlier",
            },
        }
    }
}

impl CsvError {
    fn from_reader(error: ::csv::Error, line: u64) -> Self {
        match error.into_kind() {
            ::csv::ErrorKind::Io(io) => Self::Unreadable(io),
            // The reader takes rows of any length and no types, so only the encoding can still be wrong.
            _ => Self::Row {
                line,
                problem: RowProblem::NotText,
            },
        }
    }
}

/// The rows of a file, in its order. Yields an error for each wrong row and goes on after it.
pub struct NightRows<R> {
    reader: ::csv::Reader<LineFeeds<R>>,
    record: ::csv::StringRecord,
    columns: [usize; 5],
    width: usize,
    unreadable: bool,
}

impl NightRows<File> {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, CsvError> {
        Self::new(File::open(path)?)
    }
}

impl<R: Read> NightRows<R> {
    /// Reads the header.
    pub fn new(source: R) -> Result<Self, CsvError> {
        let mut reader = ::csv::ReaderBuilder::new()
            .flexible(true)
            .trim(::csv::Trim::All)
            .from_reader(LineFeeds::of(source));
        let header = reader
            .headers()
            .map_err(|e| CsvError::from_reader(e, 1))?
            .clone();
        if header.is_empty() {
            return Err(CsvError::Empty);
        }
        let mut columns = [0; 5];
        for (column, name) in columns.iter_mut().zip(COLUMNS) {
            let mut places = header
                .iter()
                .enumerate()
                .filter(|(_, field)| *field == name);
            *column = places.next().ok_or(CsvError::MissingColumn(name))?.0;
            if places.next().is_some() {
                return Err(CsvError::RepeatedColumn(name));
            }
        }
        let (width, record) = (header.len(), ::csv::StringRecord::new());
        Ok(Self {
            reader,
            record,
            columns,
            width,
            unreadable: false,
        })
    }

    fn row(&self) -> Result<NightRow, RowProblem> {
        let record = &self.record;
        if record.len() != self.width {
            return Err(RowProblem::FieldCount {
                expected: self.width,
                found: record.len(),
            });
        }
        let field = |column: usize| &record[self.columns[column]];
        let id = field(0);
        if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(char::is_control) {
            return Err(RowProblem::BadId);
        }
        let day = Date::parse(field(1), format_description!("[year]-[month]-[day]"))
            .map_err(|_| RowProblem::BadDate)?;
        let [sleep_records, minutes_asleep, minutes_in_bed] =
            [2, 3, 4].map(|column| number(field(column), COLUMNS[column]));
        let (sleep_records, minutes_asleep, minutes_in_bed) =
            (sleep_records?, minutes_asleep?, minutes_in_bed?);
        if sleep_records == 0 {
            return Err(RowProblem::Impossible(COLUMNS[2]));
        }
        if minutes_in_bed == 0 {
            return Err(RowProblem::Impossible(COLUMNS[4]));
        }
        if minutes_asleep > minutes_in_bed {
            return Err(RowProblem::AsleepExceedsInBed);
        }
        Ok(NightRow {
            id: id.to_owned(),
            day,
            sleep_records,
            minutes_asleep,
            minutes_in_bed,
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

impl<R: Read> Iterator for NightRows<R> {
    type Item = Result<(u64, NightRow), CsvError>;

    /// The next row with the line that it ends on.
    fn next(&mut self) -> Option<Self::Item> {
        if self.unreadable {
            return None; // It would fail for ever.
        }
        let read = self.reader.read_record(&mut self.record);
        // The reader is after the line feed that ends every line. Where it was before may be blank lines ago.
        let line = self.reader.position().line().saturating_sub(1);
        match read {
            Ok(false) => None,
            Ok(true) => {
                let row = self
                    .row()
                    .map_err(|problem| CsvError::Row { line, problem });
                Some(row.map(|row| (line, row)))
            }
            Err(error) => {
                self.unreadable = error.is_io_error();
                Some(Err(CsvError::from_reader(error, line)))
            }
        }
    }
}

/// What a first pass over a whole file found, before anything is sealed.
#[derive(Debug, Default)]
pub struct Survey {
    /// Rows read, wrong ones included.
    pub rows: u64,
    /// Rows that repeat an earlier one word for word.
    pub duplicates: u64,
    /// What is wrong, at most [`Survey::MOST_ERRORS`] of it.
    pub errors: Vec<CsvError>,
    /// How many rows are wrong.
    pub wrong: u64,
}

impl Survey {
    /// Errors kept in full; further ones are counted.
    pub const MOST_ERRORS: usize = 20;

    /// Reads all rows once. Remembers 24 bytes a night, not the rows.
    pub fn of(rows: impl Iterator<Item = Result<(u64, NightRow), CsvError>>) -> Self {
        let mut survey = Self::default();
        let mut seen: HashMap<(u64, Date), u64> = HashMap::new();
        for row in rows {
            survey.rows += 1;
            let error = match row {
                Ok((line, row)) => {
                    let content = fingerprint(&row);
                    match seen.entry((fingerprint(&row.id), row.day)) {
                        Entry::Vacant(night) => {
                            night.insert(content);
                            continue;
                        }
                        Entry::Occupied(earlier) if *earlier.get() == content => {
                            survey.duplicates += 1;
                            continue;
                        }
                        Entry::Occupied(_) => CsvError::Row {
                            line,
                            problem: RowProblem::ContradictsEarlier,
                        },
                    }
                }
                Err(error) => error,
            };
            survey.wrong += 1;
            if survey.errors.len() < Self::MOST_ERRORS {
                survey.errors.push(error);
            }
        }
        if survey.rows == 0 {
            survey.wrong = 1;
            survey.errors.push(CsvError::NoRows);
        }
        survey
    }
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
