// SPDX-License-Identifier: Apache-2.0

//! Report files, which are signed as they are written.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use mhealth_api::Hash;
use sha2::{Digest, Sha256};

use super::{signed_text, ReportKey, Statement};
use crate::error::AuditError;
use crate::part::{make_durable, Part};
use crate::report::Heading;

/// Most bytes of a signer's name.
const LONGEST_SIGNER: usize = 200;

/// Where the signature of a report stands: beside it, under its name and `.sig`.
pub fn signature_path(report: &Path) -> PathBuf {
    let mut path = report.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Why something cannot be named in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// A report's name.
    #[error(
        "a report that is signed has a name in UTF-8 without control characters and backslashes"
    )]
    Name,
    /// The signer.
    #[error("--auditor: who signs has a name of 1 to {LONGEST_SIGNER} bytes, without control characters")]
    Signer,
}

/// Who signs an audit's reports.
pub struct Signing<'a> {
    key: &'a ReportKey,
    heading: &'a Heading,
    signed_at: u64,
}

impl<'a> Signing<'a> {
    /// Fails when nothing could be signed that has these names. To be asked before the work of an audit is done.
    pub fn check(signer: &str, reports: &[&Path]) -> Result<(), Unsignable> {
        let plain = !signer.chars().any(char::is_control);
        // A reader trims lines, and the signer's name ends one.
        if signer.trim() != signer || !plain || !(1..=LONGEST_SIGNER).contains(&signer.len()) {
            return Err(Unsignable::Signer);
        }
        for report in reports {
            name(report)?;
        }
        Ok(())
    }

    /// Signs reports of the audit with this heading, at this time (seconds since 1970).
    pub fn new(key: &'a ReportKey, heading: &'a Heading, signed_at: u64) -> Self {
        Self {
            key,
            heading,
            signed_at,
        }
    }

    /// The signature file of a report.
    fn sign(&self, report: &Path, bytes: u64, sha256: Hash) -> Result<String, Unsignable> {
        let statement = Statement {
            key: self.key.public(),
            chain: self.heading.chain,
            study: self.heading.study,
            block: self.heading.block,
            block_hash: self.heading.block_hash,
            signer: self.heading.auditor.clone(),
            signed_at: self.signed_at,
            bytes,
            sha256,
            name: name(report)?.to_owned(),
        };
        let signature = self.key.sign(statement.text().as_bytes());
        Ok(signed_text(&statement, &signature))
    }
}

/// The name under which `sha256sum` finds a report. It writes other names in another way.
fn name(report: &Path) -> Result<&str, Unsignable> {
    let name = report.file_name().and_then(|name| name.to_str());
    name.filter(|name| !name.contains(|c: char| c.is_control() || c == '\\'))
        .ok_or(Unsignable::Name)
}

/// A report while it is written. What stood under its name before stays there, with its signature, until this one is whole.
pub struct ReportFile {
    part: Part,
    out: BufWriter<File>,
    sha256: Sha256,
    bytes: u64,
}

impl ReportFile {
    /// Begins a report, beside the one that stands there: under its name and `.part`. Fails where another audit writes the same.
    pub fn create(path: &Path) -> Result<Self, AuditError> {
        let (part, file) = Part::begin(path)?;
        Ok(Self {
            out: BufWriter::new(file),
            part,
            sha256: Sha256::new(),
            bytes: 0,
        })
    }

    /// Ends the report, signs it if somebody signs, and puts it in its place.
    pub fn finish(mut self, signing: Option<&Signing<'_>>) -> Result<(), AuditError> {
        self.out.flush()?;
        // A signature that outlives its report would say that somebody cut it off.
        make_durable(self.out.get_ref())?;
        let signature = signature_path(self.part.target());
        let signed = match signing {
            Some(signing) => {
                let sha256 = Hash(self.sha256.finalize().into());
                let text = signing.sign(self.part.target(), self.bytes, sha256);
                let text = text.map_err(|why| AuditError::Input {
                    file: self.part.target().display().to_string(),
                    why: why.to_string(),
                })?;
                let part = Part::of(signature.clone());
                // Nobody else writes it: the report is this one's.
                let mut file = File::create(part.path())?;
                file.write_all(text.as_bytes())?;
                make_durable(&file)?;
                Some(part)
            }
            None => None,
        };
        // That of the report before would say that this one was changed.
        match std::fs::remove_file(&signature) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
        self.part.put_in_place()?;
        if let Some(part) = signed {
            part.put_in_place()?;
        }
        Ok(())
    }
}

impl Write for ReportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
