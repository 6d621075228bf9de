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
    fn add_validator() -> Weight {
        Weight::from_parts(29_765_000, 5898)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn remove_validator() -> Weight {
        Weight::from_parts(137_083_000, 159388)
            .saturating_add(T::DbWeight::get().reads(64))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn dispatch_as_root() -> Weight {
        Weight::from_parts(6_830_000, 0)
    }
    /// Measured for `n` from 1 to 61.
    fn add_members(n: u32) -> Weight {
        Weight::from_parts(710_650_178, 331208)
            .saturating_add(T::DbWeight::get().reads(130))
            .saturating_add(T::DbWeight::get().writes(131))
            .saturating_add(Weight::from_parts(0, 2539).saturating_mul(n.into()))
    }
    fn remove_member() -> Weight {
        Weight::from_parts(771_615_000, 333939)
            .saturating_add(T::DbWeight::get().reads(129))
            .saturating_add(T::DbWeight::get().writes(136))
    }
    fn change_key() -> Weight {
        Weight::from_parts(1_105_160_000, 344740)
            .saturating_add(T::DbWeight::get().reads(198))
            .saturating_add(T::DbWeight::get().writes(200))
    }
    fn vote_urgent() -> Weight {
        Weight::from_parts(1_296_183_000, 339489)
            .saturating_add(T::DbWeight::get().reads(193))
            .saturating_add(T::DbWeight::get().writes(199))
    }
    fn withdraw_urgent_vote() -> Weight {
        Weight::from_parts(52_468_000, 3652)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn has_role() -> Weight {
        Weight::from_parts(8_813_000, 3535).saturating_add(T::DbWeight::get().reads(2))
    }
}
