// SPDX-License-Identifier: Apache-2.0

//! What `scripts/weights` measured. Do not edit: run it again.
//!
//! 2026-11-28, AMD EPYC; frame-benchmarking-cli 64.0.0, 20 steps, 10 repeats, compiled Wasm;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn add_validator() -> Weight {
        Weight::from_parts(18_548_000, 5865)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn remove_validator() -> Weight {
        Weight::from_parts(96_093_000, 159355)
            .saturating_add(T::DbWeight::get().reads(64))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn dispatch_as_root() -> Weight {
        Weight::from_parts(4_596_000, 0)
    }
    fn has_role() -> Weight {
        Weight::from_parts(6_860_000, 3535).saturating_add(T::DbWeight::get().reads(2))
    }
}
