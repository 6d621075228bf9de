// SPDX-License-Identifier: Apache-2.0

//! What can be wrong with a table of nights.

use super::{super::lines::NotText, id, COLUMNS};

/// Why a file was refused. [`code`](Self::code) stays the same between versions. No message repeats a value: a value is a
/// participant's data.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file cannot be opened or read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is something else than text in UTF-8.
    #[error("the file is no table in text: {0}")]
    NotText(NotText),
    /// There is not even a header.
    #[error("the file is empty; expected a header with the columns {}", COLUMNS.join(", "))]
    Empty,
    /// A header and nothing else.
    #[error("the file has a header and no rows")]
    NoRows,
    /// More rows than are taken at once.
    #[error("the file has more than {most} rows; give it in parts")]
    TooManyRows {
        /// As many are taken.
        most: u64,
    },
    /// What comes out of a pipe does not end.
    #[error("more than {most} bytes come out of the pipe; give a file, or give it in parts")]
    TooLarge {
        /// As many are taken.
        most: u64,
    },
    /// The header lacks a column.
    #[error(
        "line {line}: the column {column} is missing (upper and lower case are the same, and fields may be separated by \
         commas, semicolons, tabs or bars)"
    )]
    MissingColumn {
        /// The header's line.
        line: u64,
        /// The column.
        column: &'static str,
    },
    /// The header has a column twice.
    #[error("line {line}: the column {column} appears twice")]
    RepeatedColumn {
        /// The header's line.
        line: u64,
        /// The column.
        column: &'static str,
    },
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
    /// More than a row takes.
    #[error("a row has at most 64 KiB and 1024 fields")]
    TooLong,
    /// A quotation mark without its other one.
    #[error("a quotation mark is opened here and not closed; nothing after it was read")]
    UnclosedQuote,
    /// The `Id` is empty, too long or has control characters.
    #[error("Id must be 1 to {} printable characters, and something", id::LONGEST)]
    BadId,
    /// The `Id` is a rounded number.
    #[error(
        "Id was taken for a number and rounded by a spreadsheet, so several people have the same one; export it as text"
    )]
    RoundedId,
    /// The `Day` is no date.
    #[error("Day is not a date of the form YYYY-MM-DD, or of the form that --date-format says")]
    BadDate,
    /// The `Day` does not begin with the year.
    #[error("Day has day and month in an order that is not guessed; say --date-format mdy or --date-format dmy")]
    AmbiguousDate,
    /// A year in which no night was recorded, as in what programs write for an empty date.
    #[error("Day is not between the years 1970 and 2100")]
    ImpossibleYear,
    /// The `Day` is an instant.
    #[error(
        "Day has a time of day other than midnight; it must be the day that the night belongs to"
    )]
    TimeOfDay,
    /// Not a whole number.
    #[error("{0} is not a whole number")]
    NotANumber(&'static str),
    /// Below zero.
    #[error("{0} is negative")]
    Negative(&'static str),
    /// Neither yes nor no.
    #[error("{0} is neither true nor false")]
    NotABoolean(&'static str),
    /// More than a day has, or nothing where a night needs something.
    #[error(
        "{0} is impossible: a night has 1 to 1440 minutes in bed and at least one sleep record"
    )]
    Impossible(&'static str),
    /// Asleep for longer than in bed.
    #[error("TotalMinutesAsleep exceeds TotalTimeInBed")]
    AsleepExceedsInBed,
    /// The same `Id` and `Day` as before, with other values.
    #[error(
        "a second, different night of the same Id and Day; if the file has a row for each sleep, say --rows sleep"
    )]
    ContradictsEarlier,
    /// Two main sleeps of one day.
    #[error("a second main sleep of the same Id and Day")]
    SecondMainSleep,
}

impl CsvError {
    /// Stable name of the kind of error, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "csv_unreadable",
            Self::NotText(_) => "csv_not_text",
            Self::Empty => "csv_empty",
            Self::NoRows => "csv_no_rows",
            Self::TooManyRows { .. } => "csv_too_many_rows",
            Self::TooLarge { .. } => "csv_too_large",
            Self::MissingColumn { .. } => "csv_missing_column",
            Self::RepeatedColumn { .. } => "csv_repeated_column",
            Self::Row { problem, .. } => match problem {
                RowProblem::FieldCount { .. } => "csv_field_count",
                RowProblem::NotText => "csv_not_text",
                RowProblem::TooLong => "csv_too_long",
                RowProblem::UnclosedQuote => "csv_unclosed_quote",
                RowProblem::BadId => "csv_bad_id",
                RowProblem::RoundedId => "csv_rounded_id",
                RowProblem::BadDate => "csv_bad_date",
                RowProblem::AmbiguousDate => "csv_ambiguous_date",
                RowProblem::ImpossibleYear => "csv_impossible_year",
                RowProblem::TimeOfDay => "csv_time_of_day",
                RowProblem::NotANumber(_) => "csv_not_a_number",
                RowProblem::Negative(_) => "csv_negative",
                RowProblem::NotABoolean(_) => "csv_not_a_boolean",
                RowProblem::Impossible(_) => "csv_impossible",
                RowProblem::AsleepExceedsInBed => "csv_asleep_exceeds_in_bed",
                RowProblem::ContradictsEarlier => "csv_contradicts_earlier",
                RowProblem::SecondMainSleep => "csv_second_main_sleep",
            },
        }
    }
}
