// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls, in picoseconds on the machine that the measurement names.

use frame_support::weights::Weight;

mod measured;

pub use measured::SubstrateWeight;

/// What the calls cost.
pub trait WeightInfo {
    /// One device enrolled as the successor of another.
    fn enrol() -> Weight;
    /// `r` runs of one entry whose heads are all on different pages, which are full.
    fn submit_batch(r: u32) -> Weight;
    /// `f` runs of one entry whose heads are on pages that other runs of the batch touch, too.
    fn further_runs(f: u32) -> Weight;
    /// Runs of devices of `s` studies beyond the first, each of which brings again what another relay brought, and something new.
    fn further_studies(s: u32) -> Weight;
    /// So many entries beyond the first of each run that they fill `p` pages of the journal.
    fn further_pages(p: u32) -> Weight;
    /// The check of `s` signatures, one by one, with keys on different pages.
    fn signatures(s: u32) -> Weight;
    /// The check of `s` signatures, all at once, with keys on different pages.
    fn signatures_together(s: u32) -> Weight;
    /// `f` forks: evidence stored, device suspended.
    fn forks(f: u32) -> Weight;
    /// `w` steps back through the journal, each to another page.
    fn walk(w: u32) -> Weight;
    /// One device suspended.
    fn suspend() -> Weight;
    /// One device resumed.
    fn resume() -> Weight;
    /// One device retired by the sponsor, at an entry of the journal.
    fn retire() -> Weight;
    /// One device retired by an authentication server, which takes a while.
    fn retire_later() -> Weight;
    /// A retirement vetoed.
    fn veto_retirement() -> Weight;
    /// An erasure written down.
    fn erase() -> Weight;
}

/// For mocks, in which nothing is measured: one unit for each thing done.
impl WeightInfo for () {
    fn enrol() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(r.into(), 0)
    }
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(f.into(), 0)
    }
    fn further_studies(s: u32) -> Weight {
        Weight::from_parts(s.into(), 0)
    }
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(p.into(), 0)
    }
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(s.into(), 0)
    }
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(s.into(), 0)
    }
    fn forks(f: u32) -> Weight {
        Weight::from_parts(f.into(), 0)
    }
    fn walk(w: u32) -> Weight {
        Weight::from_parts(w.into(), 0)
    }
    fn suspend() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn resume() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn retire() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn retire_later() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn veto_retirement() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn erase() -> Weight {
        Weight::from_parts(1, 0)
    }
}
