// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor key` and `mhealth-auditor verify-report`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hashchain::StudyId;
use mhealth_api::{Hash, Key};
use mhealth_auditor::signature::{
    signature_path, verify_file, Expected, ReportFault, ReportKey, Statement,
};
use mhealth_auditor::AuditError;
use mhealth_chain_client::write_new_secret;

use super::{inputs, REFUSED};

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a report key, in a new file that only you can read. Prints its public half, which the readers of your reports need.
    ///
    /// A report key signs reports and opens nothing. The study's auditor key, to which phones seal their secrets, is another one.
    New {
        /// The new file.
        file: PathBuf,
    },
    /// Prints the public half of a report key again.
    Show {
        /// The file.
        file: PathBuf,
    },
}

/// Checks that a report is as its auditor signed it, the page for people or the JSON. Nothing is asked of any node.
///
/// The exit status: 0 it is, 1 it is not, and the last line has the code; 3 the report could not be read.
#[derive(Args)]
pub(crate) struct VerifyReportArguments {
    /// The report.
    file: PathBuf,
    /// Public half of the auditor's report key, from the auditor and not from the report; may be given several times.
    #[arg(long, value_name = "KEY", required = true)]
    signed_by: Vec<Key>,
    /// The signature, if it is not in the file that has the report's name and `.sig`.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Genesis hash of the chain that the report should be about.
    #[arg(long, value_name = "HASH")]
    genesis: Option<Hash>,
    /// The study that the report should be about.
    #[arg(long)]
    study: Option<StudyId>,
}

pub(super) fn key(command: KeyCommand) -> Result<u8, AuditError> {
    let (key, file) = match command {
        KeyCommand::New { file } => {
            let key = ReportKey::generate()?;
            write_new_secret(&file, key.to_pem().as_bytes())?;
            (key, file)
        }
        KeyCommand::Show { file } => (inputs::report_key(&file)?, file),
    };
    println!("report_key={} file={}", key.public(), file.display());
    Ok(0)
}

pub(super) fn verify(arguments: VerifyReportArguments) -> Result<u8, AuditError> {
    let report = &arguments.file;
    let beside = || signature_path(report);
    let signature = arguments.signature.clone().unwrap_or_else(beside);
    let expected = Expected {
        keys: arguments.signed_by,
        chain: arguments.genesis,
        study: arguments.study,
    };
    match verify_file(report, &signature, &expected) {
        Ok(statement) => {
            tell(&statement);
            println!(
                "verified=true study={} chain={} block={} key={} signed={}",
                statement.study,
                statement.chain,
                statement.block,
                statement.key,
                statement.signed()
            );
            Ok(0)
        }
        Err(fault @ ReportFault::Unreadable(_)) => Err(AuditError::Report {
            file: report.display().to_string(),
            fault,
        }),
        Err(fault) => {
            eprintln!("mhealth-auditor: {fault}");
            println!("verified=false error={}", fault.code());
            Ok(REFUSED)
        }
    }
}

fn tell(statement: &Statement) {
    println!(
        "This report is as {:?} signed it on {} with the report key {}.",
        statement.signer,
        statement.signed(),
        statement.key
    );
    println!(
        "It is about study {} of the chain {}, at block {} ({}).",
        statement.study, statement.chain, statement.block, statement.block_hash
    );
    println!(
        "This does not say that its findings are right: evidence shows that (`mhealth-auditor prove`)."
    );
}
