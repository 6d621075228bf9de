// SPDX-License-Identifier: Apache-2.0

//! Getting devices enrolled and their queues finalised.
//!
//! All of this can be called again at any time, after a failure above all: what the chain has already is found, not
//! written a second time. A refusal stops the device that met it, for this call only, and never the others; the queue
//! keeps the refused entries.

use std::collections::{HashMap, HashSet, VecDeque};

use futures::{stream::FuturesUnordered, FutureExt, StreamExt};
use hashchain::DeviceId;
use mhealth_api::Head;

use crate::{
    chain::{
        Chain, ChainFault, ChainRefusal, Decision, Enrolment, OutgoingRun, Receipt, Upload,
        UploadPolicy,
    },
    key::PublicKey,
    queue,
    store::{DeviceRecord, LocalId, QueuedRun, Store},
    sync::{compare, identify, settle, sync, went_back, Standing, SyncError},
};

/// Entries of one device whose data are in memory at a time; at least one run.
const ENTRIES_WITH_DATA: usize = 64;

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
/// must be enrolled under the terms of this file; otherwise it is stopped. `enrolled` is told of how many devices the
/// chain has decided.
pub async fn enrol_all<C: Chain>(
    store: &Store,
    chain: &C,
    enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    enrol(store, chain, store.devices()?, enrolled).await
}

/// [`enrol_all`] for some devices of a file.
pub(crate) async fn enrol<C: Chain>(
    store: &Store,
    chain: &C,
    mut strangers: Vec<DeviceRecord>,
    mut enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    store.expect_chain(&chain.genesis())?;
    strangers.retain(|device| device.number.is_none() && device.frozen.is_none());
    let mut refused = Vec::new();
    for devices in strangers.chunks(chain.policy().enrolments_at_a_time.max(1)) {
        let enrolments = devices
            .iter()
            .map(|device| enrolment(store, device))
            .collect::<Result<Vec<_>, _>>()?;
        let decisions = chain.enrol(store.terms().study, enrolments).await?;
        store.together(|| {
            for (device, decision) in devices.iter().zip(decisions) {
                match decision {
                    // Stops the device when the chain has other terms than this file.
                    Ok(found) => {
                        identify(store, device, Some(found))?;
                    }
                    Err(refusal) => refused.push(Refused {
                        device: device.key,
                        sequence: 0,
                        refusal,
                    }),
                }
            }
            Ok::<(), SyncError>(())
        })?;
        enrolled(devices.len());
    }
    Ok(refused)
}

fn enrolment(store: &Store, device: &DeviceRecord) -> Result<Enrolment, SyncError> {
    Ok(Enrolment {
        device: device.clone(),
        key: store.device_key(device.id)?,
        code: store.code(device.id)?,
    })
}

/// Sends everything that is queued until the chain has finalised it or refused it. Compares every enrolled device with
/// the chain first and after each upload; `confirmed` is told how many entries have become finalised since.
///
/// Finalised runs that too few relays hold are sent to further ones. When that does not succeed they stay in the queue,
/// see [`Store::runs_short_of_copies`], and nothing else waits for them.
pub async fn upload_all<C: Chain>(
    store: &Store,
    chain: &C,
    run_length: u32,
    confirmed: impl FnMut(u64),
) -> Result<Vec<Refused>, SyncError> {
    let ids: Vec<LocalId> = store.devices()?.iter().map(|device| device.id).collect();
    upload(store, chain, &ids, run_length, confirmed).await
}

