// SPDX-License-Identifier: Apache-2.0

//! A device in memory, for unit tests.

use ed25519_dalek::SigningKey;
use hashchain::{
    data_digest, plain_envelope, sign_head, Content, DeviceId, LinkHash, Native, Sealer, Secret,
    StudyId,
};
use mhealth_api::{Base64, Head, Key, RunEntry, RunUpload, SignatureBytes};

use crate::run::{CheckedRun, Rules};

/// Chains and signs entries.
pub(crate) struct TestDevice {
    device: DeviceId,
    key: SigningKey,
    sealer: Sealer,
    genesis: LinkHash,
    made: u32,
}

impl TestDevice {
    /// A device with this number, whose key, secret and link 0 follow from it.
    pub(crate) fn new(device: u32) -> Self {
        Self::with_history(device, 0)
    }

    /// The same device with another secret, so that its entries are others.
    pub(crate) fn with_history(device: u32, history: u8) -> Self {
        let seed = (device % 251) as u8 + 1;
        let genesis = LinkHash([seed; 32]);
        let mut secret = [seed; 32];
        secret[0] = history;
        Self {
            device: DeviceId(device),
            key: SigningKey::from_bytes(&[seed; 32]),
            sealer: Sealer::begin(genesis, &Secret::from_bytes(&secret)),
            genesis,
            made: 0,
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key(self.key.verifying_key().to_bytes())
    }

    pub(crate) fn genesis(&self) -> Head {
        Head {
            length: 0,
            hash: self.genesis,
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            length: self.sealer.sequence(),
            hash: self.sealer.head(),
        }
    }

    pub(crate) fn number(&self) -> DeviceId {
        self.device
    }

    /// Makes so many entries and signs them.
    pub(crate) fn run(&mut self, entries: usize) -> RunUpload {
        let previous = self.sealer.head();
        let sequence = self.sealer.sequence() + 1;
        let entries = (0..entries).map(|_| {
            self.made += 1;
            let payload = format!("{}", self.made);
            let content = Content::new("text/plain", payload.as_bytes()).unwrap();
            let envelope = plain_envelope(&[0; 32], &content);
            let entry = self.sealer.append(&data_digest::<Native>(&envelope));
            RunEntry {
                digest: entry.digest,
                tag: entry.tag,
                envelope: Base64(envelope),
            }
        });
        let entries = entries.collect();
        RunUpload {
            device: self.device,
            sequence,
            previous,
            entries,
            signature: Some(SignatureBytes(sign_head(&self.key, &self.sealer.head()))),
        }
    }

    /// The same, checked.
    pub(crate) fn checked(&mut self, entries: usize) -> CheckedRun {
        let upload = self.run(entries);
        self.check(upload)
    }

    pub(crate) fn check(&self, upload: RunUpload) -> CheckedRun {
        let rules = Rules {
            study: StudyId(0),
            key: self.key(),
            policy: mhealth_api::Policy::DeviceSigned,
            max_envelope: 1 << 16,
        };
        CheckedRun::check(upload, &rules).unwrap()
    }
}
