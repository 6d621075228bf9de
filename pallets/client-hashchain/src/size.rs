// SPDX-License-Identifier: Apache-2.0

//! What the weight of a call depends on.

use crate::{types::ENTRIES_PER_PAGE, Config, HeadPage, Run, WeightInfo};
use codec::MaxEncodedLen;
use frame_support::{traits::Get, weights::Weight};

/// What happened while the runs of a call were worked off.
pub(crate) struct Done {
    /// Pages of heads that were touched, counted by their bytes in longest pages.
    pub(crate) pages: u32,
    /// Those of them that this block had not written before.
    pub(crate) first_pages: u32,
    /// Steps back through the journal.
    pub(crate) steps: u32,
    pub(crate) forks: u32,
    /// Signatures that were checked by themselves.
    pub(crate) single_checks: u32,
}

/// How many signatures are worth a check of all at once.
const SIGNATURES_TOGETHER: u32 = 4;

/// Bytes of a run without entries and signature: device, sequence, previous link, a byte each for how many entries follow
/// and whether a signature does.
const RUN_BYTES: u64 = 4 + 8 + 32 + 1 + 1;
/// Bytes of an entry: digest and tag.
const ENTRY_BYTES: u64 = 32 + 32;
/// Bytes of a signature.
const SIGNATURE_BYTES: u64 = 64;

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

    /// Whether there are so many signatures that all of them are checked at once first.
    pub(crate) fn checks_together(self) -> bool {
        self.signatures >= SIGNATURES_TOGETHER
    }

    /// The most that the call can cost: every head on a page of its own, every run a fork, the whole budget walked, every
    /// signature checked twice.
    pub(crate) fn declared<T: Config>(self) -> Weight {
        self.weight::<T>(Done {
            pages: self.runs,
            first_pages: self.runs,
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
        if self.checks_together() {
            weight.saturating_accrue(Weights::<T>::signatures_together(self.signatures));
        }
        let changed = u64::from(done.first_pages) * HeadPage::max_encoded_len() as u64;
        weight.saturating_accrue(T::ByteWeight::get().saturating_mul(self.bytes()));
        weight.saturating_accrue(T::PageByteWeight::get().saturating_mul(changed));
        let again = pages.saturating_sub(done.first_pages);
        weight.saturating_sub(T::DbWeight::get().writes(again.into()))
    }

    /// Bytes of the runs in a block.
    fn bytes(self) -> u64 {
        let entries = u64::from(self.runs) + u64::from(self.further_entries);
        u64::from(self.runs) * RUN_BYTES
            + entries * ENTRY_BYTES
            + u64::from(self.signatures) * SIGNATURE_BYTES
    }
}
