// SPDX-License-Identifier: Apache-2.0

//! Records of a table in a text file, whatever separates its fields and ends its lines.

use std::io::Read;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::super::lines::{Line, Lines, NotText, LONGEST};
use super::{CsvError, RowProblem};

/// Separators that spreadsheets write. The first one with which the header names most columns is taken.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Fields of the widest record.
const WIDEST: usize = 1_024;

/// A table, read record by record. A record takes at most [`LONGEST`] bytes, quoted line ends included.
pub(super) struct Table<R> {
    lines: Lines<R>,
    line: Vec<u8>,
    reader: Reader,
    record: Record,
}

/// Fields of one record.
pub(super) struct Record {
    /// The line that it begins on.
    pub(super) line: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    fields: usize,
}

impl Record {
    fn new() -> Self {
        Self {
            line: 0,
            bytes: vec![0; LONGEST],
            ends: vec![0; WIDEST],
            filled: 0,
            fields: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.fields
    }

    /// The bytes of a field.
    fn bytes(&self, field: usize) -> &[u8] {
        let begin = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[field]]
    }

    /// A field without the blanks around it; `None` where it is not UTF-8.
    pub(super) fn field(&self, field: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(field)).ok().map(str::trim)
    }

    /// Whether nothing is in it, as in the rows that spreadsheets append.
    pub(super) fn is_blank(&self) -> bool {
        (0..self.fields).all(|field| self.field(field).is_some_and(str::is_empty))
    }
}

impl<R: Read> Table<R> {
    /// Finds out what separates fields, by `wanted`, which counts the columns that a header names. The record is the header
    /// then.
    pub(super) fn open(source: R, wanted: impl Fn(&Record) -> usize) -> Result<Self, CsvError> {
        let mut table = Self {
            lines: Lines::of(source),
            line: Vec::new(),
            reader: reader(SEPARATORS[0]),
            record: Record::new(),
        };
        if !table.next_line()? {
            return Err(CsvError::Empty);
        }
        if let Some(other) = NotText::of(&table.line) {
            return Err(CsvError::NotText(other));
        }
        let separators = match named_separator(&table.line) {
            Some(separator) => {
                if !table.next_line()? {
                    return Err(CsvError::Empty);
                }
                vec![separator]
            }
            None => SEPARATORS.to_vec(),
        };
        let mut best = (0, separators[0]);
        for separator in &separators {
            table.reader = reader(*separator);
            let mut found = 0;
            if let Ok(true) = table.take_line() {
                found = wanted(&table.record);
            }
            if found > best.0 {
                best = (found, *separator);
            }
        }
        table.reader = reader(best.1);
        if !table.take_line()? {
            table.finish()?;
        }
        Ok(table)
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Reads the next record. After an error that is about one record, the next one can be read.
    pub(super) fn read(&mut self) -> Result<bool, CsvError> {
        if !self.next_line()? {
            return Ok(false);
        }
        if !self.take_line()? {
            self.finish()?;
        }
        Ok(true)
    }

    /// Goes to the next line that is not empty.
    fn next_line(&mut self) -> Result<bool, CsvError> {
        loop {
            match self.lines.read(&mut self.line)? {
                None => return Ok(false),
                Some(Line::Whole) if self.line.is_empty() => {}
                Some(Line::Whole) => return Ok(true),
                Some(Line::Cut) => return Err(self.wrong(RowProblem::TooLong)),
            }
        }
    }

    /// Begins a record with the present line. Says whether it ends there; otherwise a quote is open.
    fn take_line(&mut self) -> Result<bool, CsvError> {
        self.record.line = self.lines.number();
        self.record.fields = 0;
        self.record.filled = 0;
        self.feed()
    }

    fn feed(&mut self) -> Result<bool, CsvError> {
        let record = &mut self.record;
        self.line.push(b'\n');
        let (result, _, wrote, ended) = self.reader.read_record(
            &self.line,
            &mut record.bytes[record.filled..],
            &mut record.ends[record.fields..],
        );
        self.line.pop();
        record.filled += wrote;
        record.fields += ended;
        match result {
            ReadRecordResult::Record => Ok(true),
            ReadRecordResult::InputEmpty => Ok(false),
            // Nothing is left of a record that was given up.
            _ => {
                self.reader.reset();
                Err(self.wrong(RowProblem::TooLong))
            }
        }
    }

    /// Reads on until the open quote is closed.
    fn finish(&mut self) -> Result<(), CsvError> {
        let begun = self.record.line;
        let unclosed = CsvError::Row {
            line: begun,
            problem: RowProblem::UnclosedQuote,
        };
        loop {
            match self.lines.read(&mut self.line)? {
                Some(Line::Whole) => {}
                // Where the quote was meant to end, nobody knows. So nothing after it can be read.
                Some(Line::Cut) | None => return Err(unclosed),
            }
            match self.feed() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => return Err(unclosed),
            }
        }
    }

    fn wrong(&self, problem: RowProblem) -> CsvError {
        CsvError::Row {
            line: self.lines.number(),
            problem,
        }
    }
}

fn reader(separator: u8) -> Reader {
    ReaderBuilder::new().delimiter(separator).build()
}

/// The separator that a first line `sep=;` names.
fn named_separator(line: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(line)
        .ok()?
        .trim_end_matches([' ', ',', ';']);
    let whole = std::str::from_utf8(line).ok()?.trim();
    let named = |text: &str| -> Option<u8> {
        let text = text.trim_matches('"').to_ascii_lowercase();
        match text.strip_prefix("sep=")?.as_bytes() {
            [one] if SEPARATORS.contains(one) => Some(*one),
            _ => None,
        }
    };
    named(whole).or_else(|| named(text))
}
