// SPDX-License-Identifier: Apache-2.0

//! The auditor's signature under a report.
//!
//! # What it is for
//!
//! A report goes from hand to hand: to the sponsor, into the trial master file, to an inspector years later. Its signature says
//! that not a digit of it was changed since its auditor signed it, with which key that was, and of which study and block it is.
//!
//! # Its form
//!
//! A file beside the report, which has the report's name with `.sig` at the end. It is text, so that it can be checked without
//! this program: `sha256sum --check` takes it as it is, and what is signed is all of it but its last line. The statement and
//! not the report itself is signed, so that reports of any length are written, signed and checked as they stream by, and so that
//! a page, which programs do not read, names its study, too.
//!
//! ```text
//! # mhealth-audit-signature/1
//! # key 0x…                               public half of the report key, Ed25519
//! # chain 0x…                             genesis hash
//! # study 0
//! # block 812 0x…                         the block of the audit, and its hash
//! # signer N. N., clinical monitor        as `--auditor` says
//! # signed 2026-11-20T08:00:00Z
//! # meaning author of this audit
//! # bytes 51234                           of the report
//! 5891…  audit.json                       SHA-256 of the report, and its name
//! # signature 0x…                         Ed25519 (RFC 8032) over the lines before, each with its line feed
//! ```
//!
//! # Which key that is
//!
//! A **report key** is the auditor's own: an Ed25519 key that signs reports and opens nothing. A study's **auditor key** is an
//! X25519 key to which phones seal their secrets, and signs nothing. Their files have different forms, so that neither is taken
//! for the other.

mod file;
mod key;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use ed25519_dalek::{Signature, VerifyingKey};
use hashchain::StudyId;
use mhealth_api::{Hash, Key, SignatureBytes};
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

pub use file::{signature_path, ReportFile, Signing, Unsignable};
pub use key::{NotAReportKey, ReportKey};

/// Names the form of a signature file. Another form gets a new number.
pub const FORM: &str = "mhealth-audit-signature/1";
/// Bytes of the largest signature file that is read.
pub const LARGEST: u64 = 16 << 10;
/// As what the signer signs (21 CFR 11.50(a)(3)).
const MEANING: &str = "author of this audit";
/// What the last line begins with.
const SIGNATURE: &str = "# signature ";

/// What the signer of a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The public half of the report key that signed.
    pub key: Key,
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
    /// Number of the block that the audit is about.
    pub block: u64,
    /// Its hash.
    pub block_hash: Hash,
    /// Who signed, as that person said.
    pub signer: String,
    /// When, in seconds since 1970, by the signer's clock.
    pub signed_at: u64,
    /// Bytes of the report.
    pub bytes: u64,
    /// SHA-256 of the report.
    pub sha256: Hash,
    /// The file's name when it was signed. Files may be renamed.
    pub name: String,
}

impl Statement {
    /// The statement as it is signed, each line with its line feed.
    pub fn text(&self) -> String {
        format!(
            "# {FORM}\n# key {}\n# chain {}\n# study {}\n# block {} {}\n# signer {}\n# signed {}\n# meaning {MEANING}\n\
             # bytes {}\n{}  {}\n",
            self.key,
            self.chain,
            self.study,
            self.block,
            self.block_hash,
            self.signer,
            self.signed(),
            self.bytes,
            hex::encode(self.sha256.0),
            self.name
        )
    }

    /// When it was signed, as RFC 3339 has it.
    pub fn signed(&self) -> String {
        let seconds = i64::try_from(self.signed_at).ok();
        let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        moment.format(&Rfc3339).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |label: &str| lines.next()?.strip_prefix("# ")?.strip_prefix(label);
        value(FORM).filter(|rest| rest.is_empty())?;
        let key = value("key ")?.parse().ok()?;
        let chain = value("chain ")?.parse().ok()?;
        let study = value("study ")?.parse().ok()?;
        let (block, block_hash) = value("block ")?.split_once(' ')?;
        let (block, block_hash) = (block.parse().ok()?, block_hash.parse().ok()?);
        let signer = value("signer ")?.to_owned();
        let signed = OffsetDateTime::parse(value("signed ")?, &Rfc3339).ok()?;
        value("meaning ")?;
        let bytes = value("bytes ")?.parse().ok()?;
        let (digits, name) = lines.next()?.split_once("  ")?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(digits, &mut sha256).ok()?;
        let statement = Self {
            key,
            chain,
            study,
            block,
            block_hash,
            signer,
            signed_at: u64::try_from(signed.unix_timestamp()).ok()?,
            bytes,
            sha256: Hash(sha256),
            name: name.to_owned(),
        };
        // There is one way to write a statement: no other digits, no other lines.
        (statement.text() == text).then_some(statement)
    }
}

/// A statement with its signature, as the file has it.
fn signed_text(statement: &Statement, signature: &SignatureBytes) -> String {
    let mut text = statement.text();
    let _ = writeln!(text, "{SIGNATURE}{signature}");
    text
}

