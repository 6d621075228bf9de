// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor`: judges a study, and says so in its exit status.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::process::ExitCode;

use mhealth_auditor::program::{self, COULD_NOT_RUN};

fn main() -> ExitCode {
    let arguments: cli::Arguments = match program::arguments() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    program::log();
    let about = arguments.about();
    match cli::run(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("mhealth-auditor: {error}");
            println!("{about}=could_not_run error={}", error.code());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
