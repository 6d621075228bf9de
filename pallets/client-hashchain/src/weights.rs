// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What the calls cost.
pub trait WeightInfo {
    /// One device enrolled as the successor of another.
    fn enrol() -> Weight;
    /// `r` runs whose heads all stand on different pages, `x` entries beyond the first of each run.
    fn submit_batch(r: u32, x: u32) -> Weight;
    /// The check of `s` signatures.
    fn signatures(s: u32) -> Weight;
    /// `f` forks: evidence stored, device suspended.
    fn forks(f: u32) -> Weight;
    /// `w` steps back through the journal, each to another page.
    fn walk(w: u32) -> Weight;
    /// One device suspended.
    fn suspend() -> Weight;
    /// One device resumed.
    fn resume() -> Weight;
    /// One device retired at an entry of the journal.
    fn retire() -> Weight;
}

/// Estimates until the benchmarks have run.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn enrol() -> Weight {
        Weight::from_parts(60_000_000, 12_000).saturating_add(T::DbWeight::get().reads_writes(8, 6))
    }
    fn submit_batch(r: u32, x: u32) -> Weight {
        Weight::from_parts(20_000_000, 4_000)
            .saturating_add(Weight::from_parts(8_000_000, 4_000).saturating_mul(r.into()))
            .saturating_add(Weight::from_parts(3_000_000, 100).saturating_mul(x.into()))
            .saturating_add(T::DbWeight::get().reads_writes(4, 3))
            .saturating_add(
                T::DbWeight::get()
                    .reads_writes(1, 1)
                    .saturating_mul(r.into()),
            )
    }
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(35_000_000, 4_000)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_mul(s.into())
    }
    fn forks(f: u32) -> Weight {
        Weight::from_parts(60_000_000, 8_000)
            .saturating_add(T::DbWeight::get().reads_writes(3, 2))
            .saturating_mul(f.into())
    }
    fn walk(w: u32) -> Weight {
        Weight::from_parts(8_000_000, 8_000)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_mul(w.into())
    }
    fn suspend() -> Weight {
        Weight::from_parts(20_000_000, 8_000).saturating_add(T::DbWeight::get().reads_writes(3, 1))
    }
    fn resume() -> Weight {
        Weight::from_parts(20_000_000, 8_000).saturating_add(T::DbWeight::get().reads_writes(3, 1))
    }
    fn retire() -> Weight {
        Weight::from_parts(30_000_000, 12_000).saturating_add(T::DbWeight::get().reads_writes(5, 2))
    }
}

/// For tests, where nothing is measured.
impl WeightInfo for () {
    fn enrol() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn submit_batch(r: u32, x: u32) -> Weight {
        Weight::from_parts((r + x).into(), 0)
    }
    fn signatures(s: u32) -> Weight {
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
}
