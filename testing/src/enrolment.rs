// SPDX-License-Identifier: Apache-2.0

//! Enrolments as the chain sees them, by an authentication server's account and past its HTTP.

use anyhow::{Context, Result};
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{
    escrow_commitment, key_proof_message, participant_digest, seal_escrow, secret_commitment,
    DeviceId, KeyProof, LinkHash, Native, OpeningKey, SealingKey, Secret, Sha256, StudyId,
};
use mhealth_chain_client::calls::{self, NewDevice};
use mhealth_chain_client::{Call, ChainEvent, Submitter, H256};
use rand::rngs::StdRng;

/// The private half of the development chain's auditor key.
pub fn development_auditor() -> OpeningKey {
    OpeningKey::from_bytes(&Native::sha256(b"mHealth Chain development auditor"))
}

/// The same key in hexadecimal, as the auditor's program reads it.
pub fn development_auditor_digits() -> String {
    let key = development_auditor();
    let digits = key.expose().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// To whom a device seals its secret, and to whom its data.
#[derive(Clone, Debug)]
pub struct SealedTo {
    /// The study's auditor.
    pub auditor: SealingKey,
    /// Which of the auditor's keys that is.
    pub auditor_epoch: u32,
    /// The participant; none: the data are sealed to nobody.
    pub participant: Option<[u8; 32]>,
}

impl SealedTo {
    /// To the development chain's auditor, and the data to nobody.
    pub fn development() -> Self {
        Self {
            auditor: development_auditor().sealing_key(),
            auditor_epoch: 0,
            participant: None,
        }
    }
}

/// The call by which this authentication server enrols a device with this key and secret, which is sealed to the development
/// chain's auditor.
pub fn enrolment(
    office: &Submitter,
    study: StudyId,
    key: &SigningKey,
    secret: &Secret,
    predecessor: Option<DeviceId>,
    random: &mut StdRng,
) -> Call {
    let to = SealedTo::development();
    sealed_to(&to, office, study, key, secret, predecessor, random)
}

/// The same of a device that seals to others.
pub fn sealed_to(
    to: &SealedTo,
    office: &Submitter,
    study: StudyId,
    key: &SigningKey,
    secret: &Secret,
    predecessor: Option<DeviceId>,
    random: &mut StdRng,
) -> Call {
    let public = key.verifying_key().to_bytes();
    let escrow = seal_escrow(&to.auditor, &public, secret, random);
    let escrow = escrow.expect("the auditor's key is a good one; qed");
    let commitment = secret_commitment::<Native>(secret);
    let participant = participant_digest::<Native>(to.participant.as_ref());
    let message = key_proof_message(&KeyProof {
        chain: &office.genesis_hash().0,
        study,
        server: &office.account().0,
        device_key: &public,
        predecessor,
        secret_commitment: &commitment,
        escrow_commitment: &escrow_commitment::<Native>(&escrow),
        auditor_epoch: to.auditor_epoch,
        auditor_key: &to.auditor.0,
        participant: &participant,
    });
    let proof = key.sign(&message).to_bytes();
    let device = NewDevice {
        key: public,
        secret_commitment: H256(commitment),
        escrow,
        auditor_epoch: to.auditor_epoch,
        participant: H256(participant),
        predecessor,
    };
    calls::enrol(study, device, proof)
}

/// Has an authentication server's account submit such a call, and gives the device's number and its link 0.
pub async fn enrol(office: &Submitter, call: Call) -> Result<(DeviceId, LinkHash)> {
    let outcome = office.submit_and_wait(call).await?;
    let enrolled = outcome.events.iter().find_map(|event| match event {
        ChainEvent::DeviceEnrolled {
            device, genesis, ..
        } => Some((*device, *genesis)),
        _ => None,
    });
    enrolled.with_context(|| format!("no enrolment in {:?}", outcome.events))
}
