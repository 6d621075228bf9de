// SPDX-License-Identifier: Apache-2.0

//! Checks a dataset offline: nothing is needed but the folder, evidence, the genesis hash and the holder's public key.

use std::path::{Path, PathBuf};

use mhealth_api::Key;

use crate::error::DataError;
use crate::input;
use crate::manifest::{describe, names, Manifest, MANIFEST, SIGNATURE};
use crate::places::{self, Claim, Has};
use crate::registry::{Registry, Sources};

/// What a reader has beside the dataset.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The evidence.
    pub evidence: Sources,
    /// The holder's public key, from a source that the reader trusts.
    pub holder: Key,
    /// The audit's JSON report, to compare with the one that the dataset was made from.
    pub audit: Option<PathBuf>,
}

/// What holds of a dataset.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What its holder signed.
    pub manifest: Manifest,
    /// Its files with rows, and how many each has.
    pub rows: Vec<(String, u64)>,
}

/// Checks signature, files, and the place and digest of each row of each file.
pub fn verify(folder: &Path, trusted: &Trusted) -> Result<Verified, DataError> {
    let manifest = Manifest::read(folder, &trusted.holder)?;
    check_files(folder, &manifest)?;
    if let Some(audit) = &trusted.audit {
        if input::digest(audit)?.1 != manifest.audit.sha256 {
            return Err(DataError::AnotherAudit(audit.display().to_string()));
        }
    }
    if manifest.chain != trusted.evidence.genesis {
        return Err(DataError::DatasetOfAnotherChain(manifest.chain));
    }
    let registry = Registry::load(&trusted.evidence)?;
    registry.reaches(manifest.audit.block)?;
    let mut rows = Vec::new();
    for file in &manifest.files {
        let mut count = 0;
        let mut take = |row: u64, claim: Option<Claim>| {
            count += 1;
            check_row(&registry, &manifest, &file.name, row, claim)
        };
        let read = places::read(folder, &file.name, &mut take)?;
        let expected = match read {
            None => continue,
            Some(Has::EveryRow) => manifest.rows,
            Some(Has::EveryPart) => manifest.parts,
            Some(Has::Some) => count,
        };
        if count != expected {
            return Err(DataError::BadRow {
                file: file.name.clone(),
                row: count,
                why: "there are more or fewer rows than the holder signed",
            });
        }
        rows.push((file.name.clone(), count));
    }
    Ok(Verified { manifest, rows })
}

/// Exactly the files that were signed, each as it was.
fn check_files(folder: &Path, manifest: &Manifest) -> Result<(), DataError> {
    let present = names(folder)?;
    let own = |name: &str| name == MANIFEST || name == SIGNATURE;
    let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
    if let Some(more) = present.iter().find(|name| !own(name) && !listed(name)) {
        return Err(DataError::FileUnlisted(more.clone()));
    }
    for file in &manifest.files {
        // Only names of what was found in the folder are opened.
        if !present.contains(&file.name) {
            return Err(DataError::FileMissing(file.name.clone()));
        }
        // A pipe in its place would keep whoever reads it waiting.
        let is_file = folder.join(&file.name).is_file();
        if !is_file || describe(folder, &file.name)? != *file {
            return Err(DataError::FileAltered(file.name.clone()));
        }
    }
    Ok(())
}

fn check_row(
    registry: &Registry,
    manifest: &Manifest,
    file: &str,
    row: u64,
    claim: Option<Claim>,
) -> Result<(), DataError> {
    let bad = |why| DataError::BadRow {
        file: file.to_owned(),
        row,
        why,
    };
    let claim = claim.ok_or_else(|| bad("it does not say which entry it is"))?;
    // Registered or not.
    if registry.is_of_another(claim.device, manifest.study) {
        return Err(bad(
            "its device is of another study than the dataset, as the evidence has it",
        ));
    }
    if !manifest.include_flagged && (claim.verdict != "valid" || !claim.registered) {
        return Err(bad(
            "it is not valid, and the dataset is said to have valid entries only",
        ));
    }
    if ["valid", "erased"].contains(&claim.verdict.as_str()) && !claim.registered {
        return Err(bad("it is called right, and is not registered"));
    }
    let Claim {
        device,
        sequence,
        link,
        digest,
        ..
    } = claim;
    // What the audit did not see any more has no link, and is never valid.
    let unseen = claim.verdict == "not_covered" && link.0 == [0; 32];
    match !claim.registered || unseen || registry.has(device, sequence, link, digest) {
        true => Ok(()),
        false => Err(DataError::RowNotRegistered {
            file: file.to_owned(),
            row,
            device,
            sequence,
        }),
    }
}
