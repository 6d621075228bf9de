// SPDX-License-Identifier: Apache-2.0

//! A phone as the chain sees one: it chains entries and signs runs.

use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use hashchain::{
    data_digest, sign_head, DataDigest, Entry, LinkHash, Native, RatchetKey, Sealer, Secret, Tag,
};
use mhealth_api::{Base64, Hash, RunUpload, SignatureBytes};
use mhealth_chain_client::{Account, Call, ChainClient, Run, RunEntry, Submitter, H256};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::enrolment;

/// A run as phones upload it, every entry with this envelope: the one that [`Phone::run_of`] digests.
pub fn upload(run: &Run, envelope: &[u8]) -> RunUpload {
    let entries = run.entries.iter().map(|entry| mhealth_api::RunEntry {
        digest: Hash(entry.digest.0),
        tag: Hash(entry.tag.0),
        envelope: Base64(envelope.to_vec()),
    });
    RunUpload {
        device: run.device,
        sequence: run.sequence,
        previous: Hash(run.previous.0),
        entries: entries.collect(),
        signature: run.signature.map(SignatureBytes),
    }
}

/// A device with its key, its secret and its hashchain.
pub struct Phone {
    key: SigningKey,
    secret: Secret,
    device: u32,
    sealer: Sealer,
}

impl Phone {
    /// Enrols a phone in a study through one of the study's authentication servers. The seed makes its key and secret.
    pub async fn enrol(office: &Submitter, study: u32, seed: u8) -> Result<Self> {
        Self::enrol_with(office, study, &[seed; 32]).await
    }

    /// The same for tests with more phones than a byte can tell apart.
    pub async fn enrol_with(office: &Submitter, study: u32, seed: &[u8; 32]) -> Result<Self> {
        let key = SigningKey::from_bytes(seed);
        let secret = Secret::from_bytes(&seed.map(|byte| byte ^ 0xff));
        let call = Self::enrolment_with(study, seed);
        let (device, genesis) = enrolment::enrol(office, call).await?;
        let sealer = Sealer::begin(genesis, &secret);
        Ok(Phone {
            key,
            secret,
            device,
            sealer,
        })
    }

    /// The call that enrols the phone with this seed.
    pub fn enrolment(study: u32, seed: u8) -> Call {
        Self::enrolment_with(study, &[seed; 32])
    }

    fn enrolment_with(study: u32, seed: &[u8; 32]) -> Call {
        let key = SigningKey::from_bytes(seed);
        let secret = Secret::from_bytes(&seed.map(|byte| byte ^ 0xff));
        enrolment::enrolment(study, &key, &secret, None, &mut StdRng::from_seed(*seed))
    }

    /// The number that the chain gave it.
    pub fn device(&self) -> u32 {
        self.device
    }

    /// Its account, with which it can submit for itself.
    pub fn account(&self) -> Account {
        Account::device(self.key.as_bytes())
    }

    /// A submitter for itself.
    pub fn submitter(&self, chain: &ChainClient) -> Submitter {
        chain.submitter(self.account())
    }

    /// Its secret, which an auditor would read from the escrow.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The head as the phone itself knows it.
    pub fn head(&self) -> H256 {
        H256(self.sealer.head().0)
    }

    /// Number of entries that the phone has made.
    pub fn length(&self) -> u64 {
        self.sealer.sequence()
    }

    /// The same phone, restored from a backup that was made before its first entry: what it makes now is a fork.
    pub fn from_backup(&self, genesis: H256) -> Self {
        Phone {
            key: self.key.clone(),
            secret: Secret::from_bytes(self.secret.expose()),
            device: self.device,
            sealer: Sealer::begin(LinkHash(genesis.0), &self.secret),
        }
    }

    /// The same phone, which believes that its latest entry has another link: what it makes now follows no entry that was
    /// ever registered.
    pub fn astray(&self, head: H256) -> Result<Self> {
        let key =
            RatchetKey::at(&self.secret, self.length()).context("no phone lives that long")?;
        Ok(Phone {
            key: self.key.clone(),
            secret: Secret::from_bytes(self.secret.expose()),
            device: self.device,
            sealer: Sealer::resume(LinkHash(head.0), key),
        })
    }

    /// Makes so many entries and signs them as one run.
    pub fn run(&mut self, entries: usize) -> Run {
        self.run_of(entries, "a night")
    }

    /// The same with data of the caller's choice, which go into every entry.
    pub fn run_of(&mut self, entries: usize, data: &str) -> Run {
        let previous = self.head();
        let sequence = self.length() + 1;
        let digest = data_digest::<Native>(data.as_bytes());
        let entries: Vec<Entry> = (0..entries).map(|_| self.sealer.append(&digest)).collect();
        Run {
            device: self.device,
            sequence,
            previous,
            entries: entries
                .iter()
                .map(|entry| RunEntry {
                    digest: H256(entry.digest.0),
                    tag: H256(entry.tag.0),
                })
                .collect(),
            signature: Some(sign_head(&self.key, &self.sealer.head())),
        }
    }

    /// Signs a run as it now stands: over the last link that follows from its own `previous`.
    pub fn sign_again(&self, mut run: Run) -> Run {
        let last = run.entries.iter().zip(run.sequence..).fold(
            LinkHash(run.previous.0),
            |previous, (entry, sequence)| {
                hashchain::link::<Native>(
                    sequence,
                    &previous,
                    &DataDigest(entry.digest.0),
                    &Tag(entry.tag.0),
                )
            },
        );
        run.signature = Some(sign_head(&self.key, &last));
        run
    }
}
