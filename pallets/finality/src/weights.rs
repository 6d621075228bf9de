// SPDX-License-Identifier: Apache-2.0

//! Weights of the calls, in picoseconds on the machine that the measurement names.

use frame_support::weights::Weight;

mod measured;

pub use measured::SubstrateWeight;

/// What the calls of the pallet cost.
pub trait WeightInfo {
    /// Weight of [`report_final`](crate::Pallet::report_final) with so many signatures.
    fn report_final(v: u32) -> Weight;
    /// Weight of [`note_stalled`](crate::Pallet::note_stalled).
    fn note_stalled() -> Weight;
    /// Weight of [`report_conflict`](crate::Pallet::report_conflict) with so many signatures in both proofs.
    fn report_conflict(v: u32) -> Weight;
}

/// For mocks, in which nothing is measured: one unit for each thing done.
impl WeightInfo for () {
    fn report_final(v: u32) -> Weight {
        Weight::from_parts(1 + u64::from(v), 0)
    }
    fn note_stalled() -> Weight {
        Weight::from_parts(1, 0)
    }
    fn report_conflict(v: u32) -> Weight {
        Weight::from_parts(1 + u64::from(v), 0)
    }
}
