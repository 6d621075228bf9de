// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls, in picoseconds on the machine that the measurement names.

use frame_support::weights::Weight;

mod measured;

pub use measured::SubstrateWeight;

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
    /// Weight of [`rotate`](crate::Pallet::rotate), of an account with all three roles.
    fn rotate() -> Weight;
    /// Weight of [`set_allowance`](crate::Pallet::set_allowance).
    fn set_allowance() -> Weight;
    /// Weight of [`set_auditor_key`](crate::Pallet::set_auditor_key).
    fn set_auditor_key() -> Weight;
    /// Weight of [`has_role`](crate::Pallet::has_role), for the runtime's transaction extension.
    fn has_role() -> Weight;
}

/// For mocks, in which nothing is measured: one unit for each thing done.
impl WeightInfo for () {
    fn create_study() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn close_study() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn reopen_study() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn add_authentication_server() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn remove_authentication_server() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn add_relay() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn remove_relay() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn replace_sponsor() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn set_allowance() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn rotate() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn set_auditor_key() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn has_role() -> Weight {
        Weight::from_parts(1, 0)
    }
}
