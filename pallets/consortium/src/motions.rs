// SPDX-License-Identifier: Apache-2.0

//! How many motions a member may have open at a time, so that none fills the list for all others.

use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::marker::PhantomData;
use frame_support::{
    ensure,
    traits::{Consideration, Get, MaybeConsideration},
    CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
};
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, DispatchResult, TryRuntimeError};

use crate::{Collective, Config, Error, Motions, Pallet};

/// The collective that votes.
type Council<T> = pallet_collective::Pallet<T, Collective>;

/// An open motion and who proposed it.
#[derive(
    Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Motion<Hash, AccountId> {
    /// The hash of the proposed call, as in `council.proposals`.
    pub motion: Hash,
    /// The member that proposed it.
    pub proposer: AccountId,
}

/// A place in the list of motions of the chain `T`, which a member takes when it proposes one.
///
/// For `Consideration` of `pallet_collective`. That pallet would keep the ticket in `CostOf` until
/// somebody calls `releaseProposalCost`, and gives it no hash; so the pallet here keeps the list
/// itself, and the ticket says that it costs nothing and need not be kept. A place is free as soon
/// as the motion is closed, in whatever way.
#[derive(
    CloneNoBound,
    PartialEqNoBound,
    EqNoBound,
    DebugNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
pub struct Place<T>(PhantomData<fn() -> T>);

impl<T: Config> Consideration<T::AccountId, u32> for Place<T> {
    fn new(who: &T::AccountId, _: u32) -> Result<Self, DispatchError> {
        Pallet::<T>::take_place(who)?;
        Ok(Self(PhantomData))
    }

    fn update(self, _: &T::AccountId, _: u32) -> Result<Self, DispatchError> {
        Ok(self)
    }

    fn drop(self, _: &T::AccountId) -> DispatchResult {
        Ok(())
    }

    #[cfg(feature = "runtime-benchmarks")]
    fn ensure_successful(_: &T::AccountId, _: u32) {
        Motions::<T>::kill();
    }
}

impl<T: Config> MaybeConsideration<T::AccountId, u32> for Place<T> {
    fn is_none(&self) -> bool {
        true
    }
}

impl<T: Config> Pallet<T> {
    /// Takes a place for the motion that `who` is proposing, which is the last of the collective's
    /// list by now. Forgets those that are closed.
    pub(crate) fn take_place(who: &T::AccountId) -> DispatchResult {
        let open = pallet_collective::Proposals::<T, Collective>::get();
        let Some((motion, older)) = open.split_last() else {
            return Ok(());
        };
        let mut motions = Motions::<T>::get();
        // A motion that was closed and is proposed again is the new proposer's: it is not among the
        // older ones, so the former proposer's place is forgotten here.
        motions.retain(|known| older.contains(&known.motion));
        let own = motions
            .iter()
            .filter(|known| known.proposer == *who)
            .count();
        ensure!(
            own < T::MotionsPerMember::get() as usize,
            Error::<T>::TooManyMotions
        );
        motions
            .try_push(Motion {
                motion: *motion,
                proposer: who.clone(),
            })
            .map_err(|_| Error::<T>::TooManyMotions)?;
        Motions::<T>::put(motions);
        Ok(())
    }

    /// Closes the open motions of a member that leaves, so that every open motion is a member's and
    /// there are places for all.
    pub(crate) fn close_motions_of(who: &T::AccountId) {
        for Motion { motion, proposer } in Self::open_motions() {
            if proposer == *who {
                Council::<T>::do_disapprove_proposal(motion);
            }
        }
    }

    /// Makes `successor` the proposer of the motions of `former`, which is the same member.
    pub(crate) fn pass_motions_on(former: &T::AccountId, successor: &T::AccountId) {
        Motions::<T>::mutate(|motions| {
            for motion in motions.iter_mut() {
                if motion.proposer == *former {
                    motion.proposer = successor.clone();
                }
            }
        });
    }

    /// The motions that are open, with their proposers, oldest first.
    pub fn open_motions() -> Vec<Motion<T::Hash, T::AccountId>> {
        let open = pallet_collective::Proposals::<T, Collective>::get();
        let mut motions = Motions::<T>::get().into_inner();
        motions.retain(|known| open.contains(&known.motion));
        motions
    }

    /// Checks that every open motion is a member's, and that no member has more than it may.
    pub(crate) fn check_motions(members: &[T::AccountId]) -> Result<(), TryRuntimeError> {
        let motions = Self::open_motions();
        ensure!(
            motions.len() == pallet_collective::Proposals::<T, Collective>::get().len(),
            "the proposer of a motion is not known"
        );
        let mut places = BTreeMap::<_, u32>::new();
        for Motion { proposer, .. } in &motions {
            ensure!(members.contains(proposer), "a motion is nobody's");
            let taken = places.entry(proposer).or_default();
            *taken = taken.saturating_add(1);
            ensure!(
                *taken <= T::MotionsPerMember::get(),
                "a member has too many motions"
            );
        }
        Ok(())
    }
}
