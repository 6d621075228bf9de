// SPDX-License-Identifier: Apache-2.0

//! What the pallet asks and tells about the transaction around a call.

/// The transaction around a call that brings runs.
pub trait Gate {
    /// Whether the call stands at the top of its extrinsic; asked once a call.
    ///
    /// Tags stand in extrinsics only. Runs within another call could be overlooked by whoever audits, so they are refused.
    fn at_top_level() -> bool;

    /// Told what became of the call's runs, so that refused ones cost their sender.
    fn note(outcome: Brought);
}

/// What became of the runs of a call, in bytes of the runs.
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
    /// The same, when so many of the known bytes are beyond the account's part.
    pub(crate) fn with_replayed(self, replayed: u32) -> Self {
        Self {
            known: self.known.saturating_sub(replayed),
            replayed,
            ..self
        }
    }
}
