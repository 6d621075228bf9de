// SPDX-License-Identifier: Apache-2.0

//! Checks evidence against nothing but the genesis hash, and says what it proves.

use codec::Encode;
use hashchain::{
    data_digest, escrow_commitment, genesis, is_signed, secret_commitment, DataDigest, Enrolment,
    LinkHash, Native, RatchetKey, Secret, Sha256, Tag,
};
use mhealth_api::{Hash, Key};
use serde::Serialize;
use sp_consensus_grandpa::AuthorityList;
use sp_core::H256;
use sp_runtime::traits::Header as _;

use super::finality::Authorities;
use super::state::{
    conflicts_key, device_key, head_page_key, place_in_page, Conflict, DeviceHead, DeviceRecord,
    ProvedState, Status, AUTHORITIES_KEY,
};
use super::Evidence;

/// What evidence proves. Nothing stands here that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// Number of the block whose state is proved.
    pub block: u32,
    /// Its hash.
    pub block_hash: Hash,
    /// How often the authorities had handed over when it became final.
    pub authority_set: u64,
    /// How many authorities there were.
    pub authorities: usize,
    /// The device.
    pub device: u32,
    /// The study that it belongs to.
    pub study: u32,
    /// Its key.
    pub key: Key,
    /// The block in which it was enrolled.
    pub enrolled_at: u32,
    /// `active`, `suspended` or `retired`.
    pub status: &'static str,
    /// The device that it goes on from.
    pub predecessor: Option<u32>,
    /// The device that goes on from it.
    pub successor: Option<u32>,
    /// How many of its entries the study trusts, when it is retired.
    pub trusted_length: Option<u64>,
    /// Number of registered entries; all of them are in the file, in this order.
    pub entries: u64,
    /// Link of the last.
    pub head: Hash,
    /// Digest over the entries' digests and tags, to compare two files by.
    pub content: Hash,
    /// Whether the device's signature over the last link is in the file.
    pub signed: bool,
    /// Whether the envelopes are in the file; each has its entry's digest.
    pub envelopes: bool,
    /// Whether the secret is in the file; it made every tag.
    pub tags: bool,
    /// The rival histories on record.
    pub conflicts: Vec<ClaimedConflict>,
}

/// A rival history on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimedConflict {
    /// First sequence at which it was seen to differ.
    pub sequence: u64,
    /// The registered link.
    pub recorded: Hash,
    /// The rival's.
    pub rival: Hash,
    /// Whether the device's key signed the rival.
    pub signed: bool,
    /// Who brought it.
    pub submitter: Key,
    /// In which block.
    pub block: u32,
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its first block is another chain's.
    #[error("the evidence is about another chain than the one expected")]
    AnotherChain,
    /// The first authorities are not proved.
    #[error("the first authorities are not proved by the first block's state")]
    FirstAuthorities,
    /// A handover of authorities is not final.
    #[error("handover {0} of the authorities is not proved to be final")]
    Handover(usize),
    /// The descendants do not follow the block.
    #[error("the headers after the block do not follow it")]
    Descendants,
    /// The block is not final.
    #[error("the block is not proved to be final")]
    Finality,
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

/// Checks everything that is in the file.
pub fn verify(evidence: &Evidence, expected: [u8; 32]) -> Result<Claims, Refusal> {
    let authorities = check_chain(evidence, expected)?;
    let state = ProvedState::new(*evidence.block.state_root(), &evidence.state_proof);
    let device = evidence.device;
    let record: DeviceRecord = needed(&state, device_key(device))?;
    let page: Vec<DeviceHead> = needed(&state, head_page_key(device))?;
    let head = page.get(place_in_page(device)).ok_or(Refusal::State)?;
    let conflicts: Option<Vec<Conflict>> = state
        .read(conflicts_key(device))
        .map_err(|_| Refusal::State)?;
    let predecessor = match record.predecessor {
        None => None,
        Some(predecessor) => {
            let before: DeviceRecord = needed(&state, device_key(predecessor))?;
            Some(LinkHash(before.trusted.ok_or(Refusal::State)?.hash))
        }
    };
    let link_zero = genesis::<Native>(&Enrolment {
        chain: &expected,
        study: head.study,
        device_key: &record.key,
        predecessor,
        secret_commitment: &record.secret_commitment,
        escrow_commitment: &escrow_commitment::<Native>(&record.escrow),
    });
    if link_zero.0 != record.genesis {
        return Err(Refusal::Genesis);
    }
    check_entries(evidence, &record, head, link_zero)?;
    Ok(Claims {
        chain: Hash(expected),
        block: *evidence.block.number(),
        block_hash: Hash(evidence.block.hash().0),
        authority_set: authorities.set(),
        authorities: authorities.voters(),
        device,
        study: head.study,
        key: Key(record.key),
        enrolled_at: record.enrolled_at,
        status: match head.status {
            Status::Active => "active",
            Status::Suspended(_) => "suspended",
            Status::Retired => "retired",
        },
        predecessor: record.predecessor,
        successor: record.successor,
        trusted_length: record.trusted.map(|trusted| trusted.length),
        entries: head.length,
        head: Hash(head.hash),
        content: Hash(Native::sha256(&evidence.entries.encode())),
        signed: evidence.signature.is_some(),
        envelopes: evidence.envelopes.is_some(),
        tags: evidence.secret.is_some(),
        conflicts: conflicts.into_iter().flatten().map(claimed).collect(),
    })
}

