// SPDX-License-Identifier: Apache-2.0

//! Checks evidence against nothing but the genesis hash, and says what it proves.

use hashchain::{DeviceId, StudyId};
use mhealth_api::Hash;
use serde::Serialize;
use sp_consensus_grandpa::AuthorityList;
use sp_core::H256;
use sp_runtime::traits::Header as _;

use super::device::{verify_device, DeviceClaims, Fault};
use super::finality::Authorities;
use super::state::{
    head_page_key, next_device_key, DeviceHead, ProvedState, AUTHORITIES_KEY, HEADS_PER_PAGE,
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
    /// The study that the devices are all of; none when the file does not say so.
    pub study: Option<StudyId>,
    /// The devices, in order of their numbers.
    pub devices: Vec<DeviceClaims>,
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
    /// There is no device, or they are not in order of their numbers.
    #[error("the evidence names no device, or not in order of their numbers")]
    Order,
    /// The devices are not all of the study, or not only those.
    #[error("the devices are not proved to be all of study {0}")]
    Study(StudyId),
    /// What is said of a device is not proved.
    #[error("device {device}: {fault}")]
    Device {
        /// The device.
        device: DeviceId,
        /// What is wrong.
        fault: Fault,
    },
}

/// Checks everything that is in the file.
pub fn verify(evidence: &Evidence, expected: [u8; 32]) -> Result<Claims, Refusal> {
    let authorities = check_chain(evidence, expected)?;
    let state = ProvedState::new(*evidence.block.state_root(), &evidence.state_proof);
    let numbers: Vec<DeviceId> = evidence.devices.iter().map(|it| it.device).collect();
    if !numbers.is_sorted_by(|one, next| one < next)
        || (numbers.is_empty() && evidence.study.is_none())
    {
        return Err(Refusal::Order);
    }
    if let Some(study) = evidence.study {
        if devices_of(study, &state) != Some(numbers) {
            return Err(Refusal::Study(study));
        }
    }
    let devices = evidence.devices.iter().map(|it| {
        verify_device(it, &state, *evidence.block.number(), expected).map_err(|fault| {
            Refusal::Device {
                device: it.device,
                fault,
            }
        })
    });
    Ok(Claims {
        chain: Hash(expected),
        block: *evidence.block.number(),
        block_hash: Hash(evidence.block.hash().0),
        authority_set: authorities.set(),
        authorities: authorities.voters(),
        study: evidence.study,
        devices: devices.collect::<Result<_, _>>()?,
    })
}

/// All devices of a study, from the heads of all devices there are; none where one of these is not proved.
fn devices_of(study: StudyId, state: &ProvedState) -> Option<Vec<DeviceId>> {
    let next: u32 = state.read(next_device_key()).ok()?.unwrap_or(0);
    let mut devices = Vec::new();
    for page in 0..next.div_ceil(HEADS_PER_PAGE) {
        let first = page * HEADS_PER_PAGE;
        let heads: Vec<DeviceHead> = state.read(head_page_key(DeviceId(first))).ok()??;
        if heads.len() != HEADS_PER_PAGE.min(next - first) as usize {
            return None;
        }
        let of_study = (first..)
            .map(DeviceId)
            .zip(&heads)
            .filter(|(_, head)| head.study == study);
        devices.extend(of_study.map(|(device, _)| device));
    }
    Some(devices)
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
