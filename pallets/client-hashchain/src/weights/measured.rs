// SPDX-License-Identifier: Apache-2.0

//! What `scripts/weights` measured. Do not edit: run it again.
//!
//! 2026-11-22, AMD EPYC; frame-benchmarking-cli 64.0.0, 20 steps, 10 repeats, compiled Wasm;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn enrol() -> Weight {
        Weight::from_parts(56_785_000, 6286)
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().writes(6))
    }
    /// Measured for `r` from 1 to 256.
    fn submit_batch(r: u32) -> Weight {
        Weight::from_parts(3_325_843, 3673)
            // Standard error: 28_001
            .saturating_add(Weight::from_parts(6_819_632, 0).saturating_mul(r.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(r.into())))
            .saturating_add(T::DbWeight::get().writes(2))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(r.into())))
            .saturating_add(Weight::from_parts(0, 5296).saturating_mul(r.into()))
    }
    /// Measured for `f` from 0 to 31.
    fn further_runs(f: u32) -> Weight {
        Weight::from_parts(25_915_281, 6286)
            // Standard error: 2_428
            .saturating_add(Weight::from_parts(2_090_645, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    /// Measured for `p` from 0 to 16.
    fn further_pages(p: u32) -> Weight {
        Weight::from_parts(17_325_242, 4239)
            // Standard error: 50_914
            .saturating_add(Weight::from_parts(58_526_318, 0).saturating_mul(p.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(2))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(p.into())))
            .saturating_add(Weight::from_parts(0, 1331).saturating_mul(p.into()))
    }
    /// Measured for `s` from 0 to 256.
    fn signatures(s: u32) -> Weight {
        Weight::from_parts(27_408_734, 990)
            // Standard error: 241_782
            .saturating_add(Weight::from_parts(39_106_967, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(s.into())))
            .saturating_add(Weight::from_parts(0, 2768).saturating_mul(s.into()))
    }
    /// Measured for `s` from 8 to 1024.
    fn signatures_together(s: u32) -> Weight {
        Weight::from_parts(472_280_692, 0)
            // Standard error: 51_328
            .saturating_add(Weight::from_parts(13_223_959, 0).saturating_mul(s.into()))
    }
    /// Measured for `f` from 0 to 128.
    fn forks(f: u32) -> Weight {
        Weight::from_parts(46_275_038, 3673)
            // Standard error: 141_485
            .saturating_add(Weight::from_parts(25_818_841, 0).saturating_mul(f.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().reads((2_u64).saturating_mul(f.into())))
            .saturating_add(T::DbWeight::get().writes((2_u64).saturating_mul(f.into())))
            .saturating_add(Weight::from_parts(0, 5296).saturating_mul(f.into()))
    }
    /// Measured for `w` from 1 to 256.
    fn walk(w: u32) -> Weight {
        Weight::from_parts(18_678_000, 6286)
            // Standard error: 5_184
            .saturating_add(Weight::from_parts(4_126_123, 0).saturating_mul(w.into()))
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(w.into())))
            .saturating_add(Weight::from_parts(0, 7925).saturating_mul(w.into()))
    }
    fn suspend() -> Weight {
        Weight::from_parts(25_057_000, 6286)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn resume() -> Weight {
        Weight::from_parts(24_627_000, 6286)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn retire() -> Weight {
        Weight::from_parts(33_790_000, 8915)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(2))
    }
}
