// SPDX-License-Identifier: Apache-2.0

//! The command line.

mod erase;
mod export;
mod keys;

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use mhealth_dataset::{take_away_unfinished, DataError};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;
use tokio::signal::unix::{signal, Signal, SignalKind};

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

impl Arguments {
    /// The first word of the last line.
    pub(crate) fn what(&self) -> &'static str {
        match &self.command {
            Command::VerifyDataset(_) => "verified",
            _ => "done",
        }
    }
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

impl Failure {
    fn of(what: &'static str, error: DataError) -> Self {
        Failure {
            what,
            status: error.status(),
            error,
        }
    }

    /// Says so, the last line for machines.
    pub(crate) fn tell(&self) {
        eprintln!("error[{}]: {}.", self.error.code(), self.error);
        println!("{}=false error={}", self.what, self.error.code());
    }
}

/// Does what was asked.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let what = arguments.what();
    let done = match arguments.command {
        Command::Keys(command) => keys::run(command),
        Command::Erase(arguments) => erase::run(arguments),
        Command::Export(arguments) => export::run(*arguments),
        Command::MyData(arguments) => export::my_data(*arguments),
        Command::VerifyDataset(arguments) => export::verify_dataset(*arguments),
    };
    done.map_err(|error| Failure::of(what, error))
}

/// From now on, who tells this program to end has no half of a dataset left, with people's data in it.
fn leave_nothing_when_told_to_end() -> Result<(), DataError> {
    let unable = |error: io::Error| DataError::Place {
        code: "no_runtime",
        why: format!("the system gives no means to wait: {error}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unable)?;
    let signals = runtime.block_on(async { signals_to_end() });
    let mut signals = signals.map_err(unable)?;
    std::thread::spawn(move || {
        runtime.block_on(poll_fn(|context| {
            let mut signals = signals.iter_mut();
            match signals.any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        let _nothing_is_written = take_away_unfinished();
        let failure = Failure::of("done", DataError::Interrupted);
        failure.tell();
        std::process::exit(failure.status.into());
    });
    Ok(())
}

/// A terminal that is closed tells it to end, too, unless it was started to go on without one, as `nohup` does.
fn signals_to_end() -> io::Result<Vec<Signal>> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    let hangup = (!ignores_hangups()).then(SignalKind::hangup);
    kinds.into_iter().chain(hangup).map(signal).collect()
}

/// Whether hangups were ignored when the program started. Linux says it: signal 1 is the last bit.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 == 1)
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
