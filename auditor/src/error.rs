// SPDX-License-Identifier: Apache-2.0

//! Why an audit could not be made.

use hashchain::{DeviceId, StudyId};
use mhealth_api::Key;

use crate::chain::Unproved;
use crate::prove::Unaccounted;

/// Why an audit could not be made. Nothing is said of any entry then.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain could not be read.
    #[error("the chain could not be read: {0}")]
    Chain(#[from] mhealth_chain_client::Error),
    /// The scratch file could not be written or read.
    #[error("the audit's own file failed: {0}")]
    Scratch(#[from] rusqlite::Error),
    /// No such study.
    #[error("this chain has no study {0}")]
    NoSuchStudy(StudyId),
    /// The key given is not the study's.
    #[error("the auditor's key is not this study's: the chain names {expected}, the key given belongs to {given}")]
    WrongAuditorKey {
        /// The key that the chain names.
        expected: Key,
        /// The public half of the key that was given.
        given: Key,
    },
    /// The file with what was read before belongs to another audit.
    #[error("the file given with --keep is of another study or another chain, or of an audit from other checkpoints")]
    ForeignFile,
    /// The node says something that it does not prove.
    #[error("the node does not prove what it says: {0}")]
    Unproved(#[from] Unproved),
    /// A file of the caller's is not as it should be.
    #[error("{file}: {why}")]
    Input {
        /// The file, or what is in its place.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file with keys is not fit to be read.
    #[error("{0}")]
    SecretFile(#[from] mhealth_chain_client::SecretFileError),
    /// What should sign the reports is no report key.
    #[error("{0}: {1}")]
    NotAReportKey(String, crate::signature::NotAReportKey),
    /// A report cannot be checked.
    #[error("{file}: {fault}")]
    Report {
        /// The report, or its signature file.
        file: String,
        /// Why not.
        fault: crate::signature::ReportFault,
    },
    /// A credential would go to a relay on another machine unprotected.
    #[error("a credential goes to a relay by https:// only, or by http:// on this machine, and not to {0}")]
    RelayWithoutTls(String),
    /// A node does not give what evidence needs.
    #[error("no evidence can be made: {0}")]
    NotProvable(String),
    /// No evidence can be made of these devices.
    #[error("no evidence can be made: {}", unaccounted(.0))]
    Unaccounted(Vec<Unaccounted>),
    /// The evidence about one device alone is more than anybody reads.
    #[error("no evidence can be made: that of device {device} alone has more than the {most} bytes that are read. Leave out --export")]
    TooLarge {
        /// The device.
        device: DeviceId,
        /// Bytes that a file may have.
        most: usize,
    },
    /// A file is no evidence.
    #[error("{0}")]
    Format(#[from] crate::evidence::FormatError),
    /// A report could not be written.
    #[error("a report could not be written: {0}")]
    Output(#[from] std::io::Error),
}

impl AuditError {
    /// The error as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            AuditError::Chain(_) => "chain_unreadable",
            AuditError::Scratch(_) => "scratch_failed",
            AuditError::NoSuchStudy(_) => "no_such_study",
            AuditError::WrongAuditorKey { .. } => "wrong_auditor_key",
            AuditError::ForeignFile => "foreign_file",
            AuditError::Unproved(unproved) => unproved.code(),
            AuditError::Input { .. } => "bad_input",
            AuditError::SecretFile(error) => error.code(),
            AuditError::NotAReportKey(..) => "not_a_report_key",
            AuditError::Report { fault, .. } => fault.code(),
            AuditError::RelayWithoutTls(_) => "relay_without_tls",
            AuditError::NotProvable(_) => "not_provable",
            AuditError::Unaccounted(_) => "unaccounted",
            AuditError::TooLarge { .. } => "evidence_too_large",
            AuditError::Format(_) => "not_evidence",
            AuditError::Output(_) => "output_failed",
        }
    }
}

/// What is unaccounted for, and what to do.
fn unaccounted(devices: &[Unaccounted]) -> String {
    /// Devices that are named.
    const SHOWN: usize = 10;
    let named = devices.iter().take(SHOWN).map(Unaccounted::to_string);
    let named = named.collect::<Vec<_>>().join("; ");
    let more = match devices.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more devices"),
    };
    format!("{named}{more}. --leave-out-unaccounted makes that of the study's other devices")
}
