// SPDX-License-Identifier: Apache-2.0

//! A pretended phone, enrolled on a real chain.

use std::iter;

use anyhow::Result;
pub use hashchain::testing::Phone;
use hashchain::{testing, DeviceId, Run, StudyId};
use mhealth_api::{Base64, ExportedRun, RunState, RunStatus, RunUpload, SignatureBytes};
use mhealth_chain_client::{Account, Call, Submitter};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::enrolment::{self, SealedTo};
use crate::handset;

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

/// The next entries of a phone, with envelopes that look sealed.
pub fn record(phone: &mut Phone, entries: usize, data: &str) -> RunUpload {
    let place = [phone.length() as u8; 31];
    let envelopes = (0..entries)
        .map(|index| [&[1], &place[..], &[index as u8], data.as_bytes(), &[9; 32]].concat());
    let envelopes: Vec<Vec<u8>> = envelopes.collect();
    with_envelopes(&phone.run_with(&envelopes), envelopes)
}

/// What a relay says of a run in this state, without a block.
pub fn status(run: &RunUpload, state: RunState) -> RunStatus {
    RunStatus {
        run: handset::name(run),
        device: run.device,
        sequence: run.sequence,
        entries: run.entries.len() as u32,
        head: run.run().last_link(),
        state,
        block: None,
        extrinsic_index: None,
        reason: None,
    }
}

/// A run as a relay that stored it exports it.
pub fn exported(run: &RunUpload, cursor: u64, study: StudyId, state: RunState) -> ExportedRun {
    ExportedRun {
        cursor,
        status: status(run, state),
        study,
        previous: run.previous,
        entries: run.entries.clone(),
        signature: run.signature,
        received_at: 1,
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
    let call = enrolment_after(office, study, seed, predecessor);
    let (device, genesis) = enrolment::enrol(office, call).await?;
    Ok(Phone::new(key, device, genesis, &secret))
}

/// Enrols a phone that seals its secret and its data to others than phones of tests do.
pub async fn enrol_sealed_to(
    to: &SealedTo,
    office: &Submitter,
    study: StudyId,
    seed: u8,
) -> Result<Phone> {
    let (key, secret) = testing::keys(&[seed; 32]);
    let mut random = StdRng::from_seed([seed; 32]);
    let call = enrolment::sealed_to(to, office, study, &key, &secret, None, &mut random);
    let (device, genesis) = enrolment::enrol(office, call).await?;
    Ok(Phone::new(key, device, genesis, &secret))
}

/// The call by which this authentication server enrols the phone with this seed.
pub fn enrolment(office: &Submitter, study: StudyId, seed: u8) -> Call {
    enrolment_after(office, study, &[seed; 32], None)
}

fn enrolment_after(
    office: &Submitter,
    study: StudyId,
    seed: &[u8; 32],
    predecessor: Option<DeviceId>,
) -> Call {
    let (key, secret) = testing::keys(seed);
    let mut random = StdRng::from_seed(*seed);
    enrolment::enrolment(office, study, &key, &secret, predecessor, &mut random)
}

/// A phone's account, with which it can submit for itself.
pub fn account(phone: &Phone) -> Account {
    Account::device(phone.key.as_bytes())
}
