// SPDX-License-Identifier: Apache-2.0

//! A key folder in n shares, k of which bring it back (Shamir's scheme, byte by byte). Fewer than k say nothing about any key.

use std::fs;
use std::path::{Path, PathBuf};

use blahaj::{Share, Sharks};
use mhealth_api::{Base64, Hash};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{backup::checksum, files, random, KeyFolder};
use crate::error::DataError;

const SCHEMA: &str = "mhealth-key-share/1";

/// A share, as its file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareFile {
    schema: String,
    /// What belongs together: a random number.
    set: Hash,
    /// How many shares are needed.
    threshold: u8,
    /// How many were made.
    shares: u8,
    /// Which of them this is, from 1.
    index: u8,
    /// SHA-256 of the bytes of the share.
    sha256: Hash,
    share: Base64,
}

impl KeyFolder {
    /// Writes `shares` new files into a new folder; `threshold` of them are needed to bring the keys back.
    pub fn split(
        &self,
        threshold: u8,
        shares: u8,
        out: &Path,
        at: &str,
    ) -> Result<Vec<PathBuf>, DataError> {
        if threshold < 2 || threshold > shares {
            let why = "--threshold is at least 2 and at most as large as --shares";
            return Err(DataError::Usage(why.into()));
        }
        if out.exists() {
            return Err(DataError::OutputExists(out.display().to_string()));
        }
        let bundle = self.bundle()?;
        // With its checksum: shares that do not belong together make other bytes, not an error.
        let mut secret = Zeroizing::new(checksum(bundle.as_bytes()).to_vec());
        secret.reserve_exact(bundle.len());
        secret.extend_from_slice(bundle.as_bytes());
        let set = Hash(*random()?);
        self.remember_copy(&format!("split {set}"), at)?;
        files::make_folder(out)?;
        let mut written = Vec::new();
        let dealt = Sharks(threshold).dealer(&secret);
        for (share, index) in dealt.take(shares.into()).zip(1..=shares) {
            let bytes: Vec<u8> = Vec::from(&share);
            let file = ShareFile {
                schema: SCHEMA.into(),
                set,
                threshold,
                shares,
                index,
                sha256: Hash(checksum(&bytes)),
                share: Base64(bytes),
            };
            let mut text = Zeroizing::new(serde_json::to_string(&file).expect("string keys; qed"));
            text.push('\n');
            let path = out.join(format!("share-{index}-of-{shares}.json"));
            files::write_new(&path, text.as_bytes())?;
            written.push(path);
        }
        Ok(written)
    }

    /// Brings the keys back from shares into a folder, which is made if there is none.
    pub fn join(folder: &Path, shares: &[PathBuf]) -> Result<(Self, usize), DataError> {
        let mut read: Vec<ShareFile> = Vec::new();
        for path in shares {
            let share = read_share(path)?;
            let wrong = |why| DataError::BadShare {
                file: path.display().to_string(),
                why,
            };
            if let Some(first) = read.first() {
                if (first.set, first.threshold) != (share.set, share.threshold) {
                    return Err(wrong("it is of another split than the one before"));
                }
            }
            // The same share twice is one share.
            if read.iter().all(|known| known.index != share.index) {
                read.push(share);
            }
        }
        let threshold = read.first().map_or(2, |share| share.threshold);
        if read.len() < usize::from(threshold) {
            return Err(DataError::TooFewShares {
                given: read.len(),
                needed: threshold,
            });
        }
        let shares: Result<Vec<Share>, _> = read
            .iter()
            .map(|share| Share::try_from(share.share.0.as_slice()))
            .collect();
        let recovered = shares
            .ok()
            .and_then(|shares| Sharks(threshold).recover(&shares).ok());
        let secret = Zeroizing::new(recovered.ok_or(DataError::NotABackUp)?);
        let (sum, bundle) = secret
            .split_first_chunk::<32>()
            .ok_or(DataError::NotABackUp)?;
        if checksum(bundle) != *sum {
            return Err(DataError::NotABackUp);
        }
        Self::unbundle(folder, bundle)
    }
}

fn read_share(path: &Path) -> Result<ShareFile, DataError> {
    let bad = |why| DataError::BadShare {
        file: path.display().to_string(),
        why,
    };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(DataError::file(path))?);
    let share: ShareFile = serde_json::from_str(&text).map_err(|_| bad("it has another form"))?;
    if share.schema != SCHEMA {
        return Err(bad("it is of another version"));
    }
    if Hash(checksum(&share.share.0)) != share.sha256 {
        return Err(bad("its checksum is another"));
    }
    if share.share.0.first() != Some(&share.index) || share.index == 0 {
        return Err(bad("its number is another"));
    }
    Ok(share)
}
