// SPDX-License-Identifier: Apache-2.0

//! Checks evidence against nothing but the genesis hash and the reader's checkpoints, and says what it proves.

use hashchain::{DeviceId, StudyId};
use mhealth_api::Hash;
use mhealth_evidence::{
    Anchor, Checkpoint, FinalState, FirstAuthorities, Header, Refusal as Unproved, HEADS_PER_PAGE,
};
use serde::Serialize;

use super::device::{verify_device, DeviceClaims, Fault};
use super::{Evidence, Start};

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
    /// A handover of authorities is not after the one before it, is before the block that the file begins with, or is after the block
    /// that was signed for.
    #[error("handover {0} of the authorities is not where it belongs")]
    HandoverOrder(usize),
    /// The descendants do not follow the block.
    #[error("the headers after the block do not follow it")]
    Descendants,
    /// The block is not final.
    #[error("the block is not proved to be final")]
    Finality,
    /// The block's state does not name this chain. The same authorities may vote on another one.
    #[error("the block's state is not proved to be of the chain expected")]
    ChainNotNamed,
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
    let (trust, anchor, state) = check_chain(evidence, expected, checkpoints)?;
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
        let verified = verify_device(it, &state, expected);
        verified.map_err(|fault| Refusal::Device {
            device: it.device,
            fault,
        })
    });
    Ok(Claims {
        chain: Hash(expected),
        block: state.number(),
        block_hash: Hash(state.hash()),
        trust,
        authority_set: anchor.set().id(),
        authorities: anchor.set().voters(),
        study: evidence.study,
        devices: devices.collect::<Result<_, _>>()?,
    })
}

/// All devices of a study, from the heads of all devices there are; none where one of these is not proved.
fn devices_of(study: StudyId, state: &FinalState<'_>) -> Option<Vec<DeviceId>> {
    let next = state.devices().ok()?;
    let mut devices = Vec::new();
    for page in 0..next.div_ceil(HEADS_PER_PAGE) {
        let first = page * HEADS_PER_PAGE;
        let heads = state.heads(DeviceId(first)).ok()?;
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
pub(super) fn check_chain<'e>(
    evidence: &'e Evidence,
    expected: [u8; 32],
    checkpoints: &[Checkpoint],
) -> Result<(Trust, Anchor, FinalState<'e>), Refusal> {
    if evidence.genesis.hash() != expected || evidence.genesis.number != 0 {
        return Err(Refusal::AnotherChain);
    }
    let finality = &evidence.finality;
    let newest = Checkpoint::newest_before(checkpoints, finality.block.number);
    let (checkpoint, mut anchor) = start(evidence, expected, newest)?;
    let state = anchor.check(finality).map_err(|why| match why {
        Unproved::Handover(place) => Refusal::Handover(place),
        Unproved::HandoverOrder(place) => Refusal::HandoverOrder(place),
        Unproved::Descendants => Refusal::Descendants,
        Unproved::AnotherChain | Unproved::ChainNotNamed => Refusal::ChainNotNamed,
        _ => Refusal::Finality,
    })?;
    let known: Vec<Checkpoint> = blocks(evidence).map(Checkpoint::of).collect();
    let contradicts = |it: &&Checkpoint| {
        let same_number = |block: &Checkpoint| block.number == it.number;
        known.iter().any(|block| same_number(block) && block != *it)
    };
    if let Some(other) = checkpoints.iter().find(contradicts) {
        return Err(Refusal::AnotherHistory(*other));
    }
    let last = finality.descendants.last().unwrap_or(&finality.block);
    let later = checkpoints.iter().filter(|it| it.number > last.number);
    let trust = Trust {
        checkpoint,
        handovers: finality.handovers.len(),
        later: later.copied().collect(),
    };
    Ok((trust, anchor, state))
}

/// All blocks that the file has headers of.
pub(super) fn blocks(evidence: &Evidence) -> impl Iterator<Item = &Header> {
    let start = match &evidence.start {
        Start::Genesis(_) => None,
        Start::Checkpoint(authorities) => Some(&authorities.header),
    };
    let finality = &evidence.finality;
    let handovers = finality.handovers.iter().map(|handover| &handover.header);
    [&evidence.genesis, &finality.block]
        .into_iter()
        .chain(start)
        .chain(handovers)
        .chain(&finality.descendants)
}

/// What the file begins with: the authorities of the first block, or of the checkpoint, which is then named.
fn start(
    evidence: &Evidence,
    expected: [u8; 32],
    newest: Option<Checkpoint>,
) -> Result<(Option<Checkpoint>, Anchor), Refusal> {
    match &evidence.start {
        Start::Genesis(nodes) => {
            if let Some(newest) = newest.filter(|it| *it != Checkpoint::of(&evidence.genesis)) {
                return Err(Refusal::NotFromCheckpoint(newest));
            }
            let first = FirstAuthorities {
                genesis: evidence.genesis.clone(),
                nodes: nodes.clone(),
            };
            let anchor = Anchor::begin(expected, &first);
            Ok((None, anchor.map_err(|_| Refusal::FirstAuthorities)?))
        }
        Start::Checkpoint(authorities) => {
            let checkpoint = Checkpoint::of(&authorities.header);
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
            let anchor = Anchor::at_checkpoint(expected, checkpoint, authorities);
            let anchor = anchor.map_err(|_| Refusal::CheckpointState)?;
            Ok((Some(checkpoint), anchor))
        }
    }
}
