// SPDX-License-Identifier: Apache-2.0

//! What the pallet decides. The calls in `lib.rs` say who may ask; the functions here do not.

use alloc::vec::Vec;

use frame_support::{ensure, pallet_prelude::*, traits::EstimateNextSessionRotation};
use frame_system::pallet_prelude::BlockNumberFor;
use mhealth_justification::{Final, Proofs};
use pallet_grandpa::CurrentSetId;
use sp_consensus_grandpa::{AuthorityId, SetId};
use sp_runtime::{
    traits::{Saturating, Zero},
    RuntimeAppPublic, TryRuntimeError,
};

use crate::{
    Config, Conflict, Conflicts, Error, Event, FinalBlock, LastFinal, LatestSet, LeastLag,
    OldestSet, Pallet, Sets, Signer, VoterSet,
};

/// How many sets are forgotten when one comes. More than one, so that those that a stall has left are gone some time.
const FORGOTTEN_AT_ONCE: usize = 2;

impl<T: Config> Pallet<T> {
    /// Keeps the present authorities as the set with this number, which votes on what comes after a block.
    pub(crate) fn remember(set: SetId, after: BlockNumberFor<T>) {
        let voters = pallet_grandpa::Authorities::<T>::get();
        Sets::<T>::insert(set, VoterSet { after, voters });
        LatestSet::<T>::put(set);
        Self::forget_before(set);
    }

    /// Forgets the oldest sets when more than `MaxSets` are kept, but none that may vote on what comes after the last final block.
    ///
    /// So while finality stands still, nothing is forgotten. There is one set a session more then at most, and no more of them
    /// than validators may change their keys and the consortium its validators.
    fn forget_before(latest: SetId) {
        let needed = LastFinal::<T>::get().map_or(0, |last| last.set);
        let mut oldest = OldestSet::<T>::get();
        for _ in 0..FORGOTTEN_AT_ONCE {
            let are_many = latest.saturating_sub(oldest) >= T::MaxSets::get();
            if are_many && oldest < needed {
                Sets::<T>::remove(oldest);
                oldest = oldest.saturating_add(1);
                OldestSet::<T>::put(oldest);
            }
        }
    }

    /// What a proof by this set shows, if it was the set's to sign.
    fn check(set: SetId, proof: &[u8]) -> Result<Final<T::Hash, BlockNumberFor<T>>, Error<T>> {
        let known = Sets::<T>::get(set).ok_or(Error::<T>::UnknownSet)?;
        let shown = T::Proofs::check(set, known.voters.into_inner(), proof);
        let shown = shown.map_err(|_| Error::<T>::NotProved)?;
        let next = set.checked_add(1).and_then(Sets::<T>::get);
        let in_time = next.is_none_or(|next| shown.number <= next.after);
        ensure!(
            shown.number > known.after && in_time,
            Error::<T>::NotOfThisSet
        );
        Ok(shown)
    }

    /// Takes the proof of a younger block.
    pub(crate) fn do_report_final(set: SetId, proof: &[u8]) -> DispatchResult {
        let Final { number, hash, .. } = Self::check_newer(set, proof)?;
        LastFinal::<T>::put(FinalBlock { number, hash, set });
        Self::deposit_event(Event::FinalityProved { number, hash, set });
        Ok(())
    }

    /// What a proof shows that is worth being remembered.
    pub(crate) fn check_newer(
        set: SetId,
        proof: &[u8],
    ) -> Result<Final<T::Hash, BlockNumberFor<T>>, Error<T>> {
        let shown = Self::check(set, proof)?;
        let newer = LastFinal::<T>::get().is_none_or(|last| shown.number > last.number);
        ensure!(newer, Error::<T>::NotNewer);
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(shown.number < now, Error::<T>::NotOnThisChain);
        // The chain remembers the hashes of so many blocks. Of an older one it believes the signatures alone: whoever wants a
        // younger last final block has to prove one.
        let known = frame_system::Pallet::<T>::block_hash(shown.number);
        ensure!(
            known == shown.hash || known == T::Hash::default(),
            Error::<T>::NotOnThisChain
        );
        Ok(shown)
    }

