// SPDX-License-Identifier: Apache-2.0

//! Getting queues finalised.
//!
//! All of this can be called again at any time, after a failure above all: what the chain has already is found, not
//! written a second time. A refusal stops the device that met it, for this call only, and never the others; the queue
//! keeps the refused entries.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use futures_util::{stream::FuturesUnordered, FutureExt, StreamExt};
use hashchain::DeviceId;

use crate::{
    book::{Book, DeviceRecord, LocalId, QueuedRun},
    chain::{
        Chain, ChainFault, ChainRefusal, Decision, FinalHead, HeadChecker, OutgoingRun, Question,
        Receipt, Upload, UploadPolicy,
    },
    key::PublicKey,
    queue,
    sync::{compare, question, sync, take, Compared, Standing, SyncError, Taken},
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

/// Sends everything that is queued until the chain has finalised it or refused it. Compares every enrolled device with
/// the chain first and after each upload; `confirmed` is told how many entries have become finalised since. A device that cannot
/// be compared at first sends all the same: somebody else may prove what becomes of it.
///
/// Finalised runs that too few relays hold are sent to further ones. When that does not succeed they stay in the queue,
/// see `runs_short_of_copies` of the host's store, and nothing else waits for them.
pub async fn upload_all<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    run_length: u32,
    confirmed: impl FnMut(u64),
) -> Result<Vec<Refused>, SyncError> {
    let ids: Vec<LocalId> = book.devices()?.iter().map(|device| device.id).collect();
    upload(book, chain, &ids, run_length, confirmed).await
}

