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
    fn add_members(n: u32) -> Weight {
        Weight::from_parts(400_000_000, 220000)
            .saturating_add(Weight::from_parts(3_000_000, 2603).saturating_mul(n.into()))
            .saturating_add(T::DbWeight::get().reads(132))
            .saturating_add(T::DbWeight::get().reads((1_u64).saturating_mul(n.into())))
            .saturating_add(T::DbWeight::get().writes(131))
            .saturating_add(T::DbWeight::get().writes((1_u64).saturating_mul(n.into())))
    }
    fn remove_member() -> Weight {
        Weight::from_parts(600_000_000, 220000)
            .saturating_add(T::DbWeight::get().reads(134))
            .saturating_add(T::DbWeight::get().writes(137))
    }
    fn change_key() -> Weight {
        Weight::from_parts(800_000_000, 400000)
            .saturating_add(T::DbWeight::get().reads(199))
            .saturating_add(T::DbWeight::get().writes(199))
    }
    fn vote_urgent() -> Weight {
        Weight::from_parts(900_000_000, 400000)
            .saturating_add(T::DbWeight::get().reads(199))
            .saturating_add(T::DbWeight::get().writes(202))
    }
    fn withdraw_urgent_vote() -> Weight {
        Weight::from_parts(20_000_000, 3700)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn has_role() -> Weight {
        Weight::from_parts(6_860_000, 3535).saturating_add(T::DbWeight::get().reads(2))
    }
}
