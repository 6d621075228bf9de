// SPDX-License-Identifier: Apache-2.0

//! What the chain has registered, by evidence that was checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashchain::{entries, DataDigest, DeviceId, LinkHash, Native, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_auditor::evidence::{verify, Checkpoint, Evidence, FormatError, LARGEST};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::input;

/// Where evidence is, and what its reader trusts.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The files: one, or the parts that a large study's evidence is in.
    pub files: Vec<PathBuf>,
    /// Genesis hash of the chain, from a source that the reader trusts.
    pub genesis: Hash,
    /// Blocks that the reader trusts.
    pub checkpoints: Vec<Checkpoint>,
}

/// A file of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// SHA-256 of it.
    pub sha256: Hash,
    /// The finalised block whose state it proves.
    pub block: u64,
    /// Its hash.
    pub block_hash: Hash,
}

/// A device, as the chain has it.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The study that it is of.
    pub study: StudyId,
    /// Its key.
    pub key: Key,
    /// Digest of the key that it seals to.
    pub participant: [u8; 32],
    /// Its entries, from the first on: link and digest.
    pub entries: Vec<(LinkHash, DataDigest)>,
}

/// All devices of the evidence.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// The devices.
    pub devices: BTreeMap<DeviceId, Registered>,
    /// The files.
    pub files: Vec<EvidenceFile>,
}

impl Registry {
    /// Reads and checks evidence, one file at a time. What is kept takes 64 bytes for each entry.
    pub fn load(sources: &Sources) -> Result<Self, DataError> {
        let mut registry = Registry::default();
        for path in &sources.files {
            registry.add(path, sources)?;
        }
        Ok(registry)
    }

    fn add(&mut self, path: &Path, sources: &Sources) -> Result<(), DataError> {
        let file = path.display().to_string();
        let bytes = input::read(path, LARGEST as u64)?;
        let sha256 = Hash(Sha256::digest(&bytes).into());
        let unfit = |why: FormatError| DataError::NotEvidence {
            file: file.clone(),
            why,
        };
        let evidence = Evidence::from_bytes(&bytes).map_err(unfit)?;
        drop(bytes);
        let claims = verify(&evidence, sources.genesis.0, &sources.checkpoints);
        let claims = claims.map_err(|why| DataError::EvidenceRefused {
            file,
            why: why.to_string(),
        })?;
        self.files.push(EvidenceFile {
            sha256,
            block: claims.block.into(),
            block_hash: claims.block_hash,
        });
        for (device, claimed) in evidence.devices.into_iter().zip(claims.devices) {
            let linked = entries::<Native>(1, claimed.genesis, device.entries);
            let registered = Registered {
                study: claimed.study,
                key: claimed.key,
                participant: claimed.participant,
                entries: linked.map(|entry| (entry.hash, entry.digest)).collect(),
            };
            // Two files may be about one device; both are proved, and the longer one says more.
            let known = self.devices.get(&device.device);
            if known.is_none_or(|known| known.entries.len() < registered.entries.len()) {
                self.devices.insert(device.device, registered);
            }
        }
        Ok(())
    }

    /// Fails if some evidence is older than a block.
    pub fn reaches(&self, audit: u64) -> Result<(), DataError> {
        match self.files.iter().map(|file| file.block).min() {
            Some(evidence) if evidence < audit => {
                Err(DataError::EvidenceTooOld { evidence, audit })
            }
            _ => Ok(()),
        }
    }

    /// A device.
    pub fn device(&self, device: DeviceId) -> Result<&Registered, DataError> {
        let found = self.devices.get(&device);
        found.ok_or(DataError::EvidenceLacks(device))
    }

    /// Whether a device is proved to be of another study than this one.
    pub fn is_of_another(&self, device: DeviceId, study: StudyId) -> bool {
        let registered = self.devices.get(&device);
        registered.is_some_and(|it| it.study != study)
    }

    /// How many entries of a device are registered.
    pub fn length(&self, device: DeviceId) -> usize {
        let registered = self.devices.get(&device);
        registered.map_or(0, |it| it.entries.len())
    }

    /// Whether this entry is registered in this place.
    pub fn has(&self, device: DeviceId, sequence: u64, link: LinkHash, digest: DataDigest) -> bool {
        let registered = self.devices.get(&device);
        let place = registered.and_then(|it| it.entries.get(index(sequence)?));
        place == Some(&(link, digest))
    }
}

/// Where an entry stands in a list of a device's.
pub(crate) fn index(sequence: u64) -> Option<usize> {
    usize::try_from(sequence.checked_sub(1)?).ok()
}
