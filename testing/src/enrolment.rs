// SPDX-License-Identifier: Apache-2.0

//! Enrolments as the chain sees them, by an authentication server's account and past its HTTP.

use anyhow::{Context, Result};
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{
    escrow_commitment, key_proof_message, seal_escrow, secret_commitment, DeviceId, KeyProof,
    LinkHash, Native, OpeningKey, Secret, Sha256, StudyId,
};
use mhealth_chain_client::{calls, Call, ChainEvent, Submitter, H256};
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
    let public = key.verifying_key().to_bytes();
    let auditor = development_auditor().sealing_key();
    let escrow = seal_escrow(&auditor, &public, secret, random);
    let escrow = escrow.expect("the development auditor's key is a good one; qed");
    let commitment = secret_commitment::<Native>(secret);
    enrolment_with(office, study, key, commitment, escrow, predecessor)
}

/// The same with a commitment and an escrow that nobody need be able to open.
pub fn enrolment_with(
    office: &Submitter,
    study: StudyId,
    key: &SigningKey,
    commitment: [u8; 32],
    escrow: Vec<u8>,
    predecessor: Option<DeviceId>,
) -> Call {
    let public = key.verifying_key().to_bytes();
    let message = key_proof_message(&KeyProof {
        chain: &office.genesis_hash().0,
        study,
        server: &office.account().0,
        device_key: &public,
        predecessor,
        secret_commitment: &commitment,
        escrow_commitment: &escrow_commitment::<Native>(&escrow),
    });
    let proof = key.sign(&message).to_bytes();
    calls::enrol(study, public, H256(commitment), escrow, predecessor, proof)
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
