// SPDX-License-Identifier: Apache-2.0

//! How the programs begin that check a study: the auditor's, and the data manager's.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Exit status of a program that could not do what it was asked.
pub const COULD_NOT_RUN: u8 = 3;

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
