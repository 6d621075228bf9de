// SPDX-License-Identifier: Apache-2.0

//! How the list of validators becomes the set of those who make blocks, and how often they change the keys with which they do.

use alloc::vec::Vec;
use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use pallet_session::{weights::SubstrateWeight, SessionManager};
use sp_runtime::{traits::Convert, Saturating};
use sp_staking::SessionIndex;

use crate::{Config, Pallet, SessionKeyChanges, Validators, WeightInfo};

/// Tells the session pallet whom the consortium wants.
///
/// It reports only a difference. The session pallet takes every answer for a change of authorities,
/// even if it is the same list again, and each such change is a step more for whoever verifies
/// GRANDPA's justifications offline.
impl<T: Config> SessionManager<T::AccountId> for Pallet<T> {
    /// The validators from the session after the one that starts now; `None` to leave them.
    ///
    /// A validator that purged its keys is passed over until it sets new ones. If nobody has keys,
    /// it reports nothing: there is no better set than the present one. At genesis the list is still
    /// empty, and the session pallet takes the accounts of its own `keys`.
    fn new_session(_: SessionIndex) -> Option<Vec<T::AccountId>> {
        let mut wanted = Validators::<T>::get().into_inner();
        wanted.retain(Self::has_session_keys);
        let present = pallet_session::Pallet::<T>::validators();
        (!wanted.is_empty() && wanted != present).then_some(wanted)
    }

    fn end_session(_: SessionIndex) {}

    fn start_session(_: SessionIndex) {}
}

/// Other session keys are another set of authorities, which everybody who checks finality has to follow for ever. So a validator
/// changes them seldom.
impl<T: Config> Pallet<T> {
    /// Whether `who` may set or purge its session keys now. A validator that has none may set them at any time, and so may
    /// whoever is not on the list, whose keys nobody makes blocks with. Wrong keys are corrected in the session in which they were
    /// set: only the last ones come into a set. At most four storage reads.
    pub fn may_change_session_keys(who: &T::AccountId) -> bool {
        let now = frame_system::Pallet::<T>::block_number();
        !Self::is_validator(who)
            || !Self::has_session_keys(who)
            || SessionKeyChanges::<T>::get(who).is_none_or(|(last, session)| {
                now >= last.saturating_add(T::SessionKeyPeriod::get())
                    || session == pallet_session::Pallet::<T>::current_index()
            })
    }

    /// Whether `who` is a validator with session keys, and no other has any: without them nobody would be left to make blocks.
    pub fn has_last_session_keys(who: &T::AccountId) -> bool {
        let validators = Validators::<T>::get();
        let mut others = validators.iter().filter(|listed| *listed != who);
        validators.contains(who)
            && Self::has_session_keys(who)
            && !others.any(Self::has_session_keys)
    }

    /// Notes that `who` changes its session keys.
    fn note_session_keys(who: &T::AccountId) {
        if Self::is_validator(who) {
            let now = frame_system::Pallet::<T>::block_number();
            let session = pallet_session::Pallet::<T>::current_index();
            SessionKeyChanges::<T>::insert(who, (now, session));
        }
    }
}

/// Whose session keys an account sets and purges: its own. For `ValidatorIdOf` of `pallet_session`, which asks that in these two
/// calls and nowhere else, so that it is noted here when a validator made one. What fails is undone with its call.
pub struct NoteSessionKeys<T>(PhantomData<T>);

impl<T: Config> Convert<T::AccountId, Option<T::AccountId>> for NoteSessionKeys<T> {
    fn convert(who: T::AccountId) -> Option<T::AccountId> {
        Pallet::<T>::note_session_keys(&who);
        Some(who)
    }
}

/// Weights of the calls of `pallet_session`, with what is asked and noted here. Whether others have keys is asked of as many as when
/// a validator is removed.
pub struct SessionWeight<T>(PhantomData<T>);

impl<T: Config> pallet_session::WeightInfo for SessionWeight<T> {
    fn set_keys() -> Weight {
        SubstrateWeight::<T>::set_keys().saturating_add(T::DbWeight::get().reads_writes(4, 1))
    }

    fn purge_keys() -> Weight {
        SubstrateWeight::<T>::purge_keys()
            .saturating_add(T::DbWeight::get().reads_writes(4, 1))
            .saturating_add(<T as Config>::WeightInfo::remove_validator())
    }
}
