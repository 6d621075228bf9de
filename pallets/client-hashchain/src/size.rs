// SPDX-License-Identifier: Apache-2.0

//! What the weight of a call depends on.

use crate::{types::ENTRIES_PER_PAGE, Config, Run, WeightInfo};
use frame_support::{traits::Get, weights::Weight};

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

    /// The most that the call can cost: every run a fork, the whole budget walked.
    pub(crate) fn declared<T: Config>(self) -> Weight {
        self.weight::<T>(self.runs, T::WalkBudget::get())
    }

    /// What the call costs with so many forks and steps.
    pub(crate) fn weight<T: Config>(self, forks: u32, steps: u32) -> Weight {
        let further_pages = self.further_entries.div_ceil(ENTRIES_PER_PAGE);
        <T as Config>::WeightInfo::submit_batch(self.runs)
            .saturating_add(<T as Config>::WeightInfo::further_pages(further_pages))
            .saturating_add(<T as Config>::WeightInfo::signatures(self.signatures))
            .saturating_add(<T as Config>::WeightInfo::forks(forks))
            .saturating_add(<T as Config>::WeightInfo::walk(steps))
    }

    /// What is saved when the runs touched only so many head pages: each is read and written once.
    pub(crate) fn shared_pages<T: Config>(self, pages: usize) -> Weight {
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let saved = u64::from(self.runs.saturating_sub(pages));
        T::DbWeight::get().reads_writes(saved, saved)
    }
}
