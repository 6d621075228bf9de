// SPDX-License-Identifier: Apache-2.0

//! Reads a study from the chain, as of one finalised block: what the node says only as far as it proves it, from the first block or a
//! checkpoint on. [`Standing`] says what is left that only the node says.

mod blocks;
mod code;
mod proof;
mod runtimes;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_chain_client::{BlockId, ChainClient, ChainView, DeviceView, Error, StudyView};
use mhealth_evidence::Rotated;

use crate::case::{DeviceRecord, ErasureReceipt, Predecessor};
use crate::error::AuditError;
use crate::scratch::Scratch;

use blocks::Range;
use code::StepsLeft;
use proof::Target;
use runtimes::Runtime;

pub use code::{metadata_of, CodeFault};
pub(crate) use proof::{handover, NodesFinality};
pub use proof::{Basis, ProvedFinality, Standing, Unproved, Word};
pub use runtimes::ProvedRuntime;
pub(crate) use state::{read_proof, ProvedState};

/// Requests at the same time.
const AT_ONCE: usize = 16;

/// How long the node may take to prove a block that it calls final, how long it may be behind a relay, and how often it is asked.
const PROOF: Duration = Duration::from_secs(60);
const BEHIND: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);

/// A study on a chain, at the block of the audit.
#[derive(Clone)]
pub struct ChainStudy {
    /// Genesis hash of the chain.
    pub genesis: [u8; 32],
    /// The finalised block that the audit is about.
    pub block: BlockId,
    /// The seconds since 1970 that the block names.
    pub time: Option<u64>,
    /// The study's number.
    pub number: StudyId,
    /// What the chain says of it.
    pub study: StudyView,
    /// Its devices, in order of their numbers.
    pub devices: Vec<DeviceRecord>,
    /// The receipts of erasures of its devices.
    pub erasures: HashMap<DeviceId, ErasureReceipt>,
    /// The accounts that the study's servers gave up for others.
    pub rotations: Rotations,
    /// The present accounts of its relays.
    pub relays: Vec<[u8; 32]>,
    /// Whether every block was read with its extrinsics.
    pub blocks_complete: bool,
    /// What all of this rests on.
    pub standing: Standing,
    pub(crate) state: ProvedState,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Devices that were read.
    Devices(u64),
    /// Journal entries that were read, of how many.
    Journal(u64, u64),
    /// Blocks that were read, of how many.
    Blocks(u64, u64),
    /// Runs that were read from an export.
    Runs(u64),
    /// Devices that were judged, of how many.
    Judged(u64, u64),
}

