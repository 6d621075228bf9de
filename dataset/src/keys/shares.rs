// SPDX-License-Identifier: Apache-2.0

//! A key folder in n shares, k of which bring it back. Fewer than k say nothing about any key.

use std::fs;
use std::path::{Path, PathBuf};

use mhealth_api::Hash;
use mhealth_shares::{Scheme, ShareError};
use zeroize::Zeroizing;

use super::{files, random, KeyFolder};
use crate::error::DataError;

const SCHEMA: &str = "mhealth-key-share/1";

impl KeyFolder {
    /// Writes `shares` new files into a new folder; `threshold` of them are needed to bring the keys back.
    pub fn split(
        &self,
        threshold: u8,
        shares: u8,
        out: &Path,
        at: &str,
    ) -> Result<Vec<PathBuf>, DataError> {
        let scheme = Scheme::new(threshold, shares)?;
        if out.exists() {
            return Err(DataError::OutputExists(out.display().to_string()));
        }
        let set = Hash(*random()?);
        self.remember_copy(&format!("split {set}"), at)?;
        let bundle = self.bundle()?;
        files::make_folder(out)?;
        let mut written = Vec::new();
        for file in mhealth_shares::split(SCHEMA, bundle.as_bytes(), scheme, set) {
            let path = out.join(&file.name);
            files::write_new(&path, file.text.as_bytes())?;
            written.push(path);
        }
        Ok(written)
    }

    /// Brings keys and records back from shares into a folder, which is made if there is none.
    pub fn join(folder: &Path, shares: &[PathBuf]) -> Result<(Self, usize), DataError> {
        let mut texts = Vec::new();
        for path in shares {
            let text = fs::read_to_string(path).map_err(DataError::file(path))?;
            texts.push((path.display().to_string(), Zeroizing::new(text)));
        }
        let texts = texts.iter().map(|(file, text)| (file.clone(), &***text));
        let bundle = mhealth_shares::join(SCHEMA, texts)?;
        Self::unbundle(folder, &bundle)
    }
}

impl From<ShareError> for DataError {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::BadScheme => {
                let why = "--threshold is at least 2 and at most as large as --shares";
                DataError::Usage(why.into())
            }
            ShareError::BadShare { file, why } => DataError::BadShare { file, why },
            ShareError::TooFew { given, needed } => DataError::TooFewShares { given, needed },
            ShareError::NotTogether => DataError::NotABackUp,
        }
    }
}
