// SPDX-License-Identifier: Apache-2.0

//! Checks a dataset offline: nothing is needed but the folder, evidence, the genesis hash and the holder's public key. With the audit's
//! report, its rows are held against that, too.

mod audited;
mod check;
mod complete;
mod seen;

use std::path::{Path, PathBuf};

use hashchain::DeviceId;
use mhealth_api::Key;

use crate::error::DataError;
use crate::formats::PARTS_FILE;
use crate::input;
use crate::manifest::{describe, names, Manifest, MANIFEST, SIGNATURE};
use crate::registry::{Registry, Sources};

use audited::Audited;
pub use audited::Contradiction;
use check::Check;

/// What a reader has beside the dataset.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The evidence.
    pub evidence: Sources,
    /// The holder's public key, from a source that the reader trusts.
    pub holder: Key,
    /// The audit's JSON report, from its auditor, to compare every row with, and to find what was left out.
    pub audit: Option<PathBuf>,
}

/// What holds of a dataset.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What its holder signed.
    pub manifest: Manifest,
    /// Its files with rows, and how many each has.
    pub rows: Vec<(String, u64)>,
    /// Devices with valid entries that have no row, because their participant's key is destroyed, as the holder says: all others have one,
    /// or are parts of a record that has one, as the holder says, too. Of a participant's package that is so of the devices that have rows,
    /// and of those that seal to the same key; that the participant has no others is the holder's word. Nothing if the audit's report was
    /// not given, or no file of the dataset has every row.
    pub key_destroyed: Option<Vec<DeviceId>>,
}

/// Checks signature, files, and the place and digest of each row of each file. With the audit's report also what each row says that the
/// audit says of it, and that no valid entry was left out.
pub fn verify(folder: &Path, trusted: &Trusted) -> Result<Verified, DataError> {
    let manifest = Manifest::read(folder, &trusted.holder)?;
    check_files(folder, &manifest)?;
    let another = |audit: &Path| DataError::AnotherAudit(audit.display().to_string());
    if let Some(audit) = &trusted.audit {
        // It is read again below.
        input::must_be_file(audit)?;
        if input::digest(audit)?.1 != manifest.audit.sha256 {
            return Err(another(audit));
        }
    }
    if manifest.chain != trusted.evidence.genesis {
        return Err(DataError::DatasetOfAnotherChain(manifest.chain));
    }
    let registry = Registry::load(&trusted.evidence)?;
    registry.reaches(manifest.audit.block)?;
    let mut audited = None;
    if let Some(audit) = &trusted.audit {
        let read = Audited::read(audit, &registry)?;
        if read.audit.sha256 != manifest.audit.sha256 {
            return Err(another(audit));
        }
        audited = Some(read);
    }
    let mut check = Check::of(&manifest, &registry, audited.as_ref());
    let mut names: Vec<&str> = manifest.files.iter().map(|it| it.name.as_str()).collect();
    // What is a part of a record has to be known before the rows come.
    names.sort_by_key(|name| *name != PARTS_FILE);
    let mut rows = Vec::new();
    for name in names {
        if let Some(count) = check.file(folder, name)? {
            rows.push((name.to_owned(), count));
        }
    }
    rows.sort();
    let key_destroyed = check.end()?;
    Ok(Verified {
        manifest,
        rows,
        key_destroyed,
    })
}

/// Exactly the files that were signed, each as it was.
fn check_files(folder: &Path, manifest: &Manifest) -> Result<(), DataError> {
    let present = names(folder)?;
    let own = |name: &str| name == MANIFEST || name == SIGNATURE;
    let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
    if let Some(more) = present.iter().find(|name| !own(name) && !listed(name)) {
        return Err(DataError::FileUnlisted(more.clone()));
    }
    if manifest.parts > 0 && !listed(PARTS_FILE) {
        return Err(DataError::FileMissing(PARTS_FILE.to_owned()));
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
