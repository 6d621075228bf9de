// SPDX-License-Identifier: Apache-2.0

//! Checks what evidence says of one device, in a state that is proved.

use codec::Encode;
use hashchain::{
    data_digest, entries, escrow_commitment, genesis, head_message, is_signed_by_zip215,
    is_strictly_signed, secret_commitment, DeviceId, Enrolment, LinkHash, Native, RatchetKey,
    Secret, Sha256, StudyId,
};
use mhealth_api::{DeviceStatus, Hash, Key};
use mhealth_evidence::{
    Conflict, DeviceConflicts, DeviceHead, DeviceRecord, DeviceStatus as Status, FinalState,
    NotProved,
};
use serde::Serialize;

use super::DeviceEvidence;

/// What evidence proves of a device. Nothing stands here that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceClaims {
    /// The device's number.
    pub device: DeviceId,
    /// The study that it belongs to.
    pub study: StudyId,
    /// Its key.
    pub key: Key,
    /// Digest of the participant's key, to which it seals its data. Who holds that key finds it by this.
    #[serde(skip)]
    pub participant: [u8; 32],
    /// The block in which it was enrolled.
    pub enrolled_at: u32,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// The device that it goes on from.
    pub predecessor: Option<DeviceId>,
    /// The device that goes on from it.
    pub successor: Option<DeviceId>,
    /// How many of its entries the study trusts, when it is retired.
    pub trusted_length: Option<u64>,
    /// Block from which on it is retired unless the sponsor vetoes it, when an authentication server has asked for that.
    pub retires_at: Option<u32>,
    /// Link 0, which follows from the enrolment. The entries' links are computed from it.
    #[serde(skip)]
    pub genesis: LinkHash,
    /// Number of registered entries; all of them are in the file, in this order.
    pub entries: u64,
    /// Link of the last.
    pub head: LinkHash,
    /// Digest over the entries' digests and tags, to compare two files by.
    pub content: Hash,
    /// Whether the device's signature over the last link is in the file. It holds by the chain's rule, ZIP 215.
    pub signed: bool,
    /// Whether that signature holds by the strict rule, too. If not, only a holder of the device's key can have made it so.
    pub strictly_signed: bool,
    /// Whether the envelopes are in the file; each has its entry's digest.
    pub envelopes: bool,
    /// Whether the secret is in the file; it made every tag.
    pub tags: bool,
    /// The rival histories on record.
    pub conflicts: Vec<ClaimedConflict>,
    /// How many times a rival was brought that is not on record, for want of a place.
    pub conflicts_not_stored: u32,
}

/// A rival history on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimedConflict {
    /// First sequence at which it was seen to differ.
    pub sequence: u64,
    /// The registered link.
    pub recorded: LinkHash,
    /// The rival's.
    pub rival: LinkHash,
    /// Whether the device's key signed the rival.
    pub signed: bool,
    /// Who brought it.
    pub submitter: Key,
    /// In which block.
    pub block: u32,
}

/// Why what evidence says of a device is not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The state does not hold what is needed, or the proof does not lead there.
    #[error("the device's record, head or conflicts are not proved by the block's state")]
    State,
    /// Link 0 on chain is not that of the enrolment.
    #[error("the device's first link does not follow from its enrolment")]
    Genesis,
    /// The entries are more or fewer than are registered, or others.
    #[error("the entries do not lead to the registered head")]
    Entries,
    /// The signature is not the device's over the head.
    #[error("the signature is not the device's")]
    Signature,
    /// An envelope is not the one that was registered.
    #[error("the envelope of entry {0} is not the registered one")]
    Envelope(u64),
    /// The secret is not the one that the device committed to.
    #[error("the secret is not the one that the device committed to")]
    Secret,
    /// A tag was not made with the secret.
    #[error("entry {0} was not made with the device's secret")]
    Tag(u64),
}