/// [`upload_all`] for some devices of a file.
pub async fn upload<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    devices: &[LocalId],
    run_length: u32,
    mut confirmed: impl FnMut(u64),
) -> Result<Vec<Refused>, SyncError> {
    book.expect_chain(&chain.genesis())?;
    let before = book.finalised()?;
    let compared = sync(book, chain, devices).await?;
    let mut waiting = VecDeque::new();
    let mut session = Session::default();
    for (id, compared) in devices.iter().zip(compared) {
        let record = book.device(*id)?;
        let sends = match compared {
            Ok(standing) => matches!(standing, Standing::Queued(_)),
            Err(fault) => {
                session.faults.insert(*id, fault);
                record.number.is_some() && record.queued() > 0
            }
        };
        if sends {
            waiting.push_back(*id);
        }
    }
    confirmed(book.finalised()? - before);
    let wanted: BTreeSet<LocalId> = devices.iter().copied().collect();
    queue::form_all_runs(book, &wanted, run_length)?;
    let waiting_already: BTreeSet<LocalId> = waiting.iter().copied().collect();
    let short = book.devices_short_of_copies()?.into_iter();
    waiting.extend(short.filter(|id| wanted.contains(id) && !waiting_already.contains(id)));

    let policy = chain.policy();
    let checker = book.checker(policy.trusts_words);
    let mut under_way = FuturesUnordered::new();
    let mut fault: Option<ChainFault> = None;
    loop {
        // After a fault what is under way is brought to its end and nothing new begins.
        while fault.is_none() && under_way.len() < policy.uploads_at_a_time && !waiting.is_empty() {
            let size = waiting.len().min(policy.devices_at_a_time);
            let devices: Vec<LocalId> = waiting.drain(..size).collect();
            let (senders, uploads) = prepare(book, run_length, &devices, &policy)?;
            if !uploads.is_empty() {
                let checker = &checker;
                under_way.push(async move { (senders, chain.upload(checker, uploads).await) });
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
        let settled = book.together(|| note(book, &policy, senders, answers, &mut session))?;
        let (finalised, left) = confirm(book, chain, &checker, settled, &mut session).await?;
        confirmed(finalised);
        // Devices that have more to send go to the end of the line.
        waiting.extend(left);
    }
    match fault.or_else(|| session.faults.into_values().next()) {
        Some(fault) => Err(fault.into()),
        None => Ok(session.refused),
    }
}

/// What happened since [`upload_all`] was called.
#[derive(Default)]
struct Session {
    refused: Vec<Refused>,
    /// Devices that are not sent for again.
    stopped: BTreeSet<LocalId>,
    /// Devices whose run did not fit the head, with the chain's length at that time.
    misfits: BTreeMap<LocalId, u64>,
    /// Devices of which nobody proved what the chain has, and why not.
    faults: BTreeMap<LocalId, ChainFault>,
}

/// A device whose runs are under way.
struct Sender {
    device: DeviceRecord,
    /// First and last entries of the runs, in their order.
    runs: Vec<(u64, u64)>,
}

/// A device whose runs were answered.
struct Settled {
    device: DeviceRecord,
    /// The newest final head, if the receipts have one and nothing was refused.
    head: Option<FinalHead>,
}

/// The runs that these devices send next, and who sends them.
fn prepare<B: Book>(
    book: &B,
    run_length: u32,
    devices: &[LocalId],
    policy: &UploadPolicy,
) -> Result<(Vec<Sender>, Vec<Upload>), SyncError> {
    let with_data = policy.carries_data;
    let (mut senders, mut uploads) = (Vec::new(), Vec::new());
    for &id in devices {
        let device = book.device(id)?;
        let Some(number) = device.number.filter(|_| device.frozen.is_none()) else {
            continue;
        };
        let proved = device.proved;
        queue::form_runs(book, id, run_length)?;
        let mut runs = Vec::new();
        let mut entries = 0;
        for run in book.runs_to_send(id, policy.runs_at_a_time.max(1))? {
            entries += run.entries.len();
            if with_data && !runs.is_empty() && entries > ENTRIES_WITH_DATA {
                break;
            }
            let finalised = run.last().sequence <= device.confirmed;
            runs.push(outgoing(book, id, number, run, with_data, finalised)?);
        }
        if runs.is_empty() {
            continue;
        }
        senders.push(Sender {
            device,
            runs: runs
                .iter()
                .map(|out| {
                    let first = out.run.first_sequence;
                    (first, out.run.last_sequence().unwrap_or(first))
                })
                .collect(),
        });
        uploads.push(Upload {
            device: number,
            key: book.device_key(id)?,
            proved,
            runs,
        });
    }
    Ok((senders, uploads))
}

fn outgoing<B: Book>(
    book: &B,
    id: LocalId,
    number: DeviceId,
    queued: QueuedRun,
    with_data: bool,
    finalised: bool,
) -> Result<OutgoingRun, SyncError> {
    let mut envelopes = Vec::new();
    if with_data {
        for entry in &queued.entries {
            let envelope = book.envelope(id, entry.sequence)?;
            envelopes.push(envelope.ok_or_else(|| book.lacks_envelope())?);
        }
    }
    Ok(OutgoingRun {
        run: queued.run(number),
        envelopes,
        // A relay may have lost what it acknowledged. What is final, another one can still bring.
        holders: match finalised {
            true => queued.holders,
            false => Vec::new(),
        },
    })
}

/// Remembers refusals, and which relays hold what.
fn note<B: Book>(
    book: &B,
    policy: &UploadPolicy,
    senders: Vec<Sender>,
    answers: Vec<Vec<Decision<Receipt>>>,
    session: &mut Session,
) -> Result<Vec<Settled>, SyncError> {
    let mut settled = Vec::with_capacity(senders.len());
    for (Sender { device, runs }, decisions) in senders.into_iter().zip(answers) {
        let mut head: Option<FinalHead> = None;
        let mut refusal = None;
        let copies_only = runs.iter().all(|(_, last)| *last <= device.confirmed);
        for ((first, _), decision) in runs.into_iter().zip(decisions) {
            match decision {
                Ok(receipt) => {
                    for relay in &receipt.holders {
                        book.add_holder(device.id, first, relay)?;
                    }
                    head = head
                        .into_iter()
                        .chain(receipt.head)
                        .max_by_key(|known| (known.block(), known.head().length));
                }
                // Only the first refusal tells something: the runs after it cannot follow.
                Err(found) => {
                    refusal = refusal.or(Some((first, found)));
                }
            }
        }
        book.forget_copied(device.id, policy.copies)?;
        let refused = refusal.is_some();
        if let Some((sequence, refusal)) = refusal {
            head = None;
            book.set_refusal(device.id, sequence, Some(&refusal.code))?;
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
        // A receipt for a copy of what was finalised long ago says nothing new.
        if refused || !copies_only {
            settled.push(Settled { device, head });
        }
    }
    Ok(settled)
}

/// Marks what the chain has finalised. Gives the number of entries that are finalised now and were not before, and the
/// devices that have something left to send.
async fn confirm<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    checker: &HeadChecker,
    settled: Vec<Settled>,
    session: &mut Session,
) -> Result<(u64, Vec<LocalId>), SyncError> {
    let policy = chain.policy();
    let open = settled.iter().filter(|one| one.head.is_none());
    let questions: Vec<Question> = open.filter_map(|one| question(&one.device)).collect();
    let mut asked = match questions.is_empty() {
        true => Vec::new(),
        false => chain.heads(checker, &questions).await,
    }
    .into_iter();
    let mut known = Vec::with_capacity(settled.len());
    for Settled { device, head } in settled {
        let head = match head {
            Some(head) => Ok(head),
            None => asked.next().unwrap_or_else(|| Err(nobody_answered())),
        };
        match head {
            Ok(head) => known.push((device, head)),
            Err(fault) => {
                session.faults.insert(device.id, fault);
            }
        }
    }
    let taken = book.together_with_proofs(|| {
        let take = |(device, head): &(DeviceRecord, FinalHead)| take(book, &policy, device, head);
        known.iter().map(take).collect::<Result<Vec<_>, _>>()
    })?;
    let (mut finalised, mut left) = (0, Vec::new());
    for ((device, head), taken) in known.into_iter().zip(taken) {
        let compared: Compared = match taken {
            Taken::Compared(compared) => compared,
            Taken::Foreign => Ok(compare(book, chain, &device, &head).await?),
        };
        finalised += book.device(device.id)?.confirmed - device.confirmed;
        match compared {
            Ok(standing) => {
                session.faults.remove(&device.id);
                let queued = matches!(standing, Standing::Queued(_));
                if queued && !session.stopped.contains(&device.id) {
                    left.push(device.id);
                }
            }
            Err(fault) => {
                session.faults.insert(device.id, fault);
            }
        }
    }
    Ok((finalised, left))
}

fn nobody_answered() -> ChainFault {
    ChainFault {
        code: "proof_unavailable".into(),
        message: "Nobody said what the chain has of the device.".into(),
        passing: true,
    }
}
