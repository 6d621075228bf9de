// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor`: judges a study, and says so in its exit status.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Nothing could be judged.
const COULD_NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // The reader of an exit status must not take a wrong command line for an audit that covered too little.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::from(COULD_NOT_RUN),
                false => ExitCode::SUCCESS,
            };
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match cli::run(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("mhealth-auditor: {error}");
            println!("audit=could_not_run error={}", error.code());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
