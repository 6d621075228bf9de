// SPDX-License-Identifier: Apache-2.0

//! How a run relates to what is registered.
//!
//! A link binds everything before it, so one comparison decides: the run's link at the last sequence that both
//! histories have. Only a run that ends before the head, or that diverges, needs steps back through the journal.

use crate::{walk::Walk, Config, DeviceHead, EntryIndex, JournalEntry, RefusalReason, RunView};
use hashchain::LinkHash;
use sp_core::H256;

/// How a run relates to what is registered.
pub(crate) enum Relation {
    /// All of it is registered.
    Recorded,
    /// It goes on from the head; its first `known` entries are registered.
    Follows { known: usize },
    /// Entries before it are missing.
    Gap,
    /// It contradicts what is registered.
    Diverges(Divergence),
    /// It ends too far before the head to be compared within the budget.
    BeyondReach,
}

/// Where a run contradicts what is registered.
pub(crate) struct Divergence {
    /// First sequence at which the two were seen to differ; 0 if only link 0 can be compared.
    pub(crate) sequence: u64,
    pub(crate) recorded: H256,
    pub(crate) rival: H256,
    /// None when the run begins only after `sequence`.
    pub(crate) rival_digest: Option<H256>,
    pub(crate) reason: RefusalReason,
}

/// The registered history of a device at one sequence, while it is walked back.
struct Recorded {
    sequence: u64,
    hash: H256,
    entry: Found,
}

/// The entry that a walk has come to.
enum Found {
    /// It is the latest, and was not looked up yet; none where the device has no entry.
    Latest(Option<EntryIndex>),
    Entry(JournalEntry),
}

/// Compares a run, whose last entry has the sequence `last`, with the head of its device.
pub(crate) fn compare<T: Config>(
    walk: &mut Walk<T>,
    run: RunView<'_>,
    last: u64,
    head: &DeviceHead,
    links: &[LinkHash],
) -> Relation {
    let before = run.sequence - 1;
    if before > head.length {
        return Relation::Gap;
    }
    let common = last.min(head.length);
    let mut recorded = Recorded {
        sequence: head.length,
        hash: head.hash,
        entry: Found::Latest(head.latest()),
    };
    while recorded.sequence > common {
        match step_back(walk, &recorded) {
            Some(earlier) => recorded = earlier,
            None => return Relation::BeyondReach,
        }
    }
    if recorded.hash != claimed(run, links, common) {
        Relation::Diverges(locate(walk, run, links, recorded))
    } else if last <= head.length {
        Relation::Recorded
    } else {
        Relation::Follows {
            known: (common - before) as usize,
        }
    }
}

/// Finds the first sequence at which a run differs, from one at which it does, as far as the budget reaches.
fn locate<T: Config>(
    walk: &mut Walk<T>,
    run: RunView<'_>,
    links: &[LinkHash],
    mut differing: Recorded,
) -> Divergence {
    let before = run.sequence - 1;
    let reason = if differing.sequence == before {
        RefusalReason::PreviousIsNotHead
    } else {
        RefusalReason::Fork
    };
    // Link 0 carries no data: a history differs at its first entry at the earliest.
    while differing.sequence > before.max(1) {
        match step_back(walk, &differing) {
            Some(earlier) if earlier.hash != claimed(run, links, earlier.sequence) => {
                differing = earlier
            }
            _ => break,
        }
    }
    let sequence = differing.sequence;
    Divergence {
        sequence,
        recorded: differing.hash,
        rival: claimed(run, links, sequence),
        rival_digest: sequence
            .checked_sub(run.sequence)
            .and_then(|place| run.entries.at(place as usize))
            .map(|entry| entry.digest),
        reason,
    }
}

/// The registered link one sequence earlier; none if the budget is spent or the entry has left the state, and before the
/// first entry, as link 0 is never compared by a walk.
fn step_back<T: Config>(walk: &mut Walk<T>, from: &Recorded) -> Option<Recorded> {
    let entry = match from.entry {
        Found::Latest(index) => walk.entry(index?)?,
        Found::Entry(entry) => entry,
    };
    let earlier = walk.entry(entry.previous?)?;
    Some(Recorded {
        sequence: from.sequence - 1,
        hash: earlier.hash,
        entry: Found::Entry(earlier),
    })
}

/// The link that a run claims at a sequence from the one before its first entry to its last.
fn claimed(run: RunView<'_>, links: &[LinkHash], sequence: u64) -> H256 {
    match sequence.checked_sub(run.sequence) {
        None => run.previous,
        Some(at) => H256(links[at as usize].0),
    }
}
