// SPDX-License-Identifier: Apache-2.0

//! Reads the exports of relays: one run a line, from a file or over HTTP, and the lines by which the relay's account answers
//! for them.
//!
//! An export comes from a party that may be at fault, so nothing in it is believed. A line that cannot be read is an
//! [`ExportFault`], is counted, and makes the export incomplete: what it might have held is not covered. An export is its account's
//! only if that account signed all of it, from the first run on (`closings`). Everything that a relay could make
//! endless has a bound ([`Limits`]).

mod closings;
mod fault;
mod lines;
mod named;
mod transfer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use hashchain::StudyId;
use mhealth_api::{BlockRef, ExportedRun};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

pub use fault::ExportFault;
pub use mhealth_api::LONGEST_EXPORT_LINE as LONGEST_LINE;
pub use named::from_arguments;

use lines::{Go, Lines};

/// How many faults are kept in words. All are counted.
const KEPT_FAULTS: usize = 20;

/// Where an export comes from.
#[derive(Clone)]
pub enum Source {
    /// A file of lines.
    File(PathBuf),
    /// A relay.
    Relay {
        /// Its address, such as `https://relay.example`.
        url: String,
        /// The auditor's credential there.
        credential: Zeroizing<String>,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Relay { url, .. } => f.write_str(url),
        }
    }
}

/// Whose runs an export shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A relay's, which answers for them with its account.
    #[default]
    Relay,
    /// A phone's, which nobody signed as a whole. Each run has the device's own signature.
    Phone,
}

/// What an export has to be of.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Genesis hash of the chain.
    pub chain: [u8; 32],
    /// The study.
    pub study: StudyId,
    /// Who shows it.
    pub holder: Holder,
    /// How much of it is read.
    pub limits: Limits,
}

/// How much of an export is read. What is beyond ends it, with a fault of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Until the end of one answer of a relay, which has about 16 MiB.
    pub answer: Duration,
    /// Until the end.
    pub time: Duration,
    /// Faults.
    pub faults: u64,
    /// Entries of one device, beside four for each that is registered.
    pub device_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            lines: 100_000_000,
            bytes: 256 << 30,
            answer: Duration::from_secs(15 * 60),
            time: Duration::from_secs(12 * 60 * 60),
            faults: 1_000,
            device_entries: 65_536,
        }
    }
}

impl Limits {
    /// No relay that is honest holds more runs of a study than a few for every registered entry, what waits, and what
    /// contradicts a device's history.
    pub fn lines_of(mut self, registered: u64, devices: u64) -> Self {
        let most = registered
            .saturating_mul(4)
            .saturating_add(devices.saturating_mul(64));
        self.lines = self.lines.min(most.saturating_add(1_000_000));
        self
    }

    /// How many entries are taken of a device that has so many registered ones: all of a device is judged at once, in memory. An honest
    /// relay has each run once, and overlaps, runs that wait, and runs that contradict a device's history are few.
    pub fn entries_of(&self, registered: u64) -> u64 {
        let most = registered.saturating_mul(4);
        most.saturating_add(self.device_entries)
    }
}

/// How reading an export went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Runs that were read.
    pub runs: u64,
    /// Of these, runs of devices that came after the block of the audit.
    pub later: u64,
    /// Lines that were not, and breaks.
    pub faults: u64,
    /// The first faults, in words.
    pub first_faults: Vec<ExportFault>,
    /// Cursor of the last run that was read.
    pub cursor: u64,
    /// Answers with a closing line that holds.
    pub answers: u64,
    /// The finalised block that the relay had seen when it began its last answer, as it signed.
    pub block: Option<BlockRef>,
    /// The account that signed all of it, from the first run on.
    #[serde(skip)]
    pub account: Option<[u8; 32]>,
}

impl Reading {
    /// Whether everything was read, and signed.
    pub fn is_complete(&self) -> bool {
        self.faults == 0
    }

    /// Keeps a fault.
    pub fn fault(&mut self, fault: ExportFault) {
        self.faults += 1;
        if self.first_faults.len() < KEPT_FAULTS {
            self.first_faults.push(fault);
        }
    }
}

/// What the reader hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A run, with the number of its line.
    Run {
        /// The line, from 1.
        line: u64,
        /// The run.
        run: Box<ExportedRun>,
    },
    /// A closing line holds for the runs since the one before.
    Signed {
        /// The block that it names, which nobody has compared with the chain.
        block: BlockRef,
    },
    /// The transfer broke off: the runs since the last closing line will come again.
    Dropped,
}

/// Takes what was read, and may add to the faults of the export.
pub type Take<'a, E> = dyn FnMut(Taken, &mut Reading) -> Result<(), E> + 'a;

/// Reads an export to its end, or as far as it goes.
pub async fn read<E>(
    source: &Source,
    expected: &Expected,
    take: &mut Take<'_, E>,
) -> Result<Reading, E> {
    let mut lines = Lines::new(expected, take);
    match source {
        Source::File(path) => match tokio::fs::File::open(path).await {
            Ok(file) => read_stream(file, &mut lines).await?,
            Err(error) => lines.reading.fault(ExportFault::File {
                why: error.to_string(),
            }),
        },
        Source::Relay { url, credential } => {
            transfer::read_relay(url, credential, &mut lines).await?;
        }
    }
    Ok(lines.end())
}

/// The same from any stream of bytes.
pub async fn read_from<E>(
    stream: impl AsyncRead + Unpin,
    expected: &Expected,
    take: &mut Take<'_, E>,
) -> Result<Reading, E> {
    let mut lines = Lines::new(expected, take);
    read_stream(stream, &mut lines).await?;
    Ok(lines.end())
}

async fn read_stream<E>(
    mut stream: impl AsyncRead + Unpin,
    lines: &mut Lines<'_, E>,
) -> Result<(), E> {
    let mut chunk = vec![0; 1 << 16];
    loop {
        // A pipe may say nothing for ever.
        let read = tokio::time::timeout_at(lines.deadline, stream.read(&mut chunk)).await;
        match read {
            Err(_) => {
                lines.too_slow();
                return Ok(());
            }
            Ok(Ok(0)) => return lines.end_of_text(),
            Ok(Ok(length)) => match lines.feed(&chunk[..length])? {
                Go::On => {}
                Go::Stop => return Ok(()),
            },
            Ok(Err(error)) => {
                lines.reading.fault(ExportFault::File {
                    why: error.to_string(),
                });
                return Ok(());
            }
        }
    }
}
