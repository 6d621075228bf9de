// SPDX-License-Identifier: Apache-2.0

//! `mhealth`: what the organisations of a chain do with it, from their first keys to a study's servers.
#![allow(clippy::print_stdout)] // Results go to standard output, progress and errors to standard error.

mod accounts;
mod auditor_key;
mod cli;
mod decide;
mod failure;
mod files;
mod finality;
mod found;
mod genesis;
mod keys;
mod member;
mod node_program;
mod passport;
mod proposals;
mod report;
mod session;
mod status;
mod study;
mod urgent;
mod wait;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let json = arguments.json();
    match cli::run(arguments).await {
        Ok(report) => {
            print!("{}", report.shown(json));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if json {
                println!("{}", failure.json());
            }
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
