// SPDX-License-Identifier: Apache-2.0

//! Weights of `pallet_studies`.
//!
//! ESTIMATED BY HAND, TO BE REPLACED BY THE BENCHMARK RUN. The counts of storage accesses were
//! read off the code; the times are guesses of the right order of magnitude.

use core::marker::PhantomData;
use frame_support::{
    traits::Get,
    weights::{constants::RocksDbWeight, Weight},
};

/// What the calls of the pallet cost.
pub trait WeightInfo {
    /// Weight of [`create_study`](crate::Pallet::create_study).
    fn create_study() -> Weight;
    /// Weight of [`close_study`](crate::Pallet::close_study).
    fn close_study() -> Weight;
    /// Weight of [`reopen_study`](crate::Pallet::reopen_study).
    fn reopen_study() -> Weight;
    /// Weight of [`add_authentication_server`](crate::Pallet::add_authentication_server).
    fn add_authentication_server() -> Weight;
    /// Weight of [`remove_authentication_server`](crate::Pallet::remove_authentication_server).
    fn remove_authentication_server() -> Weight;
    /// Weight of [`add_relay`](crate::Pallet::add_relay).
    fn add_relay() -> Weight;
    /// Weight of [`remove_relay`](crate::Pallet::remove_relay).
    fn remove_relay() -> Weight;
    /// Weight of [`replace_sponsor`](crate::Pallet::replace_sponsor).
    fn replace_sponsor() -> Weight;
    /// Weight of [`has_role`](crate::Pallet::has_role), for the runtime's transaction extension.
    fn has_role() -> Weight;
}

/// Weights with the database costs of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);
impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    /// Reads `NextStudyId`, `RoleCount`, `System::Account`; writes these and `Studies`.
    fn create_study() -> Weight {
        Weight::from_parts(20_000_000, 12000)
            .saturating_add(T::DbWeight::get().reads(3))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    /// Reads and writes `Studies`.
    fn close_study() -> Weight {
        Weight::from_parts(14_000_000, 4000)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    /// Reads and writes `Studies`.
    fn reopen_study() -> Weight {
        Weight::from_parts(14_000_000, 4000)
            .saturating_add(T::DbWeight::get().reads(1))
            .saturating_add(T::DbWeight::get().writes(1))
    }
    /// Reads `Studies`, `AuthenticationServers`, `ServerCounts`, `RoleCount`, `System::Account`; writes
    /// all but `Studies`.
    fn add_authentication_server() -> Weight {
        Weight::from_parts(24_000_000, 20000)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    /// Reads `Studies`, `AuthenticationServers`, `ServerCounts`, `RoleCount`; writes all but `Studies`.
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(20_000_000, 16000)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    /// Reads `Studies`, `Relays`, `ServerCounts`, `RoleCount`, `System::Account`; writes all but
    /// `Studies`.
    fn add_relay() -> Weight {
        Weight::from_parts(24_000_000, 20000)
            .saturating_add(T::DbWeight::get().reads(5))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    /// Reads `Studies`, `Relays`, `ServerCounts`, `RoleCount`; writes all but `Studies`.
    fn remove_relay() -> Weight {
        Weight::from_parts(20_000_000, 16000)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(3))
    }
    /// Reads and writes `Studies`, `RoleCount` of both sponsors, `System::Account` of the new one.
    fn replace_sponsor() -> Weight {
        Weight::from_parts(22_000_000, 16000)
            .saturating_add(T::DbWeight::get().reads(4))
            .saturating_add(T::DbWeight::get().writes(4))
    }
    /// Reads `RoleCount`.
    fn has_role() -> Weight {
        Weight::from_parts(3_000_000, 4000).saturating_add(T::DbWeight::get().reads(1))
    }
}

/// Weights for mocks.
impl WeightInfo for () {
    /// Reads `NextStudyId`, `RoleCount`, `System::Account`; writes these and `Studies`.
    fn create_study() -> Weight {
        Weight::from_parts(20_000_000, 12000)
            .saturating_add(RocksDbWeight::get().reads(3))
            .saturating_add(RocksDbWeight::get().writes(4))
    }
    /// Reads and writes `Studies`.
    fn close_study() -> Weight {
        Weight::from_parts(14_000_000, 4000)
            .saturating_add(RocksDbWeight::get().reads(1))
            .saturating_add(RocksDbWeight::get().writes(1))
    }
    /// Reads and writes `Studies`.
    fn reopen_study() -> Weight {
        Weight::from_parts(14_000_000, 4000)
            .saturating_add(RocksDbWeight::get().reads(1))
            .saturating_add(RocksDbWeight::get().writes(1))
    }
    /// Reads `Studies`, `AuthenticationServers`, `ServerCounts`, `RoleCount`, `System::Account`; writes
    /// all but `Studies`.
    fn add_authentication_server() -> Weight {
        Weight::from_parts(24_000_000, 20000)
            .saturating_add(RocksDbWeight::get().reads(5))
            .saturating_add(RocksDbWeight::get().writes(4))
    }
    /// Reads `Studies`, `AuthenticationServers`, `ServerCounts`, `RoleCount`; writes all but `Studies`.
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(20_000_000, 16000)
            .saturating_add(RocksDbWeight::get().reads(4))
            .saturating_add(RocksDbWeight::get().writes(3))
    }
    /// Reads `Studies`, `Relays`, `ServerCounts`, `RoleCount`, `System::Account`; writes all but
    /// `Studies`.
    fn add_relay() -> Weight {
        Weight::from_parts(24_000_000, 20000)
            .saturating_add(RocksDbWeight::get().reads(5))
            .saturating_add(RocksDbWeight::get().writes(4))
    }
    /// Reads `Studies`, `Relays`, `ServerCounts`, `RoleCount`; writes all but `Studies`.
    fn remove_relay() -> Weight {
        Weight::from_parts(20_000_000, 16000)
            .saturating_add(RocksDbWeight::get().reads(4))
            .saturating_add(RocksDbWeight::get().writes(3))
    }
    /// Reads and writes `Studies`, `RoleCount` of both sponsors, `System::Account` of the new one.
    fn replace_sponsor() -> Weight {
        Weight::from_parts(22_000_000, 16000)
            .saturating_add(RocksDbWeight::get().reads(4))
            .saturating_add(RocksDbWeight::get().writes(4))
    }
    /// Reads `RoleCount`.
    fn has_role() -> Weight {
        Weight::from_parts(3_000_000, 4000).saturating_add(RocksDbWeight::get().reads(1))
    }
}
