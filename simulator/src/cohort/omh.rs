// SPDX-License-Identifier: Apache-2.0

//! Nights from data points of Open mHealth and IEEE 1752.1, one JSON document a line (NDJSON).
//!
//! A data point says nothing of whose it is. The header of Open mHealth has a member `user_id`; where it is, it names the
//! person, and it does not leave this machine. An error names the line and the place in its document, and never repeats a
//! value.

use std::io::Read;

use mhealth_device_host::payload::{
    parse_document,
    rules::{check, Checked, Fault, Pointer, Problem},
};
use serde_json::Value;

use super::{
    csv::check_id,
    lines::{Line, Lines, NotText},
};

/// A data point and the source's name for the person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonsDataPoint {
    /// The source's name for the person. Stays on this machine.
    pub person: String,
    /// Header and body, without the person.
    pub data_point: Value,
    /// What the rules say of it.
    pub checked: Checked,
}

impl PersonsDataPoint {
    /// What is sealed at most once: the main sleep of a night, which may be calculated anew under another identifier;
    /// everything else by its identifier.
    pub(super) fn source(&self) -> String {
        let (namespace, name, _) = self.checked.measure.schema();
        let night = self.checked.night;
        match self.checked.is_main_sleep {
            Some(true) => format!("{night} {namespace}:{name} main"),
            _ => format!("{night} {namespace}:{name} {}", self.checked.uuid),
        }
    }
}

/// Why a file was refused. [`code`](Self::code) stays the same between versions. No message repeats a value.
#[derive(Debug, thiserror::Error)]
pub enum OmhError {
    /// The file cannot be opened or read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is something else than text in UTF-8.
    #[error("the file is no text: {0}")]
    NotText(NotText),
    /// There is no data point in it.
    #[error("the file has no data points")]
    Empty,
    /// More data points than are taken at once.
    #[error("the file has more than {most} data points; give it in parts")]
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
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong with it.
        problem: OmhProblem,
    },
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OmhProblem {
    /// More than a line takes.
    #[error("a data point has at most 64 KiB")]
    TooLong,
    /// No JSON document.
    #[error(
        "not one whole JSON document without repeated members; each line has to be one (NDJSON)"
    )]
    NotJson,
    /// Nobody says whose it is.
    #[error("/header/user_id: is missing; name the person with --participant")]
    NoPerson,
    /// The name is none.
    #[error("/header/user_id: is not a name of 1 to 64 printable characters")]
    BadPerson,
    /// A rule is broken.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// The same night as before, with other values.
    #[error("(root): a second, different data point of the same name, or of the same person's main sleep")]
    ContradictsEarlier,
}

impl OmhError {
    /// Stable name of the kind of error, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "omh_unreadable",
            Self::NotText(_) => "omh_not_text",
            Self::Empty => "omh_empty",
            Self::TooManyRows { .. } => "omh_too_many_rows",
            Self::TooLarge { .. } => "omh_too_large",
            Self::Line { problem, .. } => match problem {
                OmhProblem::TooLong => "omh_too_long",
                OmhProblem::NotJson => "omh_not_json",
                OmhProblem::NoPerson => "omh_no_person",
                OmhProblem::BadPerson => "omh_bad_person",
                OmhProblem::ContradictsEarlier => "omh_contradicts_earlier",
                OmhProblem::Invalid(fault) => match fault.problem {
                    Problem::Missing => "omh_missing_member",
                    Problem::UnknownMember => "omh_unknown_member",
                    Problem::WrongType(_) => "omh_wrong_type",
                    Problem::BadValue(_) => "omh_bad_value",
                    Problem::UnknownSchema => "omh_unknown_schema",
                    Problem::Contradiction(_) => "omh_contradiction",
                },
            },
        }
    }
}

/// The data points of a file, in its order. Yields an error for each wrong one and goes on after it.
pub struct DataPoints<R> {
    lines: Lines<R>,
    line: Vec<u8>,
    participant: Option<String>,
    blank: u64,
    over: bool,
}

impl<R: Read> DataPoints<R> {
    /// Data points of the people whom they name, or of `participant` where they name nobody.
    pub fn new(source: R, participant: Option<String>) -> Self {
        Self {
            lines: Lines::of(source),
            line: Vec::new(),
            participant,
            blank: 0,
            over: false,
        }
    }

    /// Empty lines that were passed over up to now.
    pub fn blank_lines(&self) -> u64 {
        self.blank
    }

    fn read(&mut self) -> Result<bool, OmhError> {
        while let Some(line) = self.lines.read(&mut self.line)? {
            let number = self.lines.number();
            let other = (number == 1).then(|| NotText::of(&self.line)).flatten();
            if let Some(other) = other {
                return Err(OmhError::NotText(other));
            }
            if line == Line::Cut {
                let problem = OmhProblem::TooLong;
                return Err(OmhError::Line {
                    line: number,
                    problem,
                });
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
            self.blank += 1;
        }
        Ok(false)
    }

    fn data_point(&self) -> Result<PersonsDataPoint, OmhProblem> {
        let mut data_point = parse_document(&self.line).map_err(|_| OmhProblem::NotJson)?;
        let header = data_point.get_mut("header").and_then(Value::as_object_mut);
        let named = header.and_then(|header| header.remove("user_id"));
        let person = match named {
            Some(Value::String(person)) => person.trim().to_owned(),
            Some(_) => {
                let place = Pointer::default().member("header").member("user_id");
                return Err(place.fault(Problem::WrongType("a text")).into());
            }
            None => self.participant.clone().ok_or(OmhProblem::NoPerson)?,
        };
        check_id(&person).map_err(|_| OmhProblem::BadPerson)?;
        let checked = check(&data_point)?;
        Ok(PersonsDataPoint {
            person,
            data_point,
            checked,
        })
    }
}

impl<R: Read> Iterator for DataPoints<R> {
    type Item = Result<(u64, PersonsDataPoint), OmhError>;

    /// The next data point with its line.
    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.read() {
            Ok(true) => {
                let line = self.lines.number();
                let point = self.data_point().map(|point| (line, point));
                Some(point.map_err(|problem| OmhError::Line { line, problem }))
            }
            Ok(false) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = !matches!(error, OmhError::Line { .. });
                Some(Err(error))
            }
        }
    }
}
