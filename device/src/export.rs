// SPDX-License-Identifier: Apache-2.0

//! Taking out what a device sealed and the chain does not have: for a device that was stopped, whose entries would otherwise
//! stay on it for ever.
//!
//! Each run becomes a line as relays export them, so that an auditor reads both. Nobody else vouches for it: the tags and the
//! signature say that the device made the entries, and in which order, and nothing says when.

use alloc::vec::Vec;
use hashchain::DeviceId;
use mhealth_api::{
    run_id, Base64, ExportedEntry, ExportedRun, RunState, RunStatus, SignatureBytes,
};

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

fn exported<B: Book>(
    book: &B,
    device: &DeviceRecord,
    number: DeviceId,
    queued: QueuedRun,
    cursor: u64,
) -> Result<ExportedRun, Error> {
    let (first, last) = (*queued.first(), *queued.last());
    let mut entries = Vec::with_capacity(queued.entries.len());
    for entry in &queued.entries {
        let envelope = book.envelope(device.id, entry.sequence)?;
        entries.push(ExportedEntry {
            digest: entry.digest,
            tag: entry.tag,
            envelope: Base64(envelope.ok_or_else(|| book.lacks_envelope())?),
        });
    }
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