/// [`upload_all`] for some devices of a file.
pub(crate) async fn upload<C: Chain>(
    store: &Store,
    chain: &C,
    devices: &[LocalId],
    run_length: u32,
    mut confirmed: impl FnMut(u64),
) -> Result<Vec<Refused>, SyncError> {
    store.expect_chain(&chain.genesis())?;
    let before = store.totals()?.finalised;
    let standings = sync(store, chain, devices).await?;
    let compared = devices.iter().zip(standings);
    let mut waiting: VecDeque<LocalId> = compared
        .filter(|(_, standing)| matches!(standing, Standing::Queued(_)))
        .map(|(id, _)| *id)
        .collect();
    confirmed(store.totals()?.finalised - before);
    let wanted: HashSet<LocalId> = devices.iter().copied().collect();
    queue::form_all_runs(store, &wanted, run_length)?;
    let waiting_already: HashSet<LocalId> = waiting.iter().copied().collect();
    let short = store.devices_short_of_copies()?.into_iter();
    waiting.extend(short.filter(|id| wanted.contains(id) && !waiting_already.contains(id)));

    let policy = chain.policy();
    let mut session = Session::default();
    let mut under_way = FuturesUnordered::new();
    let mut fault: Option<ChainFault> = None;
    loop {
        // After a fault what is under way is brought to its end and nothing new begins.
        while fault.is_none() && under_way.len() < policy.uploads_at_a_time && !waiting.is_empty() {
            let size = waiting.len().min(policy.devices_at_a_time);
            let devices: Vec<LocalId> = waiting.drain(..size).collect();
            let (senders, uploads) = prepare(store, run_length, &devices, &policy)?;
            if !uploads.is_empty() {
                under_way.push(async move { (senders, chain.upload(uploads).await) });
            }
        }
        let Some(first) = under_way.next().await else {
            break;
        };
        // With it, whatever else is done by now, so that all of it is synced to disk together.
        let mut done = vec![first];
        while let Some(Some(next)) = under_way.next().now_or_never() {
            done.push(next);
        }
        let (mut senders, mut answers) = (Vec::new(), Vec::new());
        for (of, answer) in done {
            match answer {
                Ok(decisions) => {
                    senders.extend(of);
                    answers.extend(decisions);
                }
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        let settled = store.together(|| note(store, senders, answers, &mut session))?;
        let (finalised, left) = confirm(store, chain, settled, &session).await?;
        confirmed(finalised);
        // Devices that have more to send go to the end of the line.
        waiting.extend(left);
    }
    match fault {
        Some(fault) => Err(fault.into()),
        None => Ok(session.refused),
    }
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

/// A device whose runs are under way.
struct Sender {
    device: DeviceRecord,
    number: DeviceId,
    /// First entries of the runs, in their order.
    firsts: Vec<u64>,
}

/// A device whose runs were answered.
struct Settled {
    device: DeviceRecord,
    number: DeviceId,
    /// The finalised head, if the receipts vouch for one and nothing was refused.
    head: Option<Head>,
}

/// The runs that these devices send next, and who sends them.
fn prepare(
    store: &Store,
    run_length: u32,
    devices: &[LocalId],
    policy: &UploadPolicy,
) -> Result<(Vec<Sender>, Vec<Upload>), SyncError> {
    let with_data = policy.carries_data;
    let (mut senders, mut uploads) = (Vec::new(), Vec::new());
    for &id in devices {
        let device = store.device(id)?;
        let Some(number) = device.number.filter(|_| device.frozen.is_none()) else {
            continue;
        };
        queue::form_runs(store, id, run_length)?;
        let mut runs = Vec::new();
        let mut entries = 0;
        for run in store.runs_to_send(id, policy.runs_at_a_time.max(1))? {
            entries += run.entries.len();
            if with_data && !runs.is_empty() && entries > ENTRIES_WITH_DATA {
                break;
            }
            runs.push(outgoing(store, id, number, run, with_data)?);
        }
        if runs.is_empty() {
            continue;
        }
        senders.push(Sender {
            device,
            number,
            firsts: runs.iter().map(|out| out.run.first_sequence).collect(),
        });
        uploads.push(Upload {
            device: number,
            key: store.device_key(id)?,
            runs,
        });
    }
    Ok((senders, uploads))
}

fn outgoing(
    store: &Store,
    id: LocalId,
    number: DeviceId,
    queued: QueuedRun,
    with_data: bool,
) -> Result<OutgoingRun, SyncError> {
    let mut envelopes = Vec::new();
    if with_data {
        for entry in &queued.entries {
            let envelope = store.envelope(id, entry.sequence)?;
            envelopes.push(envelope.ok_or_else(|| store.lacks_envelope())?);
        }
    }
    Ok(OutgoingRun {
        run: queued.run(number),
        envelopes,
        holders: queued.holders,
    })
}

/// Remembers refusals, and which relays hold what.
fn note(
    store: &Store,
    senders: Vec<Sender>,
    answers: Vec<Vec<Decision<Receipt>>>,
    session: &mut Session,
) -> Result<Vec<Settled>, SyncError> {
    let mut settled = Vec::with_capacity(senders.len());
    for (sender, decisions) in senders.into_iter().zip(answers) {
        let (device, number) = (sender.device, sender.number);
        let mut head: Option<Head> = None;
        let mut refusal = None;
        for (first, decision) in sender.firsts.into_iter().zip(decisions) {
            match decision {
                Ok(receipt) => {
                    for relay in &receipt.holders {
                        store.add_holder(device.id, first, relay)?;
                    }
                    head = head
                        .into_iter()
                        .chain(receipt.head)
                        .max_by_key(|h| h.length);
                }
                // Only the first refusal tells something: the runs after it cannot follow.
                Err(found) => {
                    refusal = refusal.or(Some((first, found)));
                }
            }
        }
        // A receipt for a copy of what was finalised long ago is older than what is known.
        if head.is_some_and(|head| head.length < device.confirmed) {
            head = store
                .hash_at(device.id, device.confirmed)?
                .map(|hash| Head {
                    hash,
                    length: device.confirmed,
                });
        }
        if let Some((sequence, refusal)) = refusal {
            head = None;
            store.set_refusal(device.id, sequence, Some(&refusal.code))?;
            let before = session.misfits.insert(device.id, device.confirmed);
            let again = before == Some(device.confirmed);
            if !refusal.is_about_the_head() || again {
                session.stopped.insert(device.id);
                session.refused.push(Refused {
                    device: device.key,
                    sequence,
                    refusal,
                });
            }
        }
        settled.push(Settled {
            device,
            number,
            head,
        });
    }
    Ok(settled)
}

/// Marks what the chain has finalised. Gives the number of entries that are finalised now and were not before, and the
/// devices that have something left to send.
async fn confirm<C: Chain>(
    store: &Store,
    chain: &C,
    settled: Vec<Settled>,
    session: &Session,
) -> Result<(u64, Vec<LocalId>), SyncError> {
    let open = settled.iter().filter(|device| device.head.is_none());
    let numbers: Vec<DeviceId> = open.map(|device| device.number).collect();
    let mut asked = match numbers.is_empty() {
        true => Vec::new(),
        false => chain.heads(&numbers).await?,
    }
    .into_iter();
    let mut compared = Vec::with_capacity(settled.len());
    for one in settled {
        let head = match one.head {
            Some(head) => head,
            None => asked.next().flatten().ok_or_else(went_back)?,
        };
        compared.push((one.device, one.number, head));
    }
    let own = store.together(|| {
        let settle = |(device, _, head): &(DeviceRecord, DeviceId, Head)| {
            settle(store, chain, device, *head)
        };
        compared.iter().map(settle).collect::<Result<Vec<_>, _>>()
    })?;
    let (mut finalised, mut left) = (0, Vec::new());
    for ((device, number, head), own) in compared.into_iter().zip(own) {
        let standing = match own {
            Some(standing) => standing,
            None => compare(store, chain, &device, number, head).await?,
        };
        finalised += store.device(device.id)?.confirmed - device.confirmed;
        if matches!(standing, Standing::Queued(_)) && !session.stopped.contains(&device.id) {
            left.push(device.id);
        }
    }
    Ok((finalised, left))
}
