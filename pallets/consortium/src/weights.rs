// SPDX-License-Identifier: Apache-2.0

//! Weights of `pallet_consortium`.
//!
//! ESTIMATED BY HAND, TO BE REPLACED BY THE BENCHMARK RUN. The counts of storage accesses were
//! read off the code, for 32 validators; the times are guesses of the right order of magnitude.

use core::marker::PhantomData;
use frame_support::{
    traits::Get,
    weights::{constants::RocksDbWeight, Weight},
};

/// What the calls of the pallet cost.
pub trait WeightInfo {
    /// Weight of [`add_validator`](crate::Pallet::add_validator).
    fn add_validator() -> Weight;
    /// Weight of [`remove_validator`](crate::Pallet::remove_validator).
    fn remove_validator() -> Weight;
    /// Weight of [`dispatch_as_root`](crate::Pallet::dispatch_as_root), without that of the call inside.
    fn dispatch_as_root() -> Weight;
    /// Weight of [`has_role`](crate::Pallet::has_role), for the runtime's transaction extension.
    fn has_role() -> Weight;
}

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);
impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    /// Reads `Session::NextKeys`, `Validators`, `System::Account`; writes `Validators` and, for an
    /// account that is new to the chain, `System::Account`.
    fn add_validator() -> Weight {
        Weight::from_parts(26_000_000, 12000)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(2))
    }
    /// Reads `Validators` and `Session::NextKeys` of those who stay; writes `Validators`.
    fn remove_validator() -> Weight {
        Weight::from_parts(90_000_000, 132000)
            .saturating_add(T::DbWeight::get().reads(33))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    /// Touches no storage of its own.
    fn dispatch_as_root() -> Weight {
        Weight::from_parts(8_000_000, 0)
    }
    /// Reads the members and `Validators`.
    fn has_role() -> Weight {
        Weight::from_parts(6_000_000, 8000).saturating_add(T::DbWeight::get().reads(2))
    }
}

/// Weights for mocks.
impl WeightInfo for () {
    /// Reads `Session::NextKeys`, `Validators`, `System::Account`; writes `Validators` and, for an
    /// account that is new to the chain, `System::Account`.
    fn add_validator() -> Weight {
        Weight::from_parts(26_000_000, 12000)
            .saturating_add(RocksDbWeight::get().reads(3))
            .saturating_add(RocksDbWeight::get().writes(2))
    }
    /// Reads `Validators` and `Session::NextKeys` of those who stay; writes `Validators`.
    fn remove_validator() -> Weight {
        Weight::from_parts(90_000_000, 132000)
            .saturating_add(RocksDbWeight::get().reads(33))
            .saturating_add(RocksDbWeight::get().writes(1))
    }
    /// Touches no storage of its own.
    fn dispatch_as_root() -> Weight {
        Weight::from_parts(8_000_000, 0)
    }
    /// Reads the members and `Validators`.
    fn has_role() -> Weight {
        Weight::from_parts(6_000_000, 8000).saturating_add(RocksDbWeight::get().reads(2))
    }
}
