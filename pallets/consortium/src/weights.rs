// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls, in picoseconds on the machine that the measurement names.

use frame_support::weights::Weight;

mod measured;

pub use measured::SubstrateWeight;

/// What the calls of the pallet cost.
pub trait WeightInfo {
    /// Weight of [`add_validator`](crate::Pallet::add_validator).
    fn add_validator() -> Weight;
    /// Weight of [`remove_validator`](crate::Pallet::remove_validator).
    fn remove_validator() -> Weight;
    /// Weight of [`dispatch_as_root`](crate::Pallet::dispatch_as_root), without that of the call inside.
    fn dispatch_as_root() -> Weight;
    /// Weight of [`add_members`](crate::Pallet::add_members) with `n` new members, while all motions are open.
    fn add_members(n: u32) -> Weight;
    /// Weight of [`remove_member`](crate::Pallet::remove_member), while all motions are open.
    fn remove_member() -> Weight;
    /// Weight of [`change_key`](crate::Pallet::change_key), while all motions are open and all urgent votes are cast.
    fn change_key() -> Weight;
    /// Weight of [`vote_urgent`](crate::Pallet::vote_urgent), with the last vote that removes a member.
    fn vote_urgent() -> Weight;
    /// Weight of [`withdraw_urgent_vote`](crate::Pallet::withdraw_urgent_vote).
    fn withdraw_urgent_vote() -> Weight;
    /// Weight of [`has_role`](crate::Pallet::has_role), for the runtime's transaction extension.
    fn has_role() -> Weight;
}

/// For mocks, in which nothing is measured: one unit for each thing done.
impl WeightInfo for () {
    fn add_validator() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn remove_validator() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn dispatch_as_root() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn add_members(n: u32) -> Weight {
        Weight::from_parts(n.into(), 0)
    }
    fn remove_member() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn change_key() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn vote_urgent() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn withdraw_urgent_vote() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn has_role() -> Weight {
        Weight::from_parts(1, 0)
    }
}
