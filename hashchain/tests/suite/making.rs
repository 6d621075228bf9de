// SPDX-License-Identifier: Apache-2.0

//! Chains to test with, made as a device makes them.

use ed25519_dalek::SigningKey;
use hashchain::{
    data_digest, escrow_commitment, genesis, link, secret_commitment, sign_head, Coverage,
    Enrolment, Entry, LinkHash, Native, Refusal, Sealer, Secret, StudyId, Verifier,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A device's chain and everything that was said about it at enrolment. All of it can be altered.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) chain: [u8; 32],
    pub(crate) study: u32,
    pub(crate) device_key: [u8; 32],
    pub(crate) predecessor: [u8; 32],
    pub(crate) secret: [u8; 32],
    pub(crate) secret_commitment: [u8; 32],
    pub(crate) escrow: Vec<u8>,
    pub(crate) envelopes: Vec<Vec<u8>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) head: LinkHash,
    pub(crate) signature: [u8; 64],
}

impl Made {
    pub(crate) fn genesis(&self) -> LinkHash {
        genesis::<Native>(&Enrolment {
            chain: &self.chain,
            study: StudyId(self.study),
            device_key: &self.device_key,
            predecessor: Some(LinkHash(self.predecessor)),
            secret_commitment: &self.secret_commitment,
            escrow_commitment: &escrow_commitment::<Native>(&self.escrow),
        })
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::from_bytes(&self.secret)
    }

    /// What an auditor says who has everything.
    pub(crate) fn judge(&self) -> Result<Coverage, Refusal> {
        self.judge_by(Verifier::with_secret(self.genesis(), &self.secret()))
    }

    pub(crate) fn judge_by(&self, mut verifier: Verifier) -> Result<Coverage, Refusal> {
        for (entry, envelope) in self.entries.iter().zip(&self.envelopes) {
            verifier.check(entry, Some(envelope))?;
        }
        verifier.check_signature(&self.device_key, &self.head, &self.signature)?;
        verifier.finish(&self.head)
    }

    /// What a relay does that wants to hide its work: recomputes all links and takes the new head.
    pub(crate) fn relink(&mut self) {
        let mut head = self.genesis();
        for entry in &mut self.entries {
            entry.previous = head;
            entry.hash = link::<Native>(entry.sequence, &head, &entry.digest, &entry.tag);
            head = entry.hash;
        }
        self.head = head;
    }
}

/// Chains of one to eleven entries of a device that makes no mistakes.
pub(crate) fn made() -> impl Strategy<Value = Made> {
    (
        any::<([u8; 32], u32, [u8; 32], [u8; 32], [u8; 32])>(),
        vec(any::<u8>(), 1..100),
        vec(vec(any::<u8>(), 1..150), 1..12),
    )
        .prop_map(
            |((chain, study, seed, predecessor, secret), escrow, envelopes)| {
                let device = SigningKey::from_bytes(&seed);
                let mut made = Made {
                    chain,
                    study,
                    device_key: device.verifying_key().to_bytes(),
                    predecessor,
                    secret,
                    secret_commitment: secret_commitment::<Native>(&Secret::from_bytes(&secret)),
                    escrow,
                    envelopes,
                    entries: Vec::new(),
                    head: LinkHash([0; 32]),
                    signature: [0; 64],
                };
                let mut sealer = Sealer::begin(made.genesis(), &made.secret());
                made.entries = made
                    .envelopes
                    .iter()
                    .map(|envelope| sealer.append(&data_digest::<Native>(envelope)))
                    .collect();
                made.head = sealer.head();
                made.signature = sign_head(&device, &made.head);
                made
            },
        )
}

/// The bytes with one bit changed.
pub(crate) fn flip(bytes: &mut [u8], bit: prop::sample::Index) {
    let bit = bit.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}
