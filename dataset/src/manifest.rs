// SPDX-License-Identifier: Apache-2.0

//! `dataset.json`: what a dataset is made of, and the holder's signature over it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hashchain::{encoding, Native, StudyId};
use mhealth_api::{Hash, Key, SignatureBytes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::Audit;
use crate::envelopes::ExportRead;
use crate::error::DataError;
use crate::input;
use crate::registry::EvidenceFile;

/// Names the form of a manifest. A change that a reader could stumble over gets a new number.
pub const SCHEMA: &str = "mhealth-dataset/1";
/// The manifest's file.
pub const MANIFEST: &str = "dataset.json";
/// The file with the signature over it.
pub const SIGNATURE: &str = "dataset.json.sig";
/// Bytes of the largest manifest that is read.
const LARGEST: u64 = 64 << 20;

/// What a dataset is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program that made it, with its version, and the commit that it was built from, if its build was told.
    pub program: String,
    /// When it was made, in seconds since 1970. Nothing else in a dataset depends on it.
    pub made_at: u64,
    /// The holder's key, by which this is signed.
    pub holder: Key,
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
    /// Its title.
    pub title: String,
    /// The participant that it is about, if it is about one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// The audit that its verdicts are from.
    pub audit: AuditRef,
    /// The evidence that its rows were compared with.
    pub evidence: Vec<EvidenceFile>,
    /// The exports that its data are from.
    pub exports: Vec<ExportRead>,
    /// Whether it has entries that are not valid.
    pub include_flagged: bool,
    /// Devices that it is about.
    pub devices: u64,
    /// Participants with a row.
    pub participants: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that count for their night.
    pub current: u64,
    /// Rows of records that are in parts.
    #[serde(default)]
    pub records_in_parts: u64,
    /// The parts of these records, each a line of `parts.ndjson`.
    #[serde(default)]
    pub parts: u64,
    /// Entries of these devices that the evidence has and the audit has not: they were registered later, or its report lacks them.
    #[serde(default)]
    pub not_audited: u64,
    /// How many entries of these devices got each verdict of the audit.
    pub verdicts: BTreeMap<String, u64>,
    /// How many of them have no row, by their verdicts; `key_destroyed`: valid ones of participants whose key is gone.
    pub left_out: BTreeMap<String, u64>,
    /// How many rows have each problem.
    pub problems: BTreeMap<String, u64>,
    /// Media types that this version does not know, with the number of their entries.
    pub unknown_media_types: BTreeMap<String, u64>,
    /// The files.
    pub files: Vec<FileRef>,
}

/// An audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRef {
    /// SHA-256 of its JSON report.
    pub sha256: Hash,
    /// Who ran it.
    pub auditor: String,
    /// By which program.
    pub program: String,
    /// When, in seconds since 1970.
    pub run_at: u64,
    /// The finalised block that it is about.
    pub block: u64,
    /// Its hash.
    pub block_hash: Hash,
    /// When it was made, in seconds since 1970.
    pub block_time: Option<u64>,
    /// What came out.
    pub outcome: String,
    /// Whether all that it read of the chain is proved, and nothing only a node's word.
    pub proved: bool,
    /// The report key that signed it, if the holder asked for a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<Key>,
}

/// A file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name below the dataset's folder, with `/` between folders.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: Hash,
}

impl AuditRef {
    pub(crate) fn of(audit: &Audit, signed_by: Option<Key>) -> Self {
        let heading = &audit.heading;
        AuditRef {
            sha256: audit.sha256,
            auditor: heading.auditor.clone(),
            program: heading.program.clone(),
            run_at: heading.run_at,
            block: heading.block,
            block_hash: heading.block_hash,
            block_time: heading.block_time,
            outcome: audit.summary.outcome.clone(),
            proved: heading.is_proved(),
            signed_by,
        }
    }
}

impl Manifest {
    /// The files of the manifest and of its signature.
    pub(crate) fn sign(&self, holder: &SigningKey) -> [(&'static str, String); 2] {
        let mut text = serde_json::to_string_pretty(self).expect("string keys; qed");
        text.push('\n');
        let signature = holder.sign(&statement(text.as_bytes()));
        let signature = format!("{}\n", SignatureBytes(signature.to_bytes()));
        [(MANIFEST, text), (SIGNATURE, signature)]
    }

    /// Reads a dataset's manifest, if this holder signed it.
    pub fn read(folder: &Path, holder: &Key) -> Result<Self, DataError> {
        let none = || DataError::NotADataset(folder.display().to_string());
        let text = read(&folder.join(MANIFEST))?.ok_or_else(none)?;
        let signed = read(&folder.join(SIGNATURE))?.ok_or_else(none)?;
        if !is_signed(&text, &signed, holder) {
            return Err(DataError::BadSignature);
        }
        let unknown = |why: String| DataError::UnknownManifest(why);
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| unknown(error.to_string()))?;
        match manifest.schema == SCHEMA && manifest.holder == *holder {
            true => Ok(manifest),
            false => Err(unknown(manifest.schema)),
        }
    }
}

/// This program, as a manifest names it. `scripts/release` tells the build the commit.
pub(crate) fn program(commit: Option<&str>) -> String {
    let version = concat!("mhealth-data ", env!("CARGO_PKG_VERSION"));
    match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

/// What is signed: `H("dataset", SHA-256 of the manifest)`. The label keeps it apart from everything else that is signed.
fn statement(manifest: &[u8]) -> [u8; 32] {
    let digest: [u8; 32] = Sha256::digest(manifest).into();
    encoding::hash::<Native>("dataset", &[&digest])
}

fn is_signed(text: &[u8], signed: &[u8], holder: &Key) -> bool {
    let signature = std::str::from_utf8(signed).ok();
    let signature = signature.and_then(|it| it.strip_suffix('\n'));
    let Some(signature) = signature.and_then(|it| it.parse::<SignatureBytes>().ok()) else {
        return false;
    };
    // There is one way to write it.
    if format!("{signature}\n").as_bytes() != signed {
        return false;
    }
    let signature = Signature::from_bytes(&signature.0);
    let key = VerifyingKey::from_bytes(&holder.0);
    key.is_ok_and(|key| key.verify_strict(&statement(text), &signature).is_ok())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    match input::must_be_file(path).and_then(|()| input::read(path, LARGEST)) {
        Err(DataError::File { why, .. })
            if [ErrorKind::NotFound, ErrorKind::InvalidInput].contains(&why.kind()) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// A file of a dataset's folder, with its length and hash.
pub(crate) fn describe(folder: &Path, name: &str) -> Result<FileRef, DataError> {
    let (bytes, sha256) = input::digest(&folder.join(name))?;
    Ok(FileRef {
        name: name.to_owned(),
        bytes,
        sha256,
    })
}

/// The names of all files below a folder, in order; of whatever is no folder. Names that are no text have replacements in them.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = open.pop() {
        for entry in fs::read_dir(&path).map_err(DataError::file(&path))? {
            let entry = entry.map_err(DataError::file(&path))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(DataError::file(&entry.path()))?;
            match kind.is_dir() {
                true => open.push((entry.path(), format!("{name}/"))),
                false => found.push(name),
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_knows_its_commit_names_it() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(program(None), format!("mhealth-data {version}"));
        assert_eq!(
            program(Some("4f5a")),
            format!("mhealth-data {version} (4f5a)")
        );
    }
}
