// SPDX-License-Identifier: Apache-2.0

//! What `scripts/weights` measured. Do not edit: run it again.
//!
//! 2026-12-01, AMD EPYC; frame-benchmarking-cli 64.0.0, 20 steps, 10 repeats, compiled Wasm;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn enrol() -> Weight {
        Weight::from_parts(174_248_000, 5690)
            .saturating_add(T::DbWeight::get().reads(10))
            .saturating_add(T::DbWeight::get().writes(8))
    }
    /// Measured for `r` from 1 to 256.
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(39_387_908, 5690)
            // Standard error: 17_879
            .saturating_add(Weight::from_parts(6_101_503, 0).saturating_mul(r.into()))
            .saturating_add(T::DbWeight::get().reads(7))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(r.into())))
            .saturating_add(T::DbWeight::get().writes(5))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(r.into())))
            .saturating_add(Weight::from_parts(0, 3328).saturating_mul(r.into()))
    }
    /// Measured for `f` from 0 to 15.
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(65_325_135, 5690)
            // Standard error: 56_552
            .saturating_add(Weight::from_parts(2_168_768, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().writes(6))
    }
    /// Measured for `s` from 0 to 63.
    fn further_studies(s: u32) -> Weight {
        Weight::from_parts(33_413_789, 9674)
            // Standard error: 78_444
            .saturating_add(Weight::from_parts(30_256_052, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(9))
            .saturating_add(T::DbWeight::get().reads((5_u64).saturating_mul(s.into())))
            .saturating_add(T::DbWeight::get().writes(7))
            .saturating_add(T::DbWeight::get().writes((3_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 4700).saturating_mul(s.into()))
    }
    /// Measured for `p` from 0 to 16.
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(41_075_920, 5690)
            // Standard error: 140_116
            .saturating_add(Weight::from_parts(48_968_788, 0).saturating_mul(p.into()))
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(4))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(p.into())))
            .saturating_add(Weight::from_parts(0, 836).saturating_mul(p.into()))
    }
    /// Measured for `s` from 0 to 256.
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(270_000, 990)
            // Standard error: 324_736
            .saturating_add(Weight::from_parts(49_246_677, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `s` from 8 to 1024.
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(512_604_836, 5690)
            // Standard error: 601_847
            .saturating_add(Weight::from_parts(22_349_493, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2992).saturating_mul(s.into()))
    }
    /// Measured for `f` from 0 to 128.
    fn forks(f: u32) -> Weight {
        Weight::from_parts(13_090_000, 5690)
            // Standard error: 712_101
            .saturating_add(Weight::from_parts(72_465_434, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((3_u64).saturating_mul(f.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(T::DbWeight::get().writes((2_u64).saturating_mul(f.into())))
            .saturating_add(Weight::from_parts(0, 4764).saturating_mul(f.into()))
    }
    /// Measured for `w` from 1 to 256.
    fn walk(w: u32) -> Weight {
        Weight::from_parts(102_109_530, 5690)
            // Standard error: 91_787
            .saturating_add(Weight::from_parts(6_983_013, 0).saturating_mul(w.into()))
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(w.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(Weight::from_parts(0, 7925).saturating_mul(w.into()))
    }
    fn suspend() -> Weight {
        Weight::from_parts(51_797_000, 5690)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn resume() -> Weight {
        Weight::from_parts(54_761_000, 5690)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn retire() -> Weight {
        Weight::from_parts(50_505_000, 8915)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn retire_later() -> Weight {
        Weight::from_parts(90_124_000, 5690)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn veto_retirement() -> Weight {
        Weight::from_parts(43_294_000, 5690)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn erase() -> Weight {
        Weight::from_parts(36_805_000, 5690)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(1))
    }
}
