// SPDX-License-Identifier: Apache-2.0
//! Getting a file's devices enrolled and their queues finalised.
//!
//! Both functions can be called again at any time, after a failure above all: what the chain has already is found, not
//! written a second time. A refusal stops the device that met it, for this call only, and never the others; the queue
//! keeps the refused entries.

use std::collections::{HashMap, HashSet};

use crate::{
    chain::{Chain, ChainRefusal, Upload},
    key::PublicKey,
    queue,
    store::{DeviceRecord, LocalId, Store},
    sync::{compare, identify, sync_all, went_back, Identity, Standing, SyncError},
};

/// Devices that are enrolled, or whose runs are sent, at a time.
const DEVICES_AT_A_TIME: usize = 128;

/// Runs of one device that are under way at a time.
const RUNS_AT_A_TIME: usize = 16;

/// An enrolment or a run that the chain refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The device.
    pub device: PublicKey,
    /// First entry of the run; 0 for an enrolment.
    pub sequence: u64,
    /// Why.
    pub refusal: ChainRefusal,
}

/// Makes sure that the chain knows every device of the file. A device that it knows already is found by its key and
/// must be enrolled under the terms of this file; otherwise it is stopped.
pub async fn enrol_all<C: Chain>(
    store: &Store,
    chain: &C,
    mut enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    store.expect_chain(&chain.genesis())?;
    let strangers: Vec<DeviceRecord> = store
        .devices()?
        .into_iter()
        .filter(|device| device.chain_id.is_none() && device.frozen.is_none())
        .collect();
    let mut refused = Vec::new();
    for devices in strangers.chunks(DEVICES_AT_A_TIME) {
        let unknown = look_up(store, chain, devices).await?;
        let verdicts = match unknown.is_empty() {
            true => Vec::new(),
            false => chain.enrol(store.terms().study, &unknown).await?,
        };
        // Whatever the verdicts say, what counts is what the chain has now.
        let still_unknown = look_up(store, chain, &unknown).await?;
        for device in still_unknown {
            let place = unknown.iter().position(|known| known.id == device.id);
            let verdict = place.and_then(|place| verdicts.get(place)).cloned();
            let refusal = verdict
                .and_then(Result::err)
                .unwrap_or_else(|| ChainRefusal {
                    code: "not_enrolled".into(),
                    message: "The chain took the enrolment and does not know the device.".into(),
                });
            refused.push(Refused {
                device: device.key,
                sequence: 0,
                refusal,
            });
        }
        enrolled(devices.len());
    }
    Ok(refused)
}

/// Finds devices on the chain by their keys, remembers their numbers, and gives back those it does not know.
async fn look_up<C: Chain>(
    store: &Store,
    chain: &C,
    devices: &[DeviceRecord],
) -> Result<Vec<DeviceRecord>, SyncError> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<PublicKey> = devices.iter().map(|device| device.key).collect();
    let found = chain.devices(&keys).await?;
    let mut unknown = Vec::new();
    for (device, found) in devices.iter().zip(found) {
        if let Identity::Unknown = identify(store, device, found)? {
            unknown.push(device.clone());
        }
    }
    Ok(unknown)
}

/// Sends everything that is queued until the chain has finalised it or refused it. Compares every enrolled device with
/// the chain first and after each upload; `confirmed` is told how many entries have become finalised since.
pub async fn upload_all<C: Chain>(
    store: &Store,
    chain: &C,
    run_length: u32,
    mut confirmed: impl FnMut(u64),
) -> Result<Vec<Refused>, SyncError> {
    let mut finalised = store.totals()?.finalised;
    let mut waiting: Vec<LocalId> = Vec::new();
    for (device, standing) in sync_all(store, chain).await? {
        if let Standing::Behind(_) = standing {
            waiting.push(device.id);
        }
    }
    let mut session = Session::default();
    while !waiting.is_empty() {
        let now = store.totals()?.finalised;
        confirmed(now - finalised);
        finalised = now;

        let batch: Vec<LocalId> = waiting
            .drain(..waiting.len().min(DEVICES_AT_A_TIME))
            .collect();
        send(store, chain, run_length, &batch, &mut session).await?;
        // Devices that have more to send go to the end of the line.
        waiting.extend(confirm(store, chain, &batch, &session).await?);
    }
    confirmed(store.totals()?.finalised - finalised);
    Ok(session.refused)
}

/// What happened since [`upload_all`] was called.
#[derive(Default)]
struct Session {
    refused: Vec<Refused>,
    /// Devices that are not sent for again.
    stopped: HashSet<LocalId>,
    /// Devices whose run did not fit the head, with the chain's length at that time.
    misfits: HashMap<LocalId, u64>,
}

async fn send<C: Chain>(
    store: &Store,
    chain: &C,
    run_length: u32,
    batch: &[LocalId],
    session: &mut Session,
) -> Result<(), SyncError> {
    let mut uploads = Vec::new();
    let mut senders = Vec::new();
    for &id in batch {
        let device = store.device(id)?;
        let Some(number) = device.chain_id else {
            continue;
        };
        let mut runs = queue::runs(store, id, run_length)?;
        runs.truncate(RUNS_AT_A_TIME);
        if !runs.is_empty() {
            let firsts: Vec<u64> = runs.iter().map(|run| run.first().sequence).collect();
            senders.push((device, firsts));
            uploads.push(Upload {
                device: number,
                key: store.device_key(id)?,
                runs,
            });
        }
    }
    if uploads.is_empty() {
        return Ok(());
    }
    let verdicts = chain.upload(uploads).await?;
    for ((device, firsts), verdicts) in senders.into_iter().zip(verdicts) {
        // Only the first refusal tells something: the runs after it cannot follow.
        let refusal = firsts
            .into_iter()
            .zip(verdicts)
            .find_map(|(first, verdict)| verdict.err().map(|refusal| (first, refusal)));
        let Some((sequence, refusal)) = refusal else {
            continue;
        };
        store.set_refusal(device.id, sequence, Some(&refusal.code))?;
        let again = session.misfits.insert(device.id, device.confirmed) == Some(device.confirmed);
        if !refusal.is_about_the_head() || again {
            session.stopped.insert(device.id);
            session.refused.push(Refused {
                device: device.key,
                sequence,
                refusal,
            });
        }
    }
    Ok(())
}

/// Marks what the chain has finalised, and gives the devices that have something left to send.
async fn confirm<C: Chain>(
    store: &Store,
    chain: &C,
    batch: &[LocalId],
    session: &Session,
) -> Result<Vec<LocalId>, SyncError> {
    let mut devices = Vec::new();
    for &id in batch {
        let device = store.device(id)?;
        devices.extend(device.chain_id.map(|number| (number, device)));
    }
    let numbers: Vec<u32> = devices.iter().map(|(number, _)| *number).collect();
    let heads = chain.heads(&numbers).await?;
    let mut left = Vec::new();
    for ((number, device), head) in devices.into_iter().zip(heads) {
        let head = head.ok_or_else(went_back)?;
        let standing = compare(store, chain, &device, number, head).await?;
        if matches!(standing, Standing::Behind(_)) && !session.stopped.contains(&device.id) {
            left.push(device.id);
        }
    }
    Ok(left)
}
