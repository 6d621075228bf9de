// SPDX-License-Identifier: Apache-2.0

//! Checks evidence against nothing but the genesis hash and the reader's checkpoints, and says what it proves.

use hashchain::{DeviceId, StudyId};
use mhealth_api::Hash;
use mhealth_justification::Voters;
use serde::Serialize;
use sp_consensus_grandpa::AuthorityList;
use sp_core::H256;
use sp_runtime::traits::Header as _;

use super::checkpoint::Checkpoint;
use super::device::{verify_device, DeviceClaims, Fault};
use super::finality::{check, hand_over};
use super::state::{
    genesis_hash_key, head_page_key, next_device_key, set_key, DeviceHead, ProvedState,
    AUTHORITIES_KEY, HEADS_PER_PAGE,
};
use super::{Evidence, Header, Start};

/// What evidence proves. Nothing stands here that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// Number of the block whose state is proved.
    pub block: u32,
    /// Its hash.
    pub block_hash: Hash,
    /// What the reader has to trust for it.
    pub trust: Trust,
    /// The number of the set of authorities that made it final: how often the authorities had changed since the first block.
    pub authority_set: u64,
    /// How many authorities there were.
    pub authorities: usize,
    /// The study that the devices are all of; none when the file does not say so.
    pub study: Option<StudyId>,
    /// The devices, in order of their numbers.
    pub devices: Vec<DeviceClaims>,
}

/// What the authorities that made the block final are traced back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Where the tracing begins: a checkpoint of the reader's. None: the chain's first block, so that whoever has enough of the
    /// keys of any set since could have made the file.
    pub checkpoint: Option<Checkpoint>,
    /// How often a set handed over to the next since then.
    pub handovers: usize,
    /// Checkpoints of the reader's that are later than the block, and say nothing about it.
    pub later: Vec<Checkpoint>,
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
    /// It begins at a block that is none of the reader's checkpoints.
    #[error("this evidence begins at block {0}, whose authorities nobody vouches for; if you have this hash and number from a source that you trust, give them with --checkpoint")]
    Untrusted(Checkpoint),
    /// It begins before a checkpoint of the reader's that is before the block.
    #[error("this evidence does not begin at the checkpoint {0}; have it made anew with `mhealth-auditor prove --checkpoint`")]
    NotFromCheckpoint(Checkpoint),
    /// It has another block where the reader has a checkpoint.
    #[error("this evidence is of another history than the checkpoint {0}")]
    AnotherHistory(Checkpoint),
    /// The authorities at the checkpoint are not proved.
    #[error(
        "the authorities at the checkpoint are not proved by its state, or it is of another chain"
    )]
    CheckpointState,
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

/// Checks everything that is in the file, for a reader who trusts the genesis hash that is expected, and these checkpoints.
///
/// The file has to begin at the newest checkpoint before its block, so that keys of older sets are worth nothing, and at the
/// chain's first block when there is no such checkpoint.
pub fn verify(
    evidence: &Evidence,
    expected: [u8; 32],
    checkpoints: &[Checkpoint],
) -> Result<Claims, Refusal> {
    let (trust, authorities) = check_chain(evidence, expected, checkpoints)?;
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
        trust,
        authority_set: authorities.set(),
        authorities: authorities.count(),
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

/// From the block that is trusted to the one whose state is proved, over every set of authorities between.
fn check_chain(
    evidence: &Evidence,
    expected: [u8; 32],
    checkpoints: &[Checkpoint],
) -> Result<(Trust, Voters), Refusal> {
    if evidence.genesis.hash() != H256(expected) || *evidence.genesis.number() != 0 {
        return Err(Refusal::AnotherChain);
    }
    let newest = Checkpoint::newest_before(checkpoints, *evidence.block.number());
    let (checkpoint, mut authorities) = start(evidence, newest)?;
    for (index, handover) in evidence.handovers.iter().enumerate() {
        authorities = hand_over(&authorities, handover).map_err(|_| Refusal::Handover(index))?;
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
    check(&authorities, last, &evidence.justification).map_err(|_| Refusal::Finality)?;
    let known: Vec<Checkpoint> = blocks(evidence).map(Checkpoint::of).collect();
    let contradicts = |it: &&Checkpoint| {
        let same_number = |block: &Checkpoint| block.number == it.number;
        known.iter().any(|block| same_number(block) && block != *it)
    };
    if let Some(other) = checkpoints.iter().find(contradicts) {
        return Err(Refusal::AnotherHistory(*other));
    }
    let later = checkpoints.iter().filter(|it| it.number > *last.number());
    let trust = Trust {
        checkpoint,
        handovers: evidence.handovers.len(),
        later: later.copied().collect(),
    };
    Ok((trust, authorities))
}

/// All blocks that the file has headers of.
fn blocks(evidence: &Evidence) -> impl Iterator<Item = &Header> {
    let start = match &evidence.start {
        Start::Genesis(_) => None,
        Start::Checkpoint { header, .. } => Some(header),
    };
    let handovers = evidence.handovers.iter().map(|handover| &handover.header);
    [&evidence.genesis, &evidence.block]
        .into_iter()
        .chain(start)
        .chain(handovers)
        .chain(&evidence.descendants)
}

/// The authorities that the file begins with, and the checkpoint that they are from.
fn start(
    evidence: &Evidence,
    newest: Option<Checkpoint>,
) -> Result<(Option<Checkpoint>, Voters), Refusal> {
    match &evidence.start {
        Start::Genesis(proof) => {
            if let Some(newest) = newest.filter(|it| *it != Checkpoint::of(&evidence.genesis)) {
                return Err(Refusal::NotFromCheckpoint(newest));
            }
            let state = ProvedState::new(*evidence.genesis.state_root(), proof);
            let first = authorities_of(&state, 0).ok_or(Refusal::FirstAuthorities)?;
            Ok((None, first))
        }
        Start::Checkpoint { header, proof } => {
            let checkpoint = Checkpoint::of(header);
            match newest {
                Some(newest) if newest == checkpoint => {}
                Some(newest) if newest.number == checkpoint.number => {
                    return Err(Refusal::AnotherHistory(newest));
                }
                Some(newest) if newest.number > checkpoint.number => {
                    return Err(Refusal::NotFromCheckpoint(newest));
                }
                _ => return Err(Refusal::Untrusted(checkpoint)),
            }
            let state = ProvedState::new(*header.state_root(), proof);
            let authorities = authorities_at(&state, evidence.genesis.hash());
            let authorities = authorities.ok_or(Refusal::CheckpointState)?;
            Ok((Some(checkpoint), authorities))
        }
    }
}

/// The authorities that vote on the blocks after a checkpoint, if it is of the chain with this first block.
fn authorities_at(state: &ProvedState, genesis: H256) -> Option<Voters> {
    let first: H256 = state.read(genesis_hash_key()).ok()??;
    let set: u64 = state.read(set_key()).ok()??;
    (first == genesis)
        .then(|| authorities_of(state, set))
        .flatten()
}

fn authorities_of(state: &ProvedState, set: u64) -> Option<Voters> {
    let list: AuthorityList = state.read(AUTHORITIES_KEY.to_vec()).ok()??;
    Voters::new(set, list)
}
