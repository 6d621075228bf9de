// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data`: the keys of a study's participants, and datasets of what their phones registered.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// A dataset was checked, and does not hold.
const REFUSED: u8 = 1;
/// Nothing was done.
const COULD_NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // One status for whatever could not be done.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::from(COULD_NOT_RUN),
                false => ExitCode::SUCCESS,
            };
        }
    };
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error[{}]: {}.", failure.error.code(), failure.error);
            println!("{}=false error={}", failure.what, failure.error.code());
            ExitCode::from(failure.status)
        }
    }
}
