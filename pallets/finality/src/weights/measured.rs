// SPDX-License-Identifier: Apache-2.0

//! Estimates, until `scripts/weights` has measured these calls and writes them here.
//!
//! They allow for 65 µs a signature. What reads and writes cost is the runtime's `DbWeight`. Times are in
//! picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn report_final(v: u32) -> Weight {
        Weight::from_parts(60_000_000, 8000)
            .saturating_add(Weight::from_parts(65_000_000, 0).saturating_mul(v.into()))
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn note_stalled() -> Weight {
        Weight::from_parts(120_000_000, 90000)
            .saturating_add(T::DbWeight::get().reads(40))
            .saturating_add(T::DbWeight::get().writes(40))
    }
    fn report_conflict(v: u32) -> Weight {
        Weight::from_parts(200_000_000, 110000)
            .saturating_add(Weight::from_parts(65_000_000, 0).saturating_mul(v.into()))
            .saturating_add(T::DbWeight::get().reads(70))
            .saturating_add(T::DbWeight::get().writes(1))
    }
}
