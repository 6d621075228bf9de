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
    fn create_study() -> Weight {
        Weight::from_parts(14_993_000, 3529)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn close_study() -> Weight {
        Weight::from_parts(9_955_000, 3673)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn reopen_study() -> Weight {
        Weight::from_parts(9_945_000, 3673)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    fn add_authentication_server() -> Weight {
        Weight::from_parts(25_488_000, 3673)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(21_221_000, 3673)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn add_relay() -> Weight {
        Weight::from_parts(25_227_000, 3673)
            .saturating_add(T::DbWeight::get().reads(6))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn remove_relay() -> Weight {
        Weight::from_parts(21_081_000, 3673)
            .saturating_add(T::DbWeight::get().reads(13))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    fn replace_sponsor() -> Weight {
        Weight::from_parts(19_819_000, 6044)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn set_allowance() -> Weight {
        Weight::from_parts(12_000_000, 3673)
            .saturating_add(T::DbWeight::get().reads(2))
            .saturating_add(T::DbWeight::get().writes(1))
    }

    fn rotate() -> Weight {
        Weight::from_parts(70_000_000, 6200)
            .saturating_add(T::DbWeight::get().reads(20))
            .saturating_add(T::DbWeight::get().writes(15))
    }
    // An estimate, of a record with as many former keys as there may be; to be measured with the next run.
    fn set_auditor_key() -> Weight {
        Weight::from_parts(20_000_000, 5689)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    fn has_role() -> Weight {
        Weight::from_parts(5_528_000, 3517).saturating_add(T::DbWeight::get().reads(1))
    }
}
