// SPDX-License-Identifier: Apache-2.0

//! Estimates, until `scripts/weights` has measured these calls and writes them here.
//!
//! They allow for two sr25519 signatures, 64 KiB hashed, 32 storage reads and four writes;
//! what reads and writes cost is the runtime's `DbWeight`. Times are in picoseconds.

#![allow(unused_parens)]

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

use super::WeightInfo;

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn report_block_equivocation() -> Weight {
        Weight::from_parts(600_000_000, 0)
            .saturating_add(T::DbWeight::get().reads(36))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    fn count_missed_slots() -> Weight {
        Weight::from_parts(20_000_000, 0)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(2))
    }
}
