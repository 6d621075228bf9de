// SPDX-License-Identifier: Apache-2.0

//! A device in memory, for unit tests.

use ed25519_dalek::SigningKey;
use hashchain::{plain_envelope, Content, DeviceId, LinkHash, Secret, StudyId};
use mhealth_api::{Head, Key, RunUpload};
use mhealth_testing::phone::{with_envelopes, Phone};

use crate::run::{CheckedRun, Rules};

/// Chains and signs entries.
pub(crate) struct TestDevice {
    phone: Phone,
    genesis: LinkHash,
}

impl TestDevice {
    /// A device with this number, whose key, secret and link 0 follow from it.
    pub(crate) fn new(device: u32) -> Self {
        Self::with_history(device, 0)
    }

    /// The same device with another secret, so that its entries are others.
    pub(crate) fn with_history(device: u32, history: u8) -> Self {
        let seed = [(device % 251) as u8 + 1; 32];
        let (key, genesis) = (SigningKey::from_bytes(&seed), LinkHash(seed));
        let mut secret = seed;
        secret[0] = history;
        let secret = Secret::from_bytes(&secret);
        Self {
            phone: Phone::new(key, DeviceId(device), genesis, &secret),
            genesis,
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key(self.phone.public_key())
    }

    pub(crate) fn genesis(&self) -> Head {
        Head {
            length: 0,
            hash: self.genesis,
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            length: self.phone.length(),
            hash: self.phone.head(),
        }
    }

    pub(crate) fn number(&self) -> DeviceId {
        self.phone.device()
    }

    /// Makes so many entries and signs them.
    pub(crate) fn run(&mut self, entries: usize) -> RunUpload {
        let sequences = (self.phone.length() + 1..).take(entries);
        let envelopes = sequences.map(|sequence| {
            let payload = sequence.to_string();
            let content = Content::new("text/plain", payload.as_bytes()).unwrap();
            plain_envelope(&[0; 32], &content)
        });
        let envelopes: Vec<_> = envelopes.collect();
        with_envelopes(&self.phone.run_with(&envelopes), envelopes)
    }

    /// Makes an entry of each of these envelopes and signs them.
    pub(crate) fn run_of(&mut self, envelopes: Vec<Vec<u8>>) -> RunUpload {
        with_envelopes(&self.phone.run_with(&envelopes), envelopes)
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
