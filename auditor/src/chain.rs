// SPDX-License-Identifier: Apache-2.0

//! Reads a study from the chain, as of one finalised block.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_chain_client::{
    AccountId32, BlockId, ChainClient, ChainEvent, ChainView, DeviceView, Error, FinalisedBlock,
    StudyView,
};

use crate::case::{BroughtRun, Conflict, DeviceRecord, Fate, Predecessor, RegisteredEntry};
use crate::error::AuditError;
use crate::scratch::Scratch;

#[cfg(test)]
mod tests;

/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Journal entries a request.
const JOURNAL_PAGE: u32 = 1_024;

/// A study on a chain, at the block of the audit.
#[derive(Clone, Debug)]
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
    /// The accounts that the study's servers gave up for others.
    pub rotations: Rotations,
    /// Whether every block was read with its extrinsics.
    pub blocks_complete: bool,
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

/// Reads devices, journal and blocks of a study. What is long goes to the scratch file.
pub async fn read(
    client: &ChainClient,
    number: StudyId,
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<ChainStudy, AuditError> {
    let (block, view) = client.at_finalised().await?;
    let study = view
        .study(number)
        .await?
        .ok_or(AuditError::NoSuchStudy(number))?;
    let mut devices = read_devices(&view, number, progress).await?;
    read_journal(&view, &devices, scratch, progress).await?;
    name_predecessors(&view, &mut devices, scratch).await?;
    let blocks_complete = read_blocks(client, &devices, block, scratch, progress).await?;
    let rotations = Rotations::new(view.rotations(number).await?);
    for (former, present) in rotations.all() {
        scratch.rename_submitter(former, present)?;
    }
    Ok(ChainStudy {
        genesis: client.genesis_hash().0,
        block,
        time: client.block_time(block.hash).await?,
        number,
        study,
        devices,
        rotations,
        blocks_complete,
    })
}

/// The accounts that relays and authentication servers of a study gave up, each with the one that its holder has now. What
/// a former account did is told of the present one, so that a relay is one party whatever its key was at the time.
#[derive(Clone, Debug, Default)]
pub struct Rotations(HashMap<[u8; 32], [u8; 32]>);

impl Rotations {
    fn new(rotations: Vec<(AccountId32, AccountId32)>) -> Self {
        let next: HashMap<_, _> = rotations
            .into_iter()
            .map(|(former, successor)| (former.0, successor.0))
            .collect();
        let last = |mut account: [u8; 32]| {
            // No account is given up twice, so no chain is longer than all of them.
            for _ in 0..next.len() {
                account = next.get(&account).copied().unwrap_or(account);
            }
            account
        };
        Self(next.keys().map(|former| (*former, last(*former))).collect())
    }

    /// The account that is now in the place of `account`: itself, unless it was given up.
    pub fn present(&self, account: [u8; 32]) -> [u8; 32] {
        self.0.get(&account).copied().unwrap_or(account)
    }

    fn all(&self) -> impl Iterator<Item = ([u8; 32], [u8; 32])> + '_ {
        self.0.iter().map(|(former, present)| (*former, *present))
    }
}

