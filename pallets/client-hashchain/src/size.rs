// SPDX-License-Identifier: Apache-2.0

//! What the weight of a call depends on.

use crate::{
    pages::Touched, types::ENTRIES_PER_PAGE, Config, HeadPage, Run, RunView, Runs, WeightInfo,
};
use codec::{Compact, CompactLen, Encode, MaxEncodedLen};
use frame_support::{traits::Get, weights::Weight};

/// What happened while the runs of a call were processed.
pub(crate) struct Done {
    /// Pages of heads that were touched.
    pub(crate) pages: Touched,
    /// Studies of the devices.
    pub(crate) studies: u32,
    /// Steps back through the journal.
    pub(crate) steps: u32,
    pub(crate) forks: u32,
    /// Signatures that were checked by themselves.
    pub(crate) single_checks: u32,
}

/// How many signatures are worth a check of all at once.
const SIGNATURES_TOGETHER: u32 = 4;

/// Bytes of a run in a block: device, sequence, previous link, how many entries there are, those with digest and tag, whether there
/// is a signature, and the signature.
pub(crate) fn bytes_of(run: RunView<'_>) -> u32 {
    let entries = count(run.entries.len());
    let numbers =
        4 + Compact::<u64>::compact_len(&run.sequence) + Compact::<u32>::compact_len(&entries);
    let signature = 1 + run.signature.map_or(0, |_| 64);
    count(numbers + 32 + run.entries.len() * (32 + 32) + signature)
}

/// Bytes of so many entries of a run, as their share of it, rounded down.
pub(crate) fn share_of(run: RunView<'_>, entries: usize) -> u32 {
    share(bytes_of(run), entries as u64, run.entries.len() as u64)
}

/// The share that so many of all entries have in their bytes, rounded down.
pub(crate) fn share(bytes: u32, entries: u64, all: u64) -> u32 {
    let share = u64::from(bytes).saturating_mul(entries).checked_div(all);
    u32::try_from(share.unwrap_or(0)).unwrap_or(u32::MAX)
}

fn count(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// How much work the runs of one call ask for.
#[derive(Clone, Copy)]
pub(crate) struct BatchSize {
    runs: u32,
    /// Entries beyond one a run.
    further_entries: u32,
    signatures: u32,
    /// Bytes of the runs in a block.
    bytes: u64,
}

impl From<&Runs> for BatchSize {
    fn from(runs: &Runs) -> Self {
        Self {
            runs: runs.len(),
            further_entries: runs.entries().saturating_sub(runs.len()),
            signatures: runs.signatures(),
            bytes: runs.as_bytes().len() as u64,
        }
    }
}

impl From<&Run> for BatchSize {
    fn from(run: &Run) -> Self {
        Self {
            runs: 1,
            further_entries: count(run.entries.len()).saturating_sub(1),
            signatures: u32::from(run.signature.is_some()),
            bytes: run.encoded_size() as u64,
        }
    }
}

impl BatchSize {
    /// Whether there are so many signatures that all of them are checked at once first.
    pub(crate) fn checks_together(self) -> bool {
        self.signatures >= SIGNATURES_TOGETHER
    }

    /// The most that the call can cost: every head on a page of its own, every run of another study and a fork, the whole budget
    /// walked, every signature checked twice.
    pub(crate) fn declared<T: Config>(self) -> Weight {
        self.weight::<T>(Done {
            pages: Touched {
                all: self.runs,
                first: self.runs,
                first_keys: self.signatures,
            },
            studies: self.runs.min(pallet_studies::NextStudyId::<T>::get()),
            steps: T::WalkBudget::get(),
            forks: self.runs,
            single_checks: self.signatures,
        })
    }

    /// What the call has cost.
    pub(crate) fn weight<T: Config>(self, done: Done) -> Weight {
        type Weights<T> = <T as Config>::WeightInfo;
        let pages = done.pages.all.min(self.runs);
        let further_runs = self.runs - pages;
        let further_studies = done.studies.saturating_sub(1);
        let further_pages = self.further_entries.div_ceil(ENTRIES_PER_PAGE);
        let together = if self.checks_together() {
            self.signatures
        } else {
            0
        };
        // Measured with a batch around them, so nothing is charged of what did not happen.
        let some = |happened: u32, cost: fn(u32) -> Weight| match happened {
            0 => Weight::zero(),
            _ => cost(happened),
        };
        let mut weight = Weights::<T>::submit_batch(pages)
            .saturating_add(some(further_runs, Weights::<T>::further_runs))
            .saturating_add(some(further_studies, Weights::<T>::further_studies))
            .saturating_add(some(further_pages, Weights::<T>::further_pages))
            .saturating_add(some(together, Weights::<T>::signatures_together))
            .saturating_add(some(done.single_checks, Weights::<T>::signatures))
            .saturating_add(some(done.forks, Weights::<T>::forks))
            .saturating_add(some(done.steps, Weights::<T>::walk));
        weight.saturating_accrue(T::ByteWeight::get().saturating_mul(self.bytes));

        // Once a block the database finds a page of heads, or of keys, and stores one of heads, whatever its length, and hashes and
        // writes its bytes. What the block has changed before is in its own memory. Each check of a signature was measured with a
        // page of keys of its own.
        let first = u64::from(done.pages.first);
        let first_keys = u64::from(done.pages.first_keys);
        let keys = u64::from(together) + u64::from(done.single_checks);
        let database = T::DbWeight::get();
        let bytes = first.saturating_mul(HeadPage::max_encoded_len() as u64);
        // And how many studies there are, the device of the account, and what was brought again of the first study.
        weight.saturating_accrue(database.reads_writes(2, 1));
        weight
            .saturating_sub(database.reads_writes(u64::from(pages) + keys, pages.into()))
            .saturating_add(database.reads_writes(first + first_keys, first))
            .saturating_add(T::PageByteWeight::get().saturating_mul(bytes))
    }
}
