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
    fn create_study() -> Weight {
        Weight::from_parts(15_673_000, 3529)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn close_study() -> Weight {
        Weight::from_parts(10_406_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn reopen_study() -> Weight {
        Weight::from_parts(10_366_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn add_authentication_server() -> Weight {
        Weight::from_parts(31_838_000, 5690)
            .saturating_add(T::DbWeight::get().reads(7))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(52_508_000, 24138)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn add_relay() -> Weight {
        Weight::from_parts(32_127_000, 5690)
            .saturating_add(T::DbWeight::get().reads(7))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    fn remove_relay() -> Weight {
        Weight::from_parts(51_807_000, 24138)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn replace_sponsor() -> Weight {
        Weight::from_parts(22_103_000, 6060)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn set_allowance() -> Weight {
        Weight::from_parts(10_666_000, 5690)
            .saturating_add(T::DbWeight::get().reads(2))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn rotate() -> Weight {
        Weight::from_parts(76_294_000, 21278)
            .saturating_add(T::DbWeight::get().reads(21))
            .saturating_add(T::DbWeight::get().writes(15))
    }
    fn set_auditor_key() -> Weight {
        Weight::from_parts(14_121_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn has_role() -> Weight {
        Weight::from_parts(5_659_000, 3525).saturating_add(T::DbWeight::get().reads(1))
    }
}
