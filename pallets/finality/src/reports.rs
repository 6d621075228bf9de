// SPDX-License-Identifier: Apache-2.0

//! What the validators' nodes show the chain by themselves, in transactions that nobody signs.
//!
//! Nobody pays for these, so they come seldom: once a period, and once more when finality stands still. The block's author looks
//! at the signatures before it takes one; of what it took all the same, a block's execution looks at them once.

use alloc::vec::Vec;

use frame_support::ensure;
use frame_system::pallet_prelude::BlockNumberFor;
use mhealth_justification::Proofs;
use sp_consensus_grandpa::SetId;
use sp_runtime::{
    traits::{Get, Saturating, Zero},
    transaction_validity::{
        InvalidTransaction, TransactionLongevity, TransactionPriority, TransactionValidity,
        TransactionValidityError, ValidTransaction,
    },
};

use crate::{pallet::ProofOf, Call, Config, LastFinal, LatestSet, Pallet, Sets};

/// How many blocks a report may wait in the pool of the node that made it. Then that node has a later one.
const LONGEVITY: TransactionLongevity = 16;

impl<T: Config> Pallet<T> {
    /// The report of a final block, by an encoded finality proof; none if it shows nothing, or nothing that is due.
    pub fn final_report(proof: Vec<u8>) -> Option<Call<T>> {
        let number = T::Proofs::about(&proof)?;
        let report = (Self::set_of(number)?, ProofOf::<T>::try_from(proof).ok()?);
        Self::ensure_due(number).ok()?;
        let (set, proof) = report;
        Self::check_newer(set, &proof).ok()?;
        Some(Call::report_final { set, proof })
    }

    /// Whether a node may show this block without anybody's signature: a period after the last one, or as the last final block
    /// of a chain on which nothing became final for as long.
    fn ensure_due(number: BlockNumberFor<T>) -> Result<(), TransactionValidityError> {
        let last = LastFinal::<T>::get().map_or_else(Zero::zero, |last| last.number);
        let now = frame_system::Pallet::<T>::block_number();
        let period = T::ReportPeriod::get();
        let is_due = number >= last.saturating_add(period) || now >= number.saturating_add(period);
        ensure!(number > last && is_due, InvalidTransaction::Stale);
        Ok(())
    }

    /// The set whose voters sign for a block of this number.
    fn set_of(number: BlockNumberFor<T>) -> Option<SetId> {
        let mut set = LatestSet::<T>::get();
        while Sets::<T>::get(set)?.after >= number {
            set = set.checked_sub(1)?;
        }
        Some(set)
    }

    /// Whether a report may wait in this node's pool.
    pub(crate) fn pool_takes(set: SetId, proof: &[u8]) -> TransactionValidity {
        Self::block_takes(proof)?;
        Self::check_newer(set, proof).map_err(|_| InvalidTransaction::BadProof)?;
        // One at a time; with the block that was known before, so that the next has a place of its own.
        let known = LastFinal::<T>::get().map(|last| last.number);
        ValidTransaction::with_tag_prefix("LastFinal")
            .priority(TransactionPriority::MAX)
            .and_provides(known)
            .longevity(LONGEVITY)
            .propagate(false)
            .build()
    }

    /// Whether a report may be in a block: it is due. That it proves what it says, the call itself finds out.
    pub(crate) fn block_takes(proof: &[u8]) -> Result<(), TransactionValidityError> {
        let number = T::Proofs::about(proof).ok_or(InvalidTransaction::BadProof)?;
        Self::ensure_due(number)
    }
}
