// SPDX-License-Identifier: Apache-2.0

//! What `scripts/weights` measured. Do not edit: run it again.
//!
//! 2026-11-21, AMD EPYC; frame-benchmarking-cli 64.0.0, 20 steps, 10 repeats, compiled Wasm;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn enrol() -> Weight {
        Weight::from_parts(61_412_000, 5230)
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().writes(6))
    }
    /// Measured for `r` from 1 to 256.
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(6_267_619, 3673)
            // Standard error: 16_978
            .saturating_add(Weight::from_parts(9_274_393, 0).saturating_mul(r.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(r.into())))
            .saturating_add(T::DbWeight::get().writes(2))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(r.into())))
            .saturating_add(Weight::from_parts(0, 4240).saturating_mul(r.into()))
    }
    /// Measured for `f` from 0 to 31.
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(29_867_723, 5230)
            // Standard error: 1_168
            .saturating_add(Weight::from_parts(797_057, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    /// Measured for `p` from 0 to 16.
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(17_628_799, 3673)
            // Standard error: 59_048
            .saturating_add(Weight::from_parts(42_850_708, 0).saturating_mul(p.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(p.into())))
            .saturating_add(Weight::from_parts(0, 1066).saturating_mul(p.into()))
    }
    /// Measured for `s` from 0 to 256.
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(160_000, 990)
            // Standard error: 102_601
            .saturating_add(Weight::from_parts(41_141_566, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2768).saturating_mul(s.into()))
    }
    /// Measured for `s` from 8 to 1024.
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(703_480_747, 3673)
            // Standard error: 243_582
            .saturating_add(Weight::from_parts(21_539_987, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(2))
            .saturating_add(T::DbWeight::get().reads((2_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 4240).saturating_mul(s.into()))
    }
    /// Measured for `f` from 0 to 128.
    fn forks(f: u32) -> Weight {
        Weight::from_parts(51_938_508, 3673)
            // Standard error: 126_587
            .saturating_add(Weight::from_parts(31_353_212, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((3_u64).saturating_mul(f.into())))
            .saturating_add(T::DbWeight::get().writes((2_u64).saturating_mul(f.into())))
            .saturating_add(Weight::from_parts(0, 4760).saturating_mul(f.into()))
    }
    /// Measured for `w` from 1 to 256.
    fn walk(w: u32) -> Weight {
        Weight::from_parts(20_530_000, 5230)
            // Standard error: 10_036
            .saturating_add(Weight::from_parts(4_825_743, 0).saturating_mul(w.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(w.into())))
            .saturating_add(Weight::from_parts(0, 7925).saturating_mul(w.into()))
    }
    fn suspend() -> Weight {
        Weight::from_parts(27_722_000, 5230)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn resume() -> Weight {
        Weight::from_parts(27_331_000, 5230)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn retire() -> Weight {
        Weight::from_parts(38_698_000, 8915)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(2))
    }
}
