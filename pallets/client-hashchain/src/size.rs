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

/// How many signatures are worth a check of all at once.
pub(crate) const SIGNATURES_TOGETHER: u32 = 4;

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
        type Weights<T> = <T as Config>::WeightInfo;
        let pages = done.pages.min(self.runs);
        let further_runs = self.runs - pages;
        let further_pages = self.further_entries.div_ceil(ENTRIES_PER_PAGE);
        let mut weight = Weights::<T>::submit_batch(pages)
            .saturating_add(Weights::<T>::further_pages(further_pages))
            .saturating_add(Weights::<T>::signatures(done.single_checks))
            .saturating_add(Weights::<T>::forks(done.forks))
            .saturating_add(Weights::<T>::walk(done.steps));
        if further_runs > 0 {
            weight.saturating_accrue(Weights::<T>::further_runs(further_runs));
        }
        if self.signatures >= SIGNATURES_TOGETHER {
            weight.saturating_accrue(Weights::<T>::signatures_together(self.signatures));
        }
        weight
    }
}
