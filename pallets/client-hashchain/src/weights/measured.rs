// SPDX-License-Identifier: Apache-2.0

//! What `scripts/weights` measured. Do not edit: run it again.
//!
//! 2026-11-30, AMD EPYC; frame-benchmarking-cli 64.0.0, 20 steps, 10 repeats, compiled Wasm;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn enrol() -> Weight {
        Weight::from_parts(117_195_000, 5690)
            .saturating_add(T::DbWeight::get().reads(10))
            .saturating_add(T::DbWeight::get().writes(8))
    }
    /// Measured for `r` from 1 to 256.
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(23_477_710, 5690)
            // Standard error: 4_353
            .saturating_add(Weight::from_parts(3_845_869, 0).saturating_mul(r.into()))
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(r.into())))
            .saturating_add(T::DbWeight::get().writes(4))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(r.into())))
            .saturating_add(Weight::from_parts(0, 3328).saturating_mul(r.into()))
    }
    /// Measured for `f` from 0 to 15.
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(28_190_775, 5690)
            // Standard error: 2_539
            .saturating_add(Weight::from_parts(1_199_091, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    /// Counted in the sources, until it is measured.
    fn further_studies(s: u32) -> Weight {
        T::DbWeight::get()
            .reads((5_u64).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().writes((3_u64).saturating_mul(s.into())))
    }
    /// Measured for `p` from 0 to 16.
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(19_432_907, 5690)
            // Standard error: 40_154
            .saturating_add(Weight::from_parts(33_497_777, 0).saturating_mul(p.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(3))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(p.into())))
            .saturating_add(Weight::from_parts(0, 837).saturating_mul(p.into()))
    }
    /// Measured for `s` from 0 to 256.
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(141_000, 990)
            // Standard error: 48_859
            .saturating_add(Weight::from_parts(35_245_644, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `s` from 8 to 1024.
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(675_572_292, 5690)
            // Standard error: 361_575
            .saturating_add(Weight::from_parts(14_911_923, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `f` from 0 to 128.
    fn forks(f: u32) -> Weight {
        Weight::from_parts(22_769_558, 5690)
            // Standard error: 111_514
            .saturating_add(Weight::from_parts(47_646_081, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((3_u64).saturating_mul(f.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(T::DbWeight::get().writes((2_u64).saturating_mul(f.into())))
            .saturating_add(Weight::from_parts(0, 4764).saturating_mul(f.into()))
    }
    /// Measured for `w` from 1 to 256.
    fn walk(w: u32) -> Weight {
        Weight::from_parts(15_808_726, 5690)
            // Standard error: 6_002
            .saturating_add(Weight::from_parts(3_799_920, 0).saturating_mul(w.into()))
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(w.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(Weight::from_parts(0, 7925).saturating_mul(w.into()))
    }
    fn suspend() -> Weight {
        Weight::from_parts(31_167_000, 5690)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn resume() -> Weight {
        Weight::from_parts(34_381_000, 5690)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn retire() -> Weight {
        Weight::from_parts(30_055_000, 8915)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn retire_later() -> Weight {
        Weight::from_parts(33_610_000, 5690)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn veto_retirement() -> Weight {
        Weight::from_parts(24_747_000, 5690)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn erase() -> Weight {
        Weight::from_parts(22_914_000, 5690)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(1))
    }
}
