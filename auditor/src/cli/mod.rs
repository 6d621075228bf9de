// SPDX-License-Identifier: Apache-2.0

//! The command line.

mod audit;
mod evidence;
mod inputs;
mod report;

use clap::{Parser, Subcommand};
use mhealth_auditor::AuditError;

/// Judges every entry of a study: what the chain has, what the relays hold, and who made it.
///
/// The exit status of `audit` says what came out: 0 everything was checked and is right, 1 something is wrong, 2 nothing was found
/// wrong but not everything could be checked, 4 what was read is right but some of it is only the node's word. 3 says of every
/// command that it could not do what it was asked; the last line then ends with a code.
#[derive(Parser)]
#[command(name = "mhealth-auditor", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Audit(Box<audit::AuditArguments>),
    Prove(evidence::ProveArguments),
    Verify(evidence::VerifyArguments),
    VerifyReport(report::VerifyReportArguments),
    /// Your own key, which signs your reports.
    #[command(subcommand)]
    Key(report::KeyCommand),
}

impl Arguments {
    /// What the last line is about.
    pub(crate) fn about(&self) -> &'static str {
        match &self.command {
            Command::Audit(_) => "audit",
            Command::Prove(_) => "evidence",
            Command::Verify(_) | Command::VerifyReport(_) => "verified",
            Command::Key(_) => "report_key",
        }
    }
}

/// Exit status of something that was read, and is not what it should be.
const REFUSED: u8 = 1;

/// Does what was asked, and gives the exit status.
pub(crate) fn run(arguments: Arguments) -> Result<u8, AuditError> {
    match arguments.command {
        Command::Audit(arguments) => runtime()?.block_on(audit::run(*arguments)),
        Command::Prove(arguments) => runtime()?.block_on(evidence::prove(arguments)),
        Command::Verify(arguments) => evidence::verify(&arguments),
        Command::VerifyReport(arguments) => report::verify(arguments),
        Command::Key(command) => report::key(command),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, AuditError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().build()?)
}
