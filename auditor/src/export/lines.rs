// SPDX-License-Identifier: Apache-2.0

//! Cuts a stream of bytes into lines and reads each, within bounds.

use mhealth_api::{ClosingLine, ExportedRun, CLOSING_PREFIX};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::closings::Closings;
use super::{Expected, ExportFault, Holder, Reading, Take, Taken, LONGEST_LINE};

/// Whether there is a point in reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Stop,
}

pub(super) struct Lines<'a, E> {
    pub(super) expected: &'a Expected,
    pub(super) reading: Reading,
    pub(super) closings: Closings,
    /// When all of it has to be read.
    pub(super) deadline: Instant,
    take: &'a mut Take<'a, E>,
    line: u64,
    bytes: u64,
    buffer: Vec<u8>,
    /// The current line is being skipped.
    skipping: bool,
    /// How far the reading was at the last closing line: runs and cursor.
    closed: (u64, u64),
    stopped: bool,
    /// The line that is read is the last, and has no line feed.
    at_end: bool,
}

impl<'a, E> Lines<'a, E> {
    pub(super) fn new(expected: &'a Expected, take: &'a mut Take<'a, E>) -> Self {
        Lines {
            expected,
            reading: Reading::default(),
            closings: Closings::default(),
            deadline: Instant::now() + expected.limits.time,
            take,
            line: 0,
            bytes: 0,
            buffer: Vec::new(),
            skipping: false,
            closed: (0, 0),
            stopped: false,
            at_end: false,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Go, E> {
        self.bytes += bytes.len() as u64;
        let limit = self.expected.limits.bytes;
        if self.bytes > limit {
            self.stop(ExportFault::TooManyBytes { limit });
        }
        while !self.stopped {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.extend(bytes);
                return Ok(Go::On);
            };
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_of_line()?;
        }
        Ok(Go::Stop)
    }

    /// It does not come to its end within the time that there is.
    pub(super) fn too_slow(&mut self) {
        self.stop(ExportFault::TooSlow);
    }

    /// The text ended, perhaps within a line.
    pub(super) fn end_of_text(&mut self) -> Result<(), E> {
        if self.stopped || (self.buffer.is_empty() && !self.skipping) {
            return Ok(());
        }
        self.at_end = true;
        self.end_of_line()
    }

    /// The transfer broke off: what came since the last closing line will come again.
    pub(super) fn restart(&mut self) -> Result<(), E> {
        self.buffer.clear();
        self.skipping = false;
        self.closings.restart();
        (self.reading.runs, self.reading.cursor) = self.closed;
        (self.take)(Taken::Dropped, &mut self.reading)
    }

    /// What was read in all.
    pub(super) fn end(mut self) -> Reading {
        if self.expected.holder == Holder::Relay {
            self.closings.end(&mut self.reading);
        }
        self.reading
    }

    fn stop(&mut self, fault: ExportFault) {
        if !self.stopped {
            self.reading.fault(fault);
            self.stopped = true;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping {
            self.closings.lines(bytes);
        } else if self.buffer.len() + bytes.len() > LONGEST_LINE {
            self.skipping = true;
            let line = self.line + 1;
            self.reading.fault(ExportFault::TooLong { line });
            self.closings.lines(&self.buffer);
            self.closings.lines(bytes);
            self.buffer = Vec::new();
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn end_of_line(&mut self) -> Result<(), E> {
        let skipped = std::mem::take(&mut self.skipping);
        let text = std::mem::take(&mut self.buffer);
        self.line += 1;
        let limits = self.expected.limits;
        if self.line > limits.lines {
            let limit = limits.lines;
            self.stop(ExportFault::TooManyLines { limit });
            return Ok(());
        }
        let line = self.line;
        if text.starts_with(CLOSING_PREFIX.as_bytes()) && self.expected.holder == Holder::Relay {
            self.closing(line, &text)?;
        } else {
            self.closings.lines(&text);
            self.closings.lines(b"\n");
            if !skipped {
                self.run(line, &text)?;
            }
        }
        if self.reading.faults > limits.faults {
            let limit = limits.faults;
            self.stop(ExportFault::TooManyFaults { limit });
        }
        Ok(())
    }

    fn closing(&mut self, line: u64, text: &[u8]) -> Result<(), E> {
        let Some(ClosingLine { closing }) = self.parse(line, text) else {
            self.closings.give_up();
            return Ok(());
        };
        if self
            .closings
            .close(line, &closing, self.expected, &mut self.reading)
        {
            self.closed = (self.reading.runs, self.reading.cursor);
            let block = closing.block;
            (self.take)(Taken::Signed { block }, &mut self.reading)?;
        }
        Ok(())
    }

    fn run(&mut self, line: u64, text: &[u8]) -> Result<(), E> {
        if text.iter().all(u8::is_ascii_whitespace) {
            self.reading.fault(ExportFault::Blank { line });
            return Ok(());
        }
        let Some(run) = self.parse::<ExportedRun>(line, text) else {
            return Ok(());
        };
        if run.entries.len() > hashchain::MAX_RUN_LENGTH {
            self.reading.fault(ExportFault::TooManyEntries { line });
            return Ok(());
        }
        if run.cursor <= self.reading.cursor && self.reading.runs > 0 {
            self.reading.fault(ExportFault::OutOfOrder { line });
        }
        self.reading.cursor = self.reading.cursor.max(run.cursor);
        self.reading.runs += 1;
        self.closings.run(line, run.cursor);
        let run = Box::new(run);
        (self.take)(Taken::Run { line, run }, &mut self.reading)
    }

    fn parse<T: DeserializeOwned>(&mut self, line: u64, text: &[u8]) -> Option<T> {
        match serde_json::from_slice(text) {
            Ok(read) => Some(read),
            Err(_) if self.at_end => {
                self.reading.fault(ExportFault::Truncated { line });
                None
            }
            Err(error) => {
                let why = place_of(&error);
                self.reading.fault(ExportFault::Unreadable { line, why });
                None
            }
        }
    }
}

/// What the reader stumbled over, without a value of the line: it may be a patient's.
fn place_of(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => {
            "a field is missing, unknown or wrong; it may be of a later version"
        }
        serde_json::error::Category::Io => "it could not be read",
    };
    format!("{kind}, at column {}", error.column())
}