    /// Changes the authorities by force, from the last final block on.
    pub(crate) fn do_note_stalled(last_final: BlockNumberFor<T>) -> DispatchResult {
        let last = LastFinal::<T>::get().ok_or(Error::<T>::NothingProved)?;
        ensure!(last.number == last_final, Error::<T>::AnotherLastFinal);
        let now = frame_system::Pallet::<T>::block_number();
        let lag = now.saturating_sub(last_final);
        ensure!(lag >= LeastLag::<T>::get(), Error::<T>::NotStalled);
        let takes_effect = now.saturating_add(T::Delay::get());
        let (next_session, _) = T::NextSession::estimate_next_session_rotation(now);
        ensure!(
            next_session.is_none_or(|next| takes_effect < next),
            Error::<T>::SessionEndsSoon
        );

        let authorities = pallet_grandpa::Authorities::<T>::get().into_inner();
        pallet_grandpa::Pallet::<T>::schedule_change(
            authorities,
            T::Delay::get(),
            Some(last_final),
        )?;
        // The nodes count on from the set that would have voted on the next block, which is kept whatever came after it. Sets that
        // were named after the last final block never came to vote, and their numbers are given out again.
        let never_voted =
            |set: &SetId| Sets::<T>::get(*set).is_some_and(|it| it.after > last_final);
        let mut latest = LatestSet::<T>::get();
        while never_voted(&latest) {
            Sets::<T>::remove(latest);
            latest = latest.saturating_sub(1);
        }
        let set = latest.saturating_add(1);
        CurrentSetId::<T>::put(set);
        let session = pallet_session::Pallet::<T>::current_index();
        pallet_grandpa::SetIdSession::<T>::insert(set, session);
        Self::remember(set, last_final);
        Self::deposit_event(Event::Stalled {
            last_final,
            set,
            takes_effect,
        });
        Ok(())
    }

    /// Takes two proofs that contradict each other.
    pub(crate) fn do_report_conflict(
        set: SetId,
        [lower, higher]: [&[u8]; 2],
        headers: &[u8],
    ) -> DispatchResult {
        let (lower, higher) = (Self::check(set, lower)?, Self::check(set, higher)?);
        let block = (higher.hash, higher.number);
        let at_lower = T::Proofs::ancestor(block, lower.number, headers);
        let at_lower = at_lower.ok_or(Error::<T>::NoConflict)?;
        ensure!(at_lower != lower.hash, Error::<T>::NoConflict);
        let blocks = [&lower, &higher].map(|block| (block.number, block.hash));
        let mut conflicts = Conflicts::<T>::get();
        let mut hashes = blocks.map(|(_, hash)| hash);
        hashes.sort();
        let known = conflicts.iter().any(|it| {
            let mut recorded = it.blocks.map(|(_, hash)| hash);
            recorded.sort();
            recorded == hashes
        });
        ensure!(!known, Error::<T>::KnownConflict);

        let both: Vec<AuthorityId> = lower
            .signers
            .intersection(&higher.signers)
            .cloned()
            .collect();
        let signers = both.iter().map(|key| Signer {
            key: key.clone(),
            validator: pallet_session::Pallet::<T>::key_owner(AuthorityId::ID, key.as_ref()),
        });
        let conflict = Conflict {
            set,
            blocks,
            rounds: [lower.round, higher.round],
            signers: BoundedVec::truncate_from(signers.collect()),
            reported: frame_system::Pallet::<T>::block_number(),
        };
        conflicts
            .try_push(conflict)
            .map_err(|_| Error::<T>::TooManyConflicts)?;
        Conflicts::<T>::put(conflicts);
        Self::deposit_event(Event::ConflictingProofs {
            set,
            one: lower.hash,
            other: higher.hash,
            signers: both,
        });
        Ok(())
    }
}

/// What must hold between any two blocks.
impl<T: Config> Pallet<T> {
    /// Checks the pallet's invariants:
    ///
    /// 1. The latest set is the one that GRANDPA's pallet counts, and its voters are the authorities.
    /// 2. Sets are kept from the oldest to the latest, without a gap, and each begins where or after the one before did.
    /// 3. The last final block is in the past, and the set that signed it is kept.
    /// 4. The blocks of a contradiction are two.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let latest = LatestSet::<T>::get();
        ensure!(
            latest == CurrentSetId::<T>::get(),
            "the latest set is not the present one"
        );
        let mut sets: Vec<_> = Sets::<T>::iter().collect();
        sets.sort_by_key(|(set, _)| *set);
        let oldest = OldestSet::<T>::get();
        ensure!(
            (oldest..=latest).eq(sets.iter().map(|(set, _)| *set)),
            "other sets are kept than from the oldest to the latest"
        );
        let (last, voters) = sets.last().ok_or("no set is kept")?;
        ensure!(*last == latest, "a set after the latest is kept");
        ensure!(
            voters.voters == pallet_grandpa::Authorities::<T>::get(),
            "the latest set is not that of the authorities"
        );
        ensure!(
            sets.is_sorted_by(|(_, one), (_, next)| one.after <= next.after),
            "a set begins before the one before it"
        );
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(
            LastFinal::<T>::get().is_none_or(|last| last.number <= now && !last.number.is_zero()),
            "the last final block is not in the past"
        );
        ensure!(
            LastFinal::<T>::get().is_none_or(|last| last.set >= oldest),
            "the set of the last final block is forgotten"
        );
        ensure!(
            Conflicts::<T>::get()
                .iter()
                .all(|it| it.blocks[0].1 != it.blocks[1].1),
            "a contradiction is about one block"
        );
        Ok(())
    }
}
