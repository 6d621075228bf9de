// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data`: the keys of a study's participants, and datasets of what their phones registered.
#![allow(clippy::print_stdout)] // Results go to standard output, everything else to standard error.

mod cli;

use std::process::ExitCode;

use mhealth_auditor::program;
use mhealth_dataset::take_away_unfinished;

fn main() -> ExitCode {
    let arguments: cli::Arguments = match program::arguments() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let what = arguments.what();
    match program::caught(|| cli::run(arguments)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            failure.tell();
            ExitCode::from(failure.status)
        }
        Err(broke) => {
            let _nothing_is_written = take_away_unfinished();
            eprintln!("error[{}]: {broke}.", broke.code());
            if what == "done" {
                eprintln!("It may be half done: type the same command again, which goes on or says what is there.");
            }
            println!("{what}=false error={}", broke.code());
            ExitCode::from(program::COULD_NOT_RUN)
        }
    }
}
