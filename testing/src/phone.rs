// SPDX-License-Identifier: Apache-2.0

//! A pretended phone, enrolled on a real chain.

use std::iter;

use anyhow::Result;
pub use hashchain::testing::Phone;
use hashchain::{testing, DeviceId, Run, StudyId};
use mhealth_api::{Base64, RunUpload, SignatureBytes};
use mhealth_chain_client::{Account, Call, Submitter};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::enrolment;

/// A run as phones upload it, every entry with this envelope: the one that [`Phone::run_of`] digests.
pub fn upload(run: &Run, envelope: &[u8]) -> RunUpload {
    with_envelopes(run, iter::repeat(envelope.to_vec()))
}

/// A run as phones upload it, with the envelope of each entry.
pub fn with_envelopes(run: &Run, envelopes: impl IntoIterator<Item = Vec<u8>>) -> RunUpload {
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

/// Enrols a phone in a study through one of the study's authentication servers. The seed makes its key and secret.
pub async fn enrol(office: &Submitter, study: StudyId, seed: u8) -> Result<Phone> {
    enrol_after(office, study, &[seed; 32], None).await
}

/// The same for tests with more phones than a byte can tell apart, and for phones that take the place of another.
pub async fn enrol_after(
    office: &Submitter,
    study: StudyId,
    seed: &[u8; 32],
    predecessor: Option<DeviceId>,
) -> Result<Phone> {
    let (key, secret) = testing::keys(seed);
    let call = enrolment_after(study, seed, predecessor);
    let (device, genesis) = enrolment::enrol(office, call).await?;
    Ok(Phone::new(key, device, genesis, &secret))
}

/// The call that enrols the phone with this seed.
pub fn enrolment(study: StudyId, seed: u8) -> Call {
    enrolment_after(study, &[seed; 32], None)
}

fn enrolment_after(study: StudyId, seed: &[u8; 32], predecessor: Option<DeviceId>) -> Call {
    let (key, secret) = testing::keys(seed);
    let mut random = StdRng::from_seed(*seed);
    enrolment::enrolment(study, &key, &secret, predecessor, &mut random)
}

/// A phone's account, with which it can submit for itself.
pub fn account(phone: &Phone) -> Account {
    Account::device(phone.key.as_bytes())
}