/// Checks everything that is in the file about a device of this chain.
pub(super) fn verify_device(
    evidence: &DeviceEvidence,
    state: &FinalState<'_>,
    chain: [u8; 32],
) -> Result<DeviceClaims, Fault> {
    let device = evidence.device;
    let record = needed(state.device(device))?;
    let head = &needed(state.head(device))?;
    let conflicts = state.conflicts(device).map_err(|_| Fault::State)?;
    let DeviceConflicts { stored, not_stored } = conflicts;
    let predecessor = match record.predecessor {
        None => None,
        Some(predecessor) => {
            let before = needed(state.device(predecessor))?;
            Some(before.trusted.ok_or(Fault::State)?.hash)
        }
    };
    let link_zero = genesis::<Native>(&Enrolment {
        chain: &chain,
        study: head.study,
        device_key: &record.key,
        predecessor,
        secret_commitment: &record.secret_commitment,
        escrow_commitment: &escrow_commitment::<Native>(&record.escrow),
    });
    if link_zero != record.genesis {
        return Err(Fault::Genesis);
    }
    check_entries(evidence, &record, head, link_zero)?;
    // Once the block has come, the device is retired without a word in the state.
    let has_come_due = record.is_retired_at(state.number());
    let trusted_length = match has_come_due {
        true => Some(head.length),
        false => record.trusted.map(|trusted| trusted.length),
    };
    Ok(DeviceClaims {
        device,
        study: head.study,
        key: Key(record.key),
        participant: record.participant,
        enrolled_at: record.enrolled_at,
        status: match head.status {
            Status::Active => DeviceStatus::Active,
            Status::Suspended(_) if has_come_due => DeviceStatus::Retired,
            Status::Suspended(_) => DeviceStatus::Suspended,
            Status::Retired => DeviceStatus::Retired,
        },
        predecessor: record.predecessor,
        successor: record.successor,
        trusted_length,
        retires_at: record.retires_at.filter(|_| !has_come_due),
        genesis: link_zero,
        entries: head.length,
        head: head.hash,
        content: Hash(Native::sha256(&evidence.entries.encode())),
        signed: evidence.signature.is_some(),
        strictly_signed: evidence.signature.is_some_and(|signature| {
            is_strictly_signed(&record.key, &head_message(&head.hash), &signature)
        }),
        envelopes: evidence.envelopes.is_some(),
        tags: evidence.secret.is_some(),
        conflicts: stored.into_iter().map(claimed).collect(),
        conflicts_not_stored: not_stored,
    })
}

fn needed<T>(value: Result<Option<T>, NotProved>) -> Result<T, Fault> {
    value.ok().flatten().ok_or(Fault::State)
}

fn claimed(conflict: Conflict) -> ClaimedConflict {
    ClaimedConflict {
        sequence: conflict.sequence,
        recorded: conflict.recorded,
        rival: conflict.rival,
        signed: conflict.signed,
        submitter: Key(conflict.submitter),
        block: conflict.block,
    }
}

fn check_entries(
    evidence: &DeviceEvidence,
    record: &DeviceRecord,
    head: &DeviceHead,
    link_zero: LinkHash,
) -> Result<(), Fault> {
    if evidence.entries.len() as u64 != head.length {
        return Err(Fault::Entries);
    }
    let secret = evidence.secret.as_ref().map(Secret::from_bytes);
    if let Some(secret) = &secret {
        if secret_commitment::<Native>(secret) != record.secret_commitment {
            return Err(Fault::Secret);
        }
    }
    let mut key = secret.as_ref().map(RatchetKey::first);
    let mut link = link_zero;
    let mut false_tag = None;
    for entry in entries::<Native>(1, link_zero, evidence.entries.iter().copied()) {
        if let Some(now) = key {
            if !now.tag(&entry.previous, &entry.digest).matches(&entry.tag) {
                false_tag.get_or_insert(entry.sequence);
            }
            key = Some(now.next());
        }
        link = entry.hash;
    }
    if link != head.hash {
        return Err(Fault::Entries);
    }
    if let Some(sequence) = false_tag {
        return Err(Fault::Tag(sequence));
    }
    if let Some(signature) = &evidence.signature {
        if !is_signed_by_zip215(&record.key, &head_message(&link), signature) {
            return Err(Fault::Signature);
        }
    }
    if let Some(envelopes) = &evidence.envelopes {
        if envelopes.len() != evidence.entries.len() {
            return Err(Fault::Envelope(envelopes.len() as u64));
        }
        for ((entry, envelope), sequence) in evidence.entries.iter().zip(envelopes.iter()).zip(1..)
        {
            if data_digest::<Native>(envelope) != entry.digest {
                return Err(Fault::Envelope(sequence));
            }
        }
    }
    Ok(())
}
