// SPDX-License-Identifier: Apache-2.0

//! From sealed entries to runs.
//!
//! A run's limits and signature are made durable before it is sent and never change afterwards, so a retry, after a
//! lost connection or a kill, sends the same bytes. Entries that are sealed later go into later runs.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hashchain::MAX_RUN_LENGTH;

use crate::{
    book::{Book, LocalId, QueuedRun},
    error::Error,
};

/// Most bytes of data in a run. Relays take bodies that this fits into, in base64, and a single entry is smaller.
const MAX_RUN_BYTES: u64 = 512 * 1024;
const _: () = assert!(mhealth_api::MAX_ENVELOPE_LENGTH as u64 <= MAX_RUN_BYTES);

/// Devices whose runs are formed in one transaction.
const DEVICES_AT_A_TIME: usize = 512;

/// Forms runs of at most `run_length` entries from what is sealed and in no run yet, and gives all runs of the
/// device that are not delivered, oldest first. A stopped device has none.
pub fn runs<B: Book>(book: &B, id: LocalId, run_length: u32) -> Result<Vec<QueuedRun>, Error> {
    if book.device(id)?.frozen.is_some() {
        return Ok(Vec::new());
    }
    form_runs(book, id, run_length)?;
    book.runs(id)
}

/// [`form_runs`] for several devices, with few syncs of the disk.
pub(crate) fn form_all_runs<B: Book>(
    book: &B,
    devices: &BTreeSet<LocalId>,
    run_length: u32,
) -> Result<(), Error> {
    let mut loose = book.devices_with_loose_entries()?;
    loose.retain(|id| devices.contains(id));
    for some in loose.chunks(DEVICES_AT_A_TIME) {
        book.together(|| {
            some.iter()
                .try_for_each(|id| form_runs(book, *id, run_length))
        })?;
    }
    Ok(())
}

/// Puts what is sealed and in no run yet into runs. They are durable when this returns, or with the group that it
/// happens in.
pub fn form_runs<B: Book>(book: &B, id: LocalId, run_length: u32) -> Result<(), Error> {
    let device = book.device(id)?;
    let covered = book.covered(id)?;
    if covered >= device.length {
        return Ok(());
    }
    let key = book.device_key(id)?;
    let fresh = book.entries(id, covered + 1, device.length)?;
    let bytes = book.envelope_lengths(id, covered + 1, device.length)?;
    let longest = (run_length as usize).clamp(1, MAX_RUN_LENGTH);
    let mut begin = 0;
    while begin < fresh.len() {
        let mut total = 0;
        let fitting = bytes[begin..].iter().take(longest).take_while(|bytes| {
            total += **bytes;
            total <= MAX_RUN_BYTES
        });
        let end = begin + fitting.count().max(1);
        let (first, last) = (&fresh[begin], &fresh[end - 1]);
        book.add_run(
            id,
            first.sequence,
            last.sequence,
            &key.sign_head(&last.hash),
        )?;
        begin = end;
    }
    Ok(())
}