/// Reads devices, journal and blocks of a study, as the node proves them. What is long goes to the scratch file.
pub async fn read(
    client: &ChainClient,
    number: StudyId,
    basis: &Basis,
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<ChainStudy, AuditError> {
    let target = Target::find(client).await?;
    let state = ProvedState::new(client, &target);
    let study = state
        .study(number)
        .await?
        .ok_or(AuditError::NoSuchStudy(number))?;
    let (time, version) = state.time_and_version().await?;
    let mut steps = StepsLeft::all();
    let runtime = Runtime::of(client, &target.header, version, &mut steps).await?;
    let mut devices = state.devices(number, progress).await?;
    state.journal(&devices, scratch, progress).await?;
    name_predecessors(&state, &mut devices, scratch).await?;
    let checkpoint = basis.newest_before(&target);
    let range = Range {
        headers_after: checkpoint.map_or(0, |checkpoint| u64::from(checkpoint.number)),
        bodies_from: devices.iter().map(|device| device.enrolled_at).min(),
        end: target.block,
        genesis: basis.genesis.unwrap_or(client.genesis_hash().0),
        checkpoints: basis.checkpoints.clone(),
    };
    let blocks = blocks::read(client, &devices, &range, &mut steps, scratch, progress).await?;
    let (runtimes, word) = blocks.runtimes.up_to(target.header.number, &runtime);
    let words = word.into_iter().collect();
    let standing = proof::standing(client, &target, basis, &blocks.changes, words).await?;
    let standing = Standing {
        runtimes,
        ..standing
    };
    let phones = devices.iter().map(|device| device.key);
    let rotations = Rotations::of_study(state.rotations(number).await?, phones);
    for (former, present) in rotations.all() {
        scratch.rename_submitter(former, present)?;
    }
    let relays = state.relays(number).await?;
    Ok(ChainStudy {
        erasures: state.erasures(&devices).await?,
        genesis: client.genesis_hash().0,
        block: target.block,
        time,
        number,
        study,
        devices,
        relays: relays.into_iter().map(|it| rotations.present(it)).collect(),
        rotations,
        blocks_complete: blocks.complete,
        standing,
        state,
    })
}

/// Waits until the node proves the finality of a block of this number, which some relay has seen, but not for long: a relay may
/// say anything, and the node may be behind.
pub(crate) async fn wait_for(client: &ChainClient, number: u64) -> Result<(), AuditError> {
    let begun = Instant::now();
    while Target::find(client).await?.block.number < number {
        let is_final = client.finalised().await?.number >= number;
        if begun.elapsed() > if is_final { PROOF } else { BEHIND } {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The accounts that relays and authentication servers of a study gave up, each with the one that its holder has now. What
/// a former account did is told of the present one, so that a relay is one party whatever its key was at the time.
#[derive(Clone, Debug, Default)]
pub struct Rotations(HashMap<[u8; 32], [u8; 32]>);

impl Rotations {
    /// Those of a study with phones of these keys. What a phone signed and what somebody brought in its name are to be told apart,
    /// so nobody becomes a phone by naming its key as the successor.
    fn of_study(mut rotations: Vec<Rotated>, phones: impl Iterator<Item = [u8; 32]>) -> Self {
        let phones: HashSet<_> = phones.collect();
        rotations.retain(|(_, successor)| !phones.contains(successor));
        Self::new(rotations)
    }

    fn new(rotations: Vec<Rotated>) -> Self {
        let next: HashMap<_, _> = rotations.into_iter().collect();
        let mut last: HashMap<[u8; 32], [u8; 32]> = HashMap::with_capacity(next.len());
        for former in next.keys() {
            let (mut account, mut passed) = (*former, Vec::new());
            // Each is passed once. No account is given up twice, so no chain is longer than all of them.
            while let Some(successor) = next.get(&account).filter(|_| passed.len() < next.len()) {
                if let Some(known) = last.get(&account) {
                    account = *known;
                    break;
                }
                passed.push(account);
                account = *successor;
            }
            last.extend(passed.into_iter().map(|before| (before, account)));
        }
        Self(last)
    }

    /// The account that is now in the place of `account`: itself, unless it was given up.
    pub fn present(&self, account: [u8; 32]) -> [u8; 32] {
        self.0.get(&account).copied().unwrap_or(account)
    }

    fn all(&self) -> impl Iterator<Item = ([u8; 32], [u8; 32])> + '_ {
        self.0.iter().map(|(former, present)| (*former, *present))
    }
}

/// The devices of all studies. Numbers are dense: the first that was never given out is the end.
pub async fn all_devices(
    view: &ChainView,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<DeviceView>, Error> {
    let mut devices = Vec::new();
    let mut answers = futures::stream::iter(0..u32::MAX)
        .map(|device| view.device(DeviceId(device)))
        .buffered(AT_ONCE);
    while let Some(Some(device)) = answers.try_next().await? {
        devices.push(device);
        progress(Progress::Devices(devices.len() as u64));
    }
    Ok(devices)
}

/// Place of a device among those of the study, which are in order.
pub(crate) fn position(devices: &[DeviceRecord], device: DeviceId) -> Option<usize> {
    devices
        .binary_search_by_key(&device, |record| record.device)
        .ok()
}

/// The head that a successor commits to is its predecessor's last trusted link.
async fn name_predecessors(
    state: &ProvedState,
    devices: &mut [DeviceRecord],
    scratch: &Scratch,
) -> Result<(), AuditError> {
    for index in 0..devices.len() {
        let Some(predecessor) = devices[index].predecessor else {
            continue;
        };
        let before = match position(devices, predecessor.device) {
            Some(index) => Some(devices[index].clone()),
            None => state.device(predecessor.device).await?,
        };
        let Some(before) = before else { continue };
        let trusted_head = match before.trusted_length {
            None => None,
            Some(0) => Some(before.genesis),
            Some(length) if length == before.length => Some(before.head),
            Some(length) => scratch.link(before.device, length)?,
        };
        devices[index].predecessor = Some(Predecessor {
            device: predecessor.device,
            trusted_head,
        });
    }
    Ok(())
}
