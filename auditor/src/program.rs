// SPDX-License-Identifier: Apache-2.0

//! How the programs begin that check a study: the auditor's, and the data manager's.

use std::io::IsTerminal;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Exit status of a program that could not do what it was asked.
pub const COULD_NOT_RUN: u8 = 3;

/// A fault of the program itself, and none of what it was given. What it panicked over is in standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this program has a fault, and the lines above say where: please report them. Nothing can be said of what it was asked")]
pub struct Broke;

impl Broke {
    /// The error as one word. Stable.
    pub fn code(self) -> &'static str {
        "internal"
    }
}

/// Does what was asked. A panic is told like any other error: its own exit status would say nothing to those who wait for one.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Broke> {
    // Nothing that it worked on is looked at afterwards.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Broke)
}

/// Reads the command line. A wrong one ends the program with [`COULD_NOT_RUN`]: the readers of an exit status must not take it for
/// an audit that covered too little. `--help` and `--version` end it with 0.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let _ = error.print();
        match error.use_stderr() {
            true => ExitCode::from(COULD_NOT_RUN),
            false => ExitCode::SUCCESS,
        }
    })
}

/// Logs to standard error, as `RUST_LOG` says; warnings when it says nothing.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_a_code() {
        assert_eq!(caught(|| 7), Ok(7));
        let broke = caught(|| -> u8 { panic!("a fault that the test made") });
        assert_eq!(broke.map_err(Broke::code), Err("internal"));
    }
}
