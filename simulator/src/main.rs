// SPDX-License-Identifier: Apache-2.0

//! `mhealth-device`: plays single phones and cohorts of them, and looks into their state files.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::{io::IsTerminal, panic::AssertUnwindSafe, process::ExitCode};

use clap::Parser;
use futures::FutureExt;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    // Nothing that it worked on is looked at after a panic.
    let done = AssertUnwindSafe(cli::run(command)).catch_unwind().await;
    match done.unwrap_or_else(|_| Err(cli::Failure::broke())) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