/// Reads a signature file. Nothing is checked yet.
fn parse_signed(file: &[u8]) -> Option<(Statement, SignatureBytes)> {
    let text = std::str::from_utf8(file).ok()?;
    let last = text.rfind(SIGNATURE)?;
    let signature = text[last..].strip_prefix(SIGNATURE)?.trim_end();
    let signature = signature.parse().ok()?;
    let statement = Statement::parse(&text[..last])?;
    (signed_text(&statement, &signature) == text).then_some((statement, signature))
}

/// What the reader of a report knows from elsewhere.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The public halves of the report keys that the reader trusts.
    pub keys: Vec<Key>,
    /// Genesis hash of the chain; none takes any.
    pub chain: Option<Hash>,
    /// The study; none takes any.
    pub study: Option<StudyId>,
}

/// Why a report is not as its auditor signed it.
#[derive(Debug, thiserror::Error)]
pub enum ReportFault {
    /// There is no signature.
    #[error("the report is not signed: there is no {0}")]
    Unsigned(String),
    /// The signature file is none.
    #[error("the signature file is damaged: it is not of the form {FORM}")]
    Malformed,
    /// Another key signed.
    #[error("the report is signed with the report key {0}, which is none of those that you trust")]
    AnotherKey(Key),
    /// The key that is named did not sign this.
    #[error(
        "the signature does not hold: what the signature file says is not what its key signed"
    )]
    SignatureFails,
    /// It is of another chain.
    #[error("the report is of the chain {0}")]
    AnotherChain(Hash),
    /// It is of another study.
    #[error("the report is of study {0}")]
    AnotherStudy(StudyId),
    /// Its end is lacking.
    #[error("the report is cut off: it has {has} of {signed} bytes")]
    Truncated {
        /// Bytes that are there.
        has: u64,
        /// Bytes that were signed.
        signed: u64,
    },
    /// It was changed.
    #[error(
        "the report was changed after it was signed: its SHA-256 is {has}, and {signed} was signed"
    )]
    Changed {
        /// Of what is there.
        has: Hash,
        /// Of what was signed.
        signed: Hash,
    },
    /// It, or its signature file, cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

impl ReportFault {
    /// The fault as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            ReportFault::Unsigned(_) => "report_unsigned",
            ReportFault::Malformed => "report_signature_malformed",
            ReportFault::AnotherKey(_) => "another_report_key",
            ReportFault::SignatureFails => "report_signature_fails",
            ReportFault::AnotherChain(_) => "report_of_another_chain",
            ReportFault::AnotherStudy(_) => "report_of_another_study",
            ReportFault::Truncated { .. } => "report_truncated",
            ReportFault::Changed { .. } => "report_changed",
            ReportFault::Unreadable(_) => "report_unreadable",
        }
    }
}

/// Checks that a report is what one of the expected keys signed, and gives what that signer said of it. `signature` is all of
/// the signature file.
pub fn verify(
    report: &mut impl Read,
    signature: &[u8],
    expected: &Expected,
) -> Result<Statement, ReportFault> {
    let (statement, signature) = parse_signed(signature).ok_or(ReportFault::Malformed)?;
    if !expected.keys.contains(&statement.key) {
        return Err(ReportFault::AnotherKey(statement.key));
    }
    let signature = Signature::from_bytes(&signature.0);
    VerifyingKey::from_bytes(&statement.key.0)
        .and_then(|key| key.verify_strict(statement.text().as_bytes(), &signature))
        .map_err(|_| ReportFault::SignatureFails)?;
    if expected.chain.is_some_and(|chain| chain != statement.chain) {
        return Err(ReportFault::AnotherChain(statement.chain));
    }
    if expected.study.is_some_and(|study| study != statement.study) {
        return Err(ReportFault::AnotherStudy(statement.study));
    }
    let (has, bytes) = digest(report)?;
    if bytes < statement.bytes {
        return Err(ReportFault::Truncated {
            has: bytes,
            signed: statement.bytes,
        });
    }
    if has != statement.sha256 {
        return Err(ReportFault::Changed {
            has,
            signed: statement.sha256,
        });
    }
    Ok(statement)
}

/// The same of files. That the report or its signature is there and cannot be read is [`ReportFault::Unreadable`].
pub fn verify_file(
    report: &Path,
    signature: &Path,
    expected: &Expected,
) -> Result<Statement, ReportFault> {
    let mut report = File::open(report)?;
    let mut bytes = Vec::new();
    // One byte more than any signature has: what is longer is none.
    let read =
        File::open(signature).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => verify(&mut report, &bytes, expected),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ReportFault::Unsigned(signature.display().to_string()))
        }
        Err(error) => {
            let why = format!("{}: {error}", signature.display());
            Err(io::Error::new(error.kind(), why).into())
        }
    }
}

/// SHA-256 of all that is read, and how much that is.
fn digest(from: &mut impl Read) -> std::io::Result<(Hash, u64)> {
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((Hash(sha256.finalize().into()), bytes)),
            Ok(read) => {
                sha256.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
