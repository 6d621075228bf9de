// SPDX-License-Identifier: Apache-2.0

//! Reads the exports of relays: one run a line, from a file or over HTTP.
//!
//! An export comes from a party that may be at fault, so nothing in it is believed. A line that cannot be read is a
//! [`ExportFault`], is counted, and makes the export incomplete: what it might have held is not covered.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use hashchain::{DeviceId, StudyId};
use mhealth_api::ExportedRun;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// Longest line. A run holds at most 256 entries, and relays take no upload near this size.
pub const LONGEST_LINE: usize = 64 << 20;
/// How often a transfer that breaks off is taken up again without having moved on.
const TRIES: u32 = 5;
/// For how long a relay may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
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

/// What was wrong with a line, or with the transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum ExportFault {
    /// It is no run as `docs/operating/auditing.md` describes it.
    #[error("line {line} is no exported run: {why}")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What the reader stumbled over. No content of the line is in it.
        why: String,
    },
    /// It is longer than [`LONGEST_LINE`].
    #[error("line {line} is longer than {LONGEST_LINE} bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// The export ends within a line.
    #[error("the export ends within line {line}")]
    Truncated {
        /// The line, from 1.
        line: u64,
    },
    /// Its cursor is not greater than that of the line before.
    #[error("line {line} is out of order")]
    OutOfOrder {
        /// The line, from 1.
        line: u64,
    },
    /// It names a device that the chain does not know in this study.
    #[error("line {line} names device {device}, which is no device of this study")]
    ForeignDevice {
        /// The line, from 1.
        line: u64,
        /// The device that it names.
        device: DeviceId,
    },
    /// The relay could not be read from.
    #[error("the transfer broke off: {why}")]
    BrokeOff {
        /// Why.
        why: String,
    },
    /// The file could not be read.
    #[error("the file could not be read: {why}")]
    File {
        /// Why.
        why: String,
    },
}

/// How reading an export went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Runs that were read.
    pub runs: u64,
    /// Lines that were not, and breaks.
    pub faults: u64,
    /// The first faults, in words.
    pub first_faults: Vec<ExportFault>,
    /// Cursor of the last run that was read.
    pub cursor: u64,
}

impl Reading {
    /// Whether everything was read.
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

/// Takes a run with the number of its line, and may add to the faults of the export.
pub type Take<'a, E> = dyn FnMut(u64, ExportedRun, &mut Reading) -> Result<(), E> + 'a;

/// Cuts a stream of bytes into lines and reads each.
struct Lines<'a, E> {
    line: u64,
    buffer: Vec<u8>,
    /// The current line is being skipped.
    skipping: bool,
    reading: Reading,
    take: &'a mut Take<'a, E>,
}