async fn read_devices(
    view: &ChainView,
    study: StudyId,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<DeviceRecord>, Error> {
    let devices = all_devices(view, progress).await?;
    let of_study = devices.into_iter().filter(|device| device.study == study);
    Ok(of_study.map(record).collect())
}

/// The devices of all studies. Numbers are dense: the first that was never given out is the end.
pub(crate) async fn all_devices(
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

fn record(view: DeviceView) -> DeviceRecord {
    DeviceRecord {
        device: view.device,
        study: view.study,
        key: view.key,
        secret_commitment: view.secret_commitment.0,
        escrow: view.escrow,
        genesis: view.genesis,
        length: view.length,
        head: view.head,
        status: view.status,
        predecessor: view.predecessor.map(|device| Predecessor {
            device,
            trusted_head: None,
        }),
        successor: view.successor,
        trusted_length: view.trusted_length,
        enrolled_at: u64::from(view.enrolled_at),
    }
}

async fn read_journal(
    view: &ChainView,
    devices: &[DeviceRecord],
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), AuditError> {
    let length = view.journal_length().await?;
    let starts = (0..length).step_by(JOURNAL_PAGE as usize);
    let mut pages = futures::stream::iter(starts)
        .map(|from| view.journal(from, JOURNAL_PAGE))
        .buffered(4);
    let mut read = 0;
    while let Some(page) = pages.try_next().await? {
        read = (read + u64::from(JOURNAL_PAGE)).min(length);
        progress(Progress::Journal(read, length));
        scratch.together(|scratch| {
            for entry in page {
                if position(devices, entry.device).is_some() {
                    let registered = RegisteredEntry {
                        sequence: entry.sequence,
                        digest: entry.digest,
                        link: entry.hash,
                    };
                    scratch.add_registered(entry.device, &registered)?;
                }
            }
            Ok::<_, AuditError>(())
        })?;
    }
    Ok(())
}

/// Place of a device among those of the study, which are in order.
pub(crate) fn position(devices: &[DeviceRecord], device: DeviceId) -> Option<usize> {
    devices
        .binary_search_by_key(&device, |record| record.device)
        .ok()
}

/// The head that a successor commits to is its predecessor's last trusted link.
async fn name_predecessors(
    view: &ChainView,
    devices: &mut [DeviceRecord],
    scratch: &Scratch,
) -> Result<(), AuditError> {
    for index in 0..devices.len() {
        let Some(predecessor) = devices[index].predecessor else {
            continue;
        };
        let before = match position(devices, predecessor.device) {
            Some(index) => Some(devices[index].clone()),
            None => view.device(predecessor.device).await?.map(record),
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

/// Reads every block from the first enrolment on, for the runs that it brought. An audit that was cut short goes on after
/// the last block that it has. Says whether all could be read.
async fn read_blocks(
    client: &ChainClient,
    devices: &[DeviceRecord],
    end: BlockId,
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<bool, AuditError> {
    let Some(first) = devices.iter().map(|device| device.enrolled_at).min() else {
        return Ok(true);
    };
    let mut complete = scratch.fact("blocks_incomplete")?.is_none();
    let reached = scratch
        .fact("block")?
        .and_then(|number| number.parse::<u64>().ok());
    let from = reached.map_or(first, |reached| reached + 1);
    if from > end.number {
        return Ok(complete);
    }
    let mut follower = client.follow_from(from);
    loop {
        let block = follower.next().await?;
        let last = block.number >= end.number;
        progress(Progress::Blocks(
            block.number - first + 1,
            end.number - first + 1,
        ));
        // An extrinsic that every block has sets the clock.
        let brought = match block.extrinsics.len() {
            0 | 1 => Some(Vec::new()),
            _ => match client.runs_brought(block.hash).await {
                Ok(brought) => Some(brought),
                Err(Error::StatePruned { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let time = match &brought {
            Some(brought) if brought.is_empty() => None,
            _ => client.block_time(block.hash).await?,
        };
        complete &= brought.is_some();
        scratch.together(|scratch| {
            let mut concerned = false;
            for brought in brought.into_iter().flatten() {
                if position(devices, brought.run.device).is_some() {
                    concerned = true;
                    let run = BroughtRun {
                        block: block.number,
                        extrinsic: brought.extrinsic_index,
                        submitter: brought.submitter.0,
                        fate: fate(&block, &brought),
                        run: brought.run,
                    };
                    scratch.add_brought(brought.position, &run)?;
                }
            }
            if concerned {
                scratch.add_block(block.number, time)?;
            }
            if !complete {
                scratch.remember("blocks_incomplete", "true")?;
            }
            scratch.remember("block", &block.number.to_string())?;
            Ok::<_, AuditError>(())
        })?;
        if last {
            return Ok(complete);
        }
    }
}

/// What the block's events say of a run in it.
fn fate(block: &FinalisedBlock, brought: &mhealth_chain_client::BroughtRun) -> Fate {
    let mut extrinsics = block.extrinsics.iter();
    let extrinsic = extrinsics.find(|extrinsic| extrinsic.index == brought.extrinsic_index);
    let Some(effect) = extrinsic.and_then(|extrinsic| extrinsic.effect.as_ref()) else {
        return Fate::Untold;
    };
    if let Err(refusal) = &effect.result {
        return Fate::Refused(refusal.refusal().clone());
    }
    if brought.wrapped {
        // Events count the runs of one call, and do not say of which.
        return Fate::Untold;
    }
    let refused = effect.events.iter().find_map(|event| match event {
        ChainEvent::RunRefused {
            position, reason, ..
        } if *position == brought.position => Some(reason.clone()),
        _ => None,
    });
    refused.map_or(Fate::Registered, Fate::Refused)
}

/// The rival histories that the chain recorded for a device, and how many it had no place for.
pub async fn conflicts(
    view: &ChainView,
    device: DeviceId,
    rotations: &Rotations,
) -> Result<(Vec<Conflict>, u32), Error> {
    let conflicts = view.conflicts(device).await?;
    let recorded = conflicts
        .stored
        .into_iter()
        .map(|conflict| Conflict {
            sequence: conflict.sequence,
            recorded: conflict.recorded,
            rival: conflict.rival,
            rival_digest: conflict.rival_digest,
            signed: conflict.signed,
            submitter: rotations.present(conflict.submitter.0),
            block: u64::from(conflict.block),
        })
        .collect();
    Ok((recorded, conflicts.not_stored))
}