fn needed<T: codec::Decode>(state: &ProvedState, key: Vec<u8>) -> Result<T, Refusal> {
    let value = state.read(key).map_err(|_| Refusal::State)?;
    value.ok_or(Refusal::State)
}

fn claimed(conflict: Conflict) -> ClaimedConflict {
    ClaimedConflict {
        sequence: conflict.sequence,
        recorded: Hash(conflict.recorded),
        rival: Hash(conflict.rival),
        signed: conflict.signed,
        submitter: Key(conflict.submitter),
        block: conflict.block,
    }
}

/// From the first block to the one whose state is proved, over every set of authorities.
fn check_chain(evidence: &Evidence, expected: [u8; 32]) -> Result<Authorities, Refusal> {
    if evidence.genesis.hash() != H256(expected) || *evidence.genesis.number() != 0 {
        return Err(Refusal::AnotherChain);
    }
    let state = ProvedState::new(*evidence.genesis.state_root(), &evidence.authorities_proof);
    let first: Option<AuthorityList> = state
        .read(AUTHORITIES_KEY.to_vec())
        .map_err(|_| Refusal::FirstAuthorities)?;
    let first = first.and_then(Authorities::first);
    let mut authorities = first.ok_or(Refusal::FirstAuthorities)?;
    for (index, handover) in evidence.handovers.iter().enumerate() {
        authorities = authorities
            .hand_over(handover)
            .map_err(|_| Refusal::Handover(index))?;
    }
    let mut last = &evidence.block;
    for header in &evidence.descendants {
        let follows = *header.parent_hash() == last.hash()
            && last.number().checked_add(1) == Some(*header.number());
        if !follows {
            return Err(Refusal::Descendants);
        }
        last = header;
    }
    authorities
        .check(last, &evidence.justification)
        .map_err(|_| Refusal::Finality)?;
    Ok(authorities)
}

fn check_entries(
    evidence: &Evidence,
    record: &DeviceRecord,
    head: &DeviceHead,
    link_zero: LinkHash,
) -> Result<(), Refusal> {
    if evidence.entries.len() as u64 != head.length {
        return Err(Refusal::Entries);
    }
    let secret = evidence.secret.as_ref().map(Secret::from_bytes);
    if let Some(secret) = &secret {
        if secret_commitment::<Native>(secret) != record.secret_commitment {
            return Err(Refusal::Secret);
        }
    }
    let mut key = secret.as_ref().map(RatchetKey::first);
    let mut link = link_zero;
    let mut false_tag = None;
    for (entry, sequence) in evidence.entries.iter().zip(1..) {
        let (digest, tag) = (DataDigest(entry.digest), Tag(entry.tag));
        if let Some(now) = key {
            if !now.tag(&link, &digest).matches(&tag) {
                false_tag.get_or_insert(sequence);
            }
            key = Some(now.next());
        }
        link = hashchain::link::<Native>(sequence, &link, &digest, &tag);
    }
    if link.0 != head.hash {
        return Err(Refusal::Entries);
    }
    if let Some(sequence) = false_tag {
        return Err(Refusal::Tag(sequence));
    }
    if let Some(signature) = &evidence.signature {
        if !is_signed(&record.key, &link, signature) {
            return Err(Refusal::Signature);
        }
    }
    if let Some(envelopes) = &evidence.envelopes {
        if envelopes.len() != evidence.entries.len() {
            return Err(Refusal::Envelope(envelopes.len() as u64));
        }
        for ((entry, envelope), sequence) in evidence.entries.iter().zip(envelopes).zip(1..) {
            if data_digest::<Native>(envelope).0 != entry.digest {
                return Err(Refusal::Envelope(sequence));
            }
        }
    }
    Ok(())
}
