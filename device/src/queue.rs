// SPDX-License-Identifier: Apache-2.0
//! From sealed entries to runs.
//!
//! A run's limits and signature are made durable before it is sent and never change afterwards, so a retry, after a
//! lost connection or a kill, sends the same bytes. Entries that are sealed later go into later runs.

use hashchain::Entry;

use crate::{
    store::{LocalId, QueuedRun, Store},
    Error,
};

/// Most entries of a run that the chain takes.
pub const MAX_RUN_LENGTH: u32 = 256;

/// Forms runs of at most `run_length` entries from what is sealed and in no run yet, and gives all runs of the
/// device that are not confirmed, oldest first. A stopped device has none.
pub fn runs(store: &Store, id: LocalId, run_length: u32) -> Result<Vec<QueuedRun>, Error> {
    let device = store.device(id)?;
    if device.frozen.is_some() {
        return Ok(Vec::new());
    }
    let covered = store.covered(id)?;
    if covered < device.length {
        let key = store.device_key(id)?;
        let fresh = store.entries(id, covered + 1, device.length)?;
        for run in fresh.chunks(run_length.clamp(1, MAX_RUN_LENGTH) as usize) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            store.add_run(
                id,
                first.sequence,
                last.sequence,
                &key.sign_head(&last.hash),
            )?;
        }
    }
    store.runs(id)
}

impl QueuedRun {
    /// Its first entry.
    pub fn first(&self) -> &Entry {
        self.entries
            .first()
            .expect("a run is made of at least one entry; qed")
    }

    /// Its last entry, over whose hash the signature is.
    pub fn last(&self) -> &Entry {
        self.entries
            .last()
            .expect("a run is made of at least one entry; qed")
    }
}
