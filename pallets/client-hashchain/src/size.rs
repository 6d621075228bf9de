// SPDX-License-Identifier: Apache-2.0

//! What the weight of a call depends on.

use crate::{types::ENTRIES_PER_PAGE, Config, Run, WeightInfo};
use frame_support::{traits::Get, weights::Weight};

/// What happened while the runs of a call were worked off.
pub(crate) struct Done {
    /// Pages of heads that were touched.
    pub(crate) pages: u32,
    /// Steps back through the journal.
    pub(crate) steps: u32,
    pub(crate) forks: u32,
    /// Signatures that were checked by themselves.
    pub(crate) single_checks: u32,
}

/// How much work the runs of one call ask for.
#[derive(Clone, Copy)]
pub(crate) struct BatchSize {
    runs: u32,
    /// Entries beyond the first of each run.
    further_entries: u32,
    signatures: u32,
}

impl BatchSize {
    /// Counts what is in `runs`.
    pub(crate) fn of(runs: &[Run]) -> Self {
        let count = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            runs: count(runs.len()),
            further_entries: count(
                runs.iter()
                    .map(|run| run.entries.len().saturating_sub(1))
                    .sum(),
            ),
            signatures: count(runs.iter().filter(|run| run.signature.is_some()).count()),
        }
    }

    /// The most that the call can cost: every head on a page of its own, every run a fork, the whole budget walked, every
    /// signature checked twice.
    pub(crate) fn declared<T: Config>(self) -> Weight {
        self.weight::<T>(Done {
            pages: self.runs,
            steps: T::WalkBudget::get(),
            forks: self.runs,
            single_checks: self.signatures,
        })
    }

    /// What the call has cost.
    pub(crate) fn weight<T: Config>(self, done: Done) -> Weight {
        let further_pages = self.further_entries.div_ceil(ENTRIES_PER_PAGE);
        let pages = done.pages.min(self.runs);
        <T as Config>::WeightInfo::submit_batch(pages)
            .saturating_add(<T as Config>::WeightInfo::further_runs(self.runs - pages))
            .saturating_add(<T as Config>::WeightInfo::further_pages(further_pages))
            .saturating_add(<T as Config>::WeightInfo::signatures_together(
                self.signatures,
            ))
            .saturating_add(<T as Config>::WeightInfo::signatures(done.single_checks))
            .saturating_add(<T as Config>::WeightInfo::forks(done.forks))
            .saturating_add(<T as Config>::WeightInfo::walk(done.steps))
    }
}
