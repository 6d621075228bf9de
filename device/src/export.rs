// SPDX-License-Identifier: Apache-2.0

//! Taking out what a device sealed and the chain does not have: for a device that was stopped, whose entries would otherwise
//! stay on it for ever.
//!
//! Each run becomes a line as relays export them, so that an auditor reads both. Nobody else vouches for it: the tags and the
//! signature say that the device made the entries, and in which order, and nothing says when.

use alloc::vec::Vec;
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{
    run_id, Base64, ExportedEntry, ExportedRun, Hash, Key, RunState, RunStatus, SignatureBytes,
};
use serde::Serialize;

use crate::{
    book::{Book, DeviceRecord, QueuedRun},
    error::Error,
    queue,
};

/// Entries of one run.
const RUN_LENGTH: u32 = 16;

/// Hands over every run of a device that the chain is not known to have, oldest first, stopped or not. The cursors begin
/// after `cursor`; gives the last one. A device that never had a number on the chain has none that a run could name.
pub fn export_queue<B: Book, E: From<Error>>(
    book: &B,
    device: &DeviceRecord,
    mut cursor: u64,
    mut take: impl FnMut(ExportedRun) -> Result<(), E>,
) -> Result<u64, E> {
    let Some(number) = device.number else {
        return Ok(cursor);
    };
    queue::form_runs(book, device.id, RUN_LENGTH)?;
    for queued in book.runs(device.id)? {
        if queued.last().sequence <= device.confirmed {
            continue; // It waits for a copy at a further relay.
        }
        cursor += 1;
        take(exported(book, device, number, queued, cursor)?)?;
    }
    Ok(cursor)
}

/// Entries of a device that was never enrolled. With the device's key the holder of the participant's key opens the envelopes, and
/// with the study's auditor key the escrow; the links and the signature say that one device made them, and in which order. No chain
/// says anything of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnenrolledRun {
    /// The device's key, which is on no chain.
    pub device_key: Key,
    /// The study that it was made for.
    pub study: StudyId,
    /// `H("secret", S)`.
    pub secret_commitment: Hash,
    /// `S` sealed to the study's auditor.
    pub escrow: Base64,
    /// Link 0.
    pub genesis: LinkHash,
    /// Place of the first entry, from 1.
    pub sequence: u64,
    /// Link of the entry before the first.
    pub previous: LinkHash,
    /// The entries with their envelopes.
    pub entries: Vec<ExportedEntry>,
    /// The device's signature over the last link.
    pub signature: SignatureBytes,
    /// When the last one was sealed, in seconds since 1970 by the phone's clock.
    pub sealed_at: u64,
}

/// Every run of a device that was never enrolled, oldest first.
pub(crate) fn export_unenrolled<B: Book>(
    book: &B,
    device: &DeviceRecord,
) -> Result<Vec<UnenrolledRun>, Error> {
    queue::form_runs(book, device.id, RUN_LENGTH)?;
    let runs = book.runs(device.id)?.into_iter();
    runs.map(|queued| {
        let (first, last) = (*queued.first(), *queued.last());
        Ok(UnenrolledRun {
            device_key: Key(device.key.0),
            study: book.terms().study,
            secret_commitment: Hash(device.secret_commitment),
            escrow: Base64(device.escrow.clone()),
            genesis: device.genesis,
            sequence: first.sequence,
            previous: first.previous,
            entries: with_envelopes(book, device, &queued)?,
            signature: SignatureBytes(queued.signature.0),
            sealed_at: book.sealed_at(device.id, last.sequence)?,
        })
    })
    .collect()
}

fn with_envelopes<B: Book>(
    book: &B,
    device: &DeviceRecord,
    queued: &QueuedRun,
) -> Result<Vec<ExportedEntry>, Error> {
    let entries = queued.entries.iter();
    entries
        .map(|entry| {
            let envelope = book.envelope(device.id, entry.sequence)?;
            Ok(ExportedEntry {
                digest: entry.digest,
                tag: entry.tag,
                envelope: Base64(envelope.ok_or_else(|| book.lacks_envelope())?),
            })
        })
        .collect()
}

fn exported<B: Book>(
    book: &B,
    device: &DeviceRecord,
    number: DeviceId,
    queued: QueuedRun,
    cursor: u64,
) -> Result<ExportedRun, Error> {
    let (first, last) = (*queued.first(), *queued.last());
    let entries = with_envelopes(book, device, &queued)?;
    Ok(ExportedRun {
        cursor,
        status: RunStatus {
            run: run_id(number, first.sequence, &first.previous, &last.hash),
            device: number,
            sequence: first.sequence,
            entries: entries.len() as u32,
            head: last.hash,
            state: RunState::Pending,
            block: None,
            extrinsic_index: None,
            reason: None,
        },
        study: book.terms().study,
        previous: first.previous,
        entries,
        signature: Some(SignatureBytes(queued.signature.0)),
        received_at: book.sealed_at(device.id, last.sequence)?,
    })
}