impl<'a, E> Lines<'a, E> {
    fn new(take: &'a mut Take<'a, E>) -> Self {
        Lines {
            line: 0,
            buffer: Vec::new(),
            skipping: false,
            reading: Reading::default(),
            take,
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_of_line(false)?;
        }
        self.extend(bytes);
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.buffer.len() + bytes.len() > LONGEST_LINE {
            self.skipping = true;
            self.buffer.clear();
            let line = self.line + 1;
            self.reading.fault(ExportFault::TooLong { line });
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn end_of_line(&mut self, at_end: bool) -> Result<(), E> {
        let skipped = std::mem::take(&mut self.skipping);
        let text = std::mem::take(&mut self.buffer);
        if at_end && text.is_empty() {
            return Ok(());
        }
        self.line += 1;
        let line = self.line;
        if skipped || text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match serde_json::from_slice::<ExportedRun>(&text) {
            Ok(run) => {
                if run.cursor <= self.reading.cursor && self.reading.runs > 0 {
                    self.reading.fault(ExportFault::OutOfOrder { line });
                }
                self.reading.cursor = self.reading.cursor.max(run.cursor);
                self.reading.runs += 1;
                let mut reading = std::mem::take(&mut self.reading);
                let taken = (self.take)(line, run, &mut reading);
                self.reading = reading;
                taken
            }
            Err(_) if at_end => {
                self.reading.fault(ExportFault::Truncated { line });
                Ok(())
            }
            Err(error) => {
                self.reading.fault(ExportFault::Unreadable {
                    line,
                    why: place_of(&error),
                });
                Ok(())
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

/// Reads an export to its end, or as far as it goes, and hands every run over with the number of its line.
pub async fn read<E>(
    source: &Source,
    study: StudyId,
    take: &mut Take<'_, E>,
) -> Result<Reading, E> {
    let mut lines = Lines::new(take);
    match source {
        Source::File(path) => match tokio::fs::File::open(path).await {
            Ok(file) => read_stream(file, &mut lines).await?,
            Err(error) => lines.reading.fault(ExportFault::File {
                why: error.to_string(),
            }),
        },
        Source::Relay { url, credential } => read_relay(url, credential, study, &mut lines).await?,
    }
    Ok(lines.reading)
}

/// The same from any stream of bytes.
pub async fn read_from<E>(
    stream: impl AsyncRead + Unpin,
    take: &mut Take<'_, E>,
) -> Result<Reading, E> {
    let mut lines = Lines::new(take);
    read_stream(stream, &mut lines).await?;
    Ok(lines.reading)
}

async fn read_stream<E>(
    mut stream: impl AsyncRead + Unpin,
    lines: &mut Lines<'_, E>,
) -> Result<(), E> {
    let mut chunk = vec![0; 1 << 16];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return lines.end_of_line(true),
            Ok(length) => lines.feed(&chunk[..length])?,
            Err(error) => {
                lines.reading.fault(ExportFault::File {
                    why: error.to_string(),
                });
                return Ok(());
            }
        }
    }
}

/// Resumes a transfer that broke off after the last whole line.
async fn read_relay<E>(
    url: &str,
    credential: &str,
    study: StudyId,
    lines: &mut Lines<'_, E>,
) -> Result<(), E> {
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            lines.reading.fault(ExportFault::BrokeOff {
                why: error.to_string(),
            });
            return Ok(());
        }
    };
    let mut tries = 0;
    loop {
        let reached = lines.reading.cursor;
        let address = format!(
            "{}/v1/export?after={reached}&study={study}",
            url.trim_end_matches('/')
        );
        let why = match transfer(&client, &address, credential, lines).await? {
            Ok(()) => return lines.end_of_line(true),
            Err(why) => why,
        };
        // Half a line is asked for again.
        lines.buffer.clear();
        lines.skipping = false;
        tries = if lines.reading.cursor > reached {
            0
        } else {
            tries + 1
        };
        if why.is_final || tries >= TRIES {
            lines.reading.fault(ExportFault::BrokeOff { why: why.text });
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200 << tries.min(5))).await;
    }
}

struct Broken {
    text: String,
    is_final: bool,
}

async fn transfer<E>(
    client: &reqwest::Client,
    address: &str,
    credential: &str,
    lines: &mut Lines<'_, E>,
) -> Result<Result<(), Broken>, E> {
    let passing = |error: reqwest::Error| {
        Ok(Err(Broken {
            text: error.without_url().to_string(),
            is_final: false,
        }))
    };
    let answer = match client.get(address).bearer_auth(credential).send().await {
        Ok(answer) => answer,
        Err(error) => return passing(error),
    };
    let status = answer.status();
    if status != reqwest::StatusCode::OK {
        return Ok(Err(Broken {
            text: format!("the relay answers {status}"),
            is_final: status.is_client_error(),
        }));
    }
    let mut body = answer.bytes_stream();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => lines.feed(&chunk)?,
            Err(error) => return passing(error),
        }
    }
    Ok(Ok(()))
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

#[cfg(test)]
mod tests;
