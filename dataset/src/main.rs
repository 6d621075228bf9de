// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data`: the keys of a study's participants, and datasets of what their phones registered.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::process::ExitCode;

use mhealth_auditor::program;

fn main() -> ExitCode {
    let arguments = match program::arguments() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.status)
        }
    }
}
