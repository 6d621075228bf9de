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
    /// Measured for `v` from 1 to 64.
    fn report_final(v: u32) -> Weight {
        Weight::from_parts(989_622_001, 11104)
            // Standard error: 1_689_526
            .saturating_add(Weight::from_parts(44_662_507, 0).saturating_mul(v.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn note_stalled() -> Weight {
        Weight::from_parts(246_576_000, 162814)
            .saturating_add(T::DbWeight::get().reads(40))
            .saturating_add(T::DbWeight::get().writes(36))
    }
    /// Measured for `v` from 2 to 128.
    fn report_conflict(v: u32) -> Weight {
        Weight::from_parts(1_691_349_060, 137870)
            // Standard error: 905_490
            .saturating_add(Weight::from_parts(50_386_567, 0).saturating_mul(v.into()))
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(v.into())))
            .saturating_add(T::DbWeight::get().writes(1))
            .saturating_add(Weight::from_parts(0, 1260).saturating_mul(v.into()))
    }
}
