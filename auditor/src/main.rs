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
    let (said, code) = match program::caught(|| cli::run(arguments)) {
        Ok(Ok(status)) => return ExitCode::from(status),
        Ok(Err(error)) => (error.to_string(), error.code()),
        Err(broke) => (broke.to_string(), broke.code()),
    };
    eprintln!("mhealth-auditor: {said}");
    println!("{about}=could_not_run error={code}");
    ExitCode::from(COULD_NOT_RUN)
}
