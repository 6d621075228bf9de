// SPDX-License-Identifier: Apache-2.0

//! Enrolments as the chain sees them, by an authentication server's account and past its HTTP.

use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use hashchain::{
    seal_escrow, secret_commitment, DeviceId, LinkHash, Native, OpeningKey, Secret, Sha256, StudyId,
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

/// The call that enrols a device with this key and secret, which is sealed to the development chain's auditor.
pub fn enrolment(
    study: StudyId,
    key: &SigningKey,
    secret: &Secret,
    predecessor: Option<DeviceId>,
    random: &mut StdRng,
) -> Call {
    let key = key.verifying_key().to_bytes();
    let auditor = development_auditor().sealing_key();
    let escrow = seal_escrow(&auditor, &key, secret, random);
    let escrow = escrow.expect("the development auditor's key is a good one; qed");
    let commitment = H256(secret_commitment::<Native>(secret));
    calls::enrol(study, key, commitment, escrow, predecessor)
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
