// SPDX-License-Identifier: Apache-2.0

//! The command line.

mod erase;
mod export;
mod keys;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use mhealth_dataset::DataError;
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

/// Keeps the keys of a study's participants, and makes datasets of what their phones registered.
///
/// For the holder of the keys, who is not the auditor. The exit status: 0 done; 1 a dataset was checked, and does not hold; 2
/// something is open; 3 nothing could be done. The last line is for machines. Messages begin with error[code]; codes do not change
/// between versions.
#[derive(Parser)]
#[command(name = "mhealth-data", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The keys: makes them, backs them up, splits them, destroys them.
    #[command(subcommand)]
    Keys(keys::Keys),
    Erase(erase::Erase),
    Export(Box<export::Export>),
    MyData(Box<export::MyData>),
    VerifyDataset(Box<export::VerifyDataset>),
}

/// Why a command did not do what it should.
pub(crate) struct Failure {
    /// The first word of the last line.
    pub(crate) what: &'static str,
    /// The exit status.
    pub(crate) status: u8,
    /// Why.
    pub(crate) error: DataError,
}

/// Does what was asked.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (what, done) = match arguments.command {
        Command::Keys(command) => ("done", keys::run(command)),
        Command::Erase(arguments) => ("done", erase::run(arguments)),
        Command::Export(arguments) => ("done", export::run(*arguments)),
        Command::MyData(arguments) => ("done", export::my_data(*arguments)),
        Command::VerifyDataset(arguments) => ("verified", export::verify_dataset(*arguments)),
    };
    done.map_err(|error| Failure {
        what,
        status: error.status(),
        error,
    })
}

/// The time, in seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The time as RFC 3339 has it.
fn now_text() -> String {
    let now = i64::try_from(now()).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}
