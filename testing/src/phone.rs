// SPDX-License-Identifier: Apache-2.0

//! A phone as the chain sees one: it chains entries and signs runs.

use std::iter;

use anyhow::Result;
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{
    data_digest, sign_head, DataDigest, DeviceId, LinkHash, Native, RatchetKey, Run, RunEntry,
    Sealer, Secret, StudyId,
};
use mhealth_api::{Base64, RunUpload, SignatureBytes};
use mhealth_chain_client::{Account, Call, ChainClient, Submitter};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::enrolment;

/// A run as phones upload it, every entry with this envelope: the one that [`Phone::run_of`] digests.
pub fn upload(run: &Run, envelope: &[u8]) -> RunUpload {
    with_envelopes(run, iter::repeat(envelope.to_vec()))
}

/// A run as phones upload it, with the envelope of each entry.
pub(crate) fn with_envelopes(run: &Run, envelopes: impl IntoIterator<Item = Vec<u8>>) -> RunUpload {
    let entries = run.entries.iter().zip(envelopes);
    let entries = entries.map(|(entry, envelope)| mhealth_api::RunEntry {
        digest: entry.digest,
        tag: entry.tag,
        envelope: Base64(envelope),
    });
    RunUpload {
        device: run.device,
        sequence: run.first_sequence,
        previous: run.previous,
        entries: entries.collect(),
        signature: run.signature.map(SignatureBytes),
    }
}

/// A device with its key and its hashchain.
pub struct Phone {
    key: SigningKey,
    device: DeviceId,
    sealer: Sealer,
}

impl Phone {
    /// Enrols a phone in a study through one of the study's authentication servers. The seed makes its key and secret.
    pub async fn enrol(office: &Submitter, study: StudyId, seed: u8) -> Result<Self> {
        Self::enrol_with(office, study, &[seed; 32]).await
    }

    /// The same for tests with more phones than a byte can tell apart.
    pub async fn enrol_with(office: &Submitter, study: StudyId, seed: &[u8; 32]) -> Result<Self> {
        let (key, secret) = Self::keys(seed);
        let call = Self::enrolment_with(study, seed);
        let (device, genesis) = enrolment::enrol(office, call).await?;
        Ok(Phone::new(key, device, genesis, &secret))
    }

    /// The call that enrols the phone with this seed.
    pub fn enrolment(study: StudyId, seed: u8) -> Call {
        Self::enrolment_with(study, &[seed; 32])
    }

    fn enrolment_with(study: StudyId, seed: &[u8; 32]) -> Call {
        let (key, secret) = Self::keys(seed);
        enrolment::enrolment(study, &key, &secret, None, &mut StdRng::from_seed(*seed))
    }

    fn keys(seed: &[u8; 32]) -> (SigningKey, Secret) {
        let secret = Secret::from_bytes(&seed.map(|byte| byte ^ 0xff));
        (SigningKey::from_bytes(seed), secret)
    }

    /// A phone that was enrolled with this key and secret, before its first entry.
    pub(crate) fn new(
        key: SigningKey,
        device: DeviceId,
        genesis: LinkHash,
        secret: &Secret,
    ) -> Self {
        Phone {
            key,
            device,
            sealer: Sealer::begin(genesis, secret),
        }
    }

    /// The number that the chain gave it.
    pub fn device(&self) -> DeviceId {
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

    /// The head as the phone itself knows it.
    pub fn head(&self) -> LinkHash {
        self.sealer.head()
    }

    /// Number of entries that the phone has made.
    pub fn length(&self) -> u64 {
        self.sealer.sequence()
    }

    /// The same phone a second time, as a backup of now that is restored later: what both make is a fork.
    pub fn copy(&self) -> Self {
        self.resumed_at(self.sealer.head(), self.length())
    }

    /// The same phone, which believes that its latest entry has another link: what it makes now follows no entry that was
    /// ever registered.
    pub fn astray(&self, head: LinkHash) -> Self {
        self.resumed_at(head, self.length())
    }

    /// The same phone at another place, with the key of the ratchet that it has now.
    pub(crate) fn resumed_at(&self, head: LinkHash, length: u64) -> Self {
        self.resumed_with(head, length, self.sealer.key().expose())
    }

    fn resumed_with(&self, head: LinkHash, length: u64, key: &[u8; 32]) -> Self {
        let key = RatchetKey::restore(length, key).expect("no phone lives that long; qed");
        Phone {
            key: self.key.clone(),
            device: self.device,
            sealer: Sealer::resume(head, key),
        }
    }

    /// Whoever has the signing key and not the secret makes do with another.
    pub(crate) fn with_secret(&self, secret: &[u8; 32]) -> Self {
        self.resumed_with(self.sealer.head(), self.length(), secret)
    }

    /// Whoever does not have the signing key either.
    pub(crate) fn with_key(self, key: SigningKey) -> Self {
        Phone { key, ..self }
    }

    /// Signs a message of the servers' protocol.
    pub(crate) fn sign(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes(self.key.sign(message).to_bytes())
    }

    /// Makes so many entries and signs them as one run.
    pub fn run(&mut self, entries: usize) -> Run {
        self.run_of(entries, "a night")
    }

    /// The same with data of the caller's choice, which go into every entry.
    pub fn run_of(&mut self, entries: usize, data: &str) -> Run {
        let digest = data_digest::<Native>(data.as_bytes());
        self.run_with(iter::repeat_n(digest, entries))
    }

    /// Makes an entry of each of these data, and signs them as one run.
    pub(crate) fn run_with(&mut self, digests: impl IntoIterator<Item = DataDigest>) -> Run {
        let (previous, first_sequence) = (self.head(), self.length() + 1);
        let entries = digests.into_iter();
        let entries = entries.map(|digest| RunEntry::from(&self.sealer.append(&digest)));
        Run {
            device: self.device,
            first_sequence,
            previous,
            entries: entries.collect(),
            signature: Some(sign_head(&self.key, &self.sealer.head())),
        }
    }

    /// Signs a run as it now stands: over the last link that follows from its own `previous`.
    pub fn sign_again(&self, mut run: Run) -> Run {
        run.signature = Some(sign_head(&self.key, &run.last_link()));
        run
    }
}
