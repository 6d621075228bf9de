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
    fn create_study() -> Weight {
        Weight::from_parts(21_211_000, 3529)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn close_study() -> Weight {
        Weight::from_parts(14_562_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn reopen_study() -> Weight {
        Weight::from_parts(14_612_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn add_authentication_server() -> Weight {
        Weight::from_parts(74_110_000, 5690)
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(78_868_000, 24138)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn add_relay() -> Weight {
        Weight::from_parts(49_854_000, 5690)
            .saturating_add(T::DbWeight::get().reads(8))
            .saturating_add(T::DbWeight::get().writes(5))
    }
    fn remove_relay() -> Weight {
        Weight::from_parts(76_002_000, 24138)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn replace_sponsor() -> Weight {
        Weight::from_parts(41_271_000, 6060)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn set_allowance() -> Weight {
        Weight::from_parts(21_843_000, 5690)
            .saturating_add(T::DbWeight::get().reads(2))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn rotate() -> Weight {
        Weight::from_parts(135_952_000, 21278)
            .saturating_add(T::DbWeight::get().reads(22))
            .saturating_add(T::DbWeight::get().writes(16))
    }
    fn set_auditor_key() -> Weight {
        Weight::from_parts(34_821_000, 5690)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn has_role() -> Weight {
        Weight::from_parts(7_681_000, 3525).saturating_add(T::DbWeight::get().reads(1))
    }
}
