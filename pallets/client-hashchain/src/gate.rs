// SPDX-License-Identifier: Apache-2.0

//! What the pallet asks and tells about the transaction around a call.

use crate::{
    size::{bytes_of, share_of},
    RunView,
};

/// The transaction around a call that brings runs.
pub trait Gate {
    /// Whether the call stands at the top of its extrinsic; asked once a call.
    ///
    /// Tags stand in extrinsics only. Runs within another call could be overlooked by whoever audits, so they are refused.
    fn at_top_level() -> bool;

    /// Told what became of the call's runs, so that refused ones cost their sender.
    fn note(outcome: Brought);
}

/// What became of the runs of a call, in bytes of the runs. Of a run that overlaps what is registered, each entry has its share.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Brought {
    /// Registered now.
    pub recorded: u32,
    /// Registered before, within the account's part of what a study's relays bring again.
    pub known: u32,
    /// Registered before, and beyond that part.
    pub replayed: u32,
    /// Refused.
    pub refused: u32,
}

impl Brought {
    /// Adds a run that was not refused: so many entries at its end were registered now, and those before them had been.
    pub(crate) fn add(&mut self, run: RunView<'_>, new: u32) {
        let known = share_of(run, run.entries.len().saturating_sub(new as usize));
        self.known += known;
        self.recorded += bytes_of(run).saturating_sub(known);
    }

    /// The same, when so many of the known bytes are beyond the account's part.
    pub(crate) fn with_replayed(self, replayed: u32) -> Self {
        Self {
            known: self.known.saturating_sub(replayed),
            replayed,
            ..self
        }
    }
}
