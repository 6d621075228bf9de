// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls, in picoseconds on the machine that the measurement names.

use frame_support::weights::Weight;

mod measured;

pub use measured::SubstrateWeight;

/// What the pallet costs.
pub trait WeightInfo {
    /// Weight of [`report_block_equivocation`](crate::Pallet::report_block_equivocation).
    fn report_block_equivocation() -> Weight;
    /// Weight of the beginning of a block before which slots were missed.
    fn count_missed_slots() -> Weight;
}

/// For mocks, in which nothing is measured: one unit for each thing done.
impl WeightInfo for () {
    fn report_block_equivocation() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn count_missed_slots() -> Weight {
        Weight::from_parts(1, 0)
    }
}
