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
        Weight::from_parts(113_119_000, 5690)
            .saturating_add(T::DbWeight::get().reads(10))
            .saturating_add(T::DbWeight::get().writes(8))
    }
    /// Measured for `r` from 1 to 256.
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(24_984_871, 5690)
            // Standard error: 3_521
            .saturating_add(Weight::from_parts(3_802_501, 0).saturating_mul(r.into()))
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(r.into())))
            .saturating_add(T::DbWeight::get().writes(4))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(r.into())))
            .saturating_add(Weight::from_parts(0, 3328).saturating_mul(r.into()))
    }
    /// Measured for `f` from 0 to 15.
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(27_503_147, 5690)
            // Standard error: 2_201
            .saturating_add(Weight::from_parts(1_173_935, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    /// Measured for `p` from 0 to 16.
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(18_276_164, 5690)
            // Standard error: 37_501
            .saturating_add(Weight::from_parts(33_250_942, 0).saturating_mul(p.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(3))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(p.into())))
            .saturating_add(Weight::from_parts(0, 837).saturating_mul(p.into()))
    }
    /// Measured for `s` from 0 to 256.
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(140_000, 990)
            // Standard error: 35_557
            .saturating_add(Weight::from_parts(35_093_526, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `s` from 8 to 1024.
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(616_795_489, 5690)
            // Standard error: 323_402
            .saturating_add(Weight::from_parts(15_738_670, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `f` from 0 to 128.
    fn forks(f: u32) -> Weight {
        Weight::from_parts(79_181_811, 5690)
            // Standard error: 146_131
            .saturating_add(Weight::from_parts(47_078_629, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((3_u64).saturating_mul(f.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(T::DbWeight::get().writes((2_u64).saturating_mul(f.into())))
            .saturating_add(Weight::from_parts(0, 4764).saturating_mul(f.into()))
    }
    /// Measured for `w` from 1 to 256.
    fn walk(w: u32) -> Weight {
        Weight::from_parts(21_982_000, 5690)
            // Standard error: 8_730
            .saturating_add(Weight::from_parts(3_891_557, 0).saturating_mul(w.into()))
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(w.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(Weight::from_parts(0, 7925).saturating_mul(w.into()))
    }
    fn suspend() -> Weight {
        Weight::from_parts(30_666_000, 5690)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn resume() -> Weight {
        Weight::from_parts(33_751_000, 5690)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn retire() -> Weight {
        // 30_155_000, 4 reads and 2 writes as measured, by a sponsor; estimated for an authentication server, whose changes are
        // counted.
        Weight::from_parts(35_000_000, 8915)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn veto_retirement() -> Weight {
        Weight::from_parts(24_797_000, 5690)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn erase() -> Weight {
        Weight::from_parts(22_394_000, 5690)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(1))
    }
}
