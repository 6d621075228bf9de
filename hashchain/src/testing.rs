// SPDX-License-Identifier: Apache-2.0

//! A pretended phone for tests and the laboratory, without a chain, a server or a random number: who needs one of these brings it.

mod odd;

use core::iter;

use ed25519_dalek::{Signer, SigningKey};

use crate::{
    data_digest, head_message, sign_head, DeviceId, LinkHash, Native, RatchetKey, Run, RunEntry,
    Sealer, Secret,
};

pub use odd::{challenge, encoded, sign_oddly, sign_with};

/// Key and secret of the phone with this seed.
pub fn keys(seed: &[u8; 32]) -> (SigningKey, Secret) {
    let secret = Secret::from_bytes(&seed.map(|byte| byte ^ 0xff));
    (SigningKey::from_bytes(seed), secret)
}

/// A device with its key and its hashchain.
pub struct Phone {
    /// What it signs with. Another one makes it somebody who writes in this device's name.
    pub key: SigningKey,
    device: DeviceId,
    sealer: Sealer,
}

impl Phone {
    /// A phone that was enrolled with this key and secret, before its first entry.
    pub fn new(key: SigningKey, device: DeviceId, genesis: LinkHash, secret: &Secret) -> Self {
        let sealer = Sealer::begin(genesis, secret);
        Self {
            key,
            device,
            sealer,
        }
    }

    /// The number that the chain gave it.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The public half of its key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// The head as the phone itself knows it.
    pub fn head(&self) -> LinkHash {
        self.sealer.head()
    }

    /// Number of entries that the phone has made.
    pub fn length(&self) -> u64 {
        self.sealer.sequence()
    }

    /// The same phone a second time, as a backup of now that is restored later, or with a thief who has key and secret: what
    /// both make is a fork.
    pub fn copy(&self) -> Self {
        self.astray(self.head())
    }

    /// The same phone, which believes that its latest entry has another link: what it makes now follows no entry that was
    /// ever registered.
    pub fn astray(&self, head: LinkHash) -> Self {
        self.resumed_at(head, self.length())
    }

    /// The same phone at another place, with the key of the ratchet that it has now.
    pub fn resumed_at(&self, head: LinkHash, length: u64) -> Self {
        self.resumed_with(head, length, self.sealer.key().expose())
    }

    /// The same phone at another place, with another key of the ratchet: whoever has the signing key and not the secret.
    pub fn resumed_with(&self, head: LinkHash, length: u64, ratchet: &[u8; 32]) -> Self {
        let ratchet = RatchetKey::restore(length, ratchet).expect("no phone lives that long; qed");
        Self {
            key: self.key.clone(),
            device: self.device,
            sealer: Sealer::resume(head, ratchet),
        }
    }

    /// Signs any message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Makes so many entries and signs them as one run.
    pub fn run(&mut self, entries: usize) -> Run {
        self.run_of(entries, "a night")
    }

    /// The same with data of the caller's choice, which go into every entry.
    pub fn run_of(&mut self, entries: usize, data: &str) -> Run {
        self.run_with(iter::repeat_n(data, entries))
    }

    /// Makes an entry of each of these envelopes, and signs them as one run.
    pub fn run_with(&mut self, envelopes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Run {
        let (previous, first_sequence) = (self.head(), self.length() + 1);
        let entries = envelopes.into_iter().map(|envelope| {
            let digest = data_digest::<Native>(envelope.as_ref());
            RunEntry::from(&self.sealer.append(&digest))
        });
        Run {
            device: self.device,
            first_sequence,
            previous,
            entries: entries.collect(),
            signature: Some(sign_head(&self.key, &self.head())),
        }
    }

    /// Signs a run so that the chain accepts the signature and nobody else does, as the holder of the key can at any time.
    pub fn sign_oddly(&self, mut run: Run) -> Run {
        let message = head_message(&run.last_link());
        run.signature = Some(sign_oddly(&self.key, &message));
        run
    }

    /// Signs a run as it now is: over the last link that follows from its own `previous`.
    pub fn sign_again(&self, mut run: Run) -> Run {
        run.signature = Some(sign_head(&self.key, &run.last_link()));
        run
    }
}
