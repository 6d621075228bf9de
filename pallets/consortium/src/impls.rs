// SPDX-License-Identifier: Apache-2.0

//! What the pallet decides. The calls in `lib.rs` say who may ask; the functions here do not.

use alloc::collections::BTreeSet;
use frame_support::{
    dispatch::{extract_actual_weight, GetDispatchInfo},
    ensure,
    pallet_prelude::*,
    traits::{Contains, GetCallMetadata, UnfilteredDispatchable},
};
use frame_system::RawOrigin;
use sp_runtime::{DispatchErrorWithPostInfo, TryRuntimeError};

use crate::{
    membership::TOO_FEW, Collective, Config, Error, Event, KeyChanges, Pallet, SessionKeyChanges,
    Validators, WeightInfo,
};

/// What the runtime asks. Reading only, but for [`Pallet::admit`].
impl<T: Config> Pallet<T> {
    /// Whether `who` has a vote in the consortium. One storage read.
    pub fn is_member(who: &T::AccountId) -> bool {
        pallet_membership::Pallet::<T, Collective>::contains(who)
    }

    /// Whether the consortium wants `who` to make blocks. One storage read.
    pub fn is_validator(who: &T::AccountId) -> bool {
        Validators::<T>::get().contains(who)
    }

    /// Whether `who` is a member or a validator. Two storage reads, whose weight is
    /// [`WeightInfo::has_role`].
    pub fn has_role(who: &T::AccountId) -> bool {
        Self::is_member(who) || Self::is_validator(who)
    }

    /// Gives `who` a place on the chain: a provider reference, if it has none.
    ///
    /// It is never taken back, not when `who` leaves the consortium either. Otherwise the account
    /// would be forgotten and start again at nonce 0 on its return, and old transactions of it that
    /// never expire could be executed a second time. Who left is turned away by the runtime's
    /// transaction extension.
    pub fn admit(who: &T::AccountId) {
        if frame_system::Pallet::<T>::providers(who) == 0 {
            frame_system::Pallet::<T>::inc_providers(who);
        }
    }

    /// Whether `who` has registered the keys that a validator needs. One storage read.
    pub fn has_session_keys(who: &T::AccountId) -> bool {
        pallet_session::NextKeys::<T>::contains_key(who)
    }
}

/// What the calls do once the origin is checked.
impl<T: Config> Pallet<T> {
    /// Appends `validator` to the list.
    pub(crate) fn do_add_validator(validator: T::AccountId) -> DispatchResult {
        ensure!(
            Self::has_session_keys(&validator),
            Error::<T>::NoSessionKeys
        );
        let mut validators = Validators::<T>::get();
        ensure!(
            !validators.contains(&validator),
            Error::<T>::AlreadyValidator
        );
        validators
            .try_push(validator.clone())
            .map_err(|_| Error::<T>::TooManyValidators)?;

        Validators::<T>::put(validators);
        Self::admit(&validator);
        Self::deposit_event(Event::ValidatorAdded { validator });
        Ok(())
    }

    /// Takes `validator` off the list.
    pub(crate) fn do_remove_validator(validator: &T::AccountId) -> DispatchResult {
        let mut validators = Validators::<T>::get();
        let position = validators
            .iter()
            .position(|listed| listed == validator)
            .ok_or(Error::<T>::NotAValidator)?;
        let validator = validators.remove(position);
        ensure!(
            validators.iter().any(Self::has_session_keys),
            Error::<T>::LastValidator
        );

        Validators::<T>::put(validators);
        SessionKeyChanges::<T>::remove(&validator);
        Self::deposit_event(Event::ValidatorRemoved { validator });
        Ok(())
    }

    /// Dispatches `call` as root and passes its error on, so that the collective's `Executed` event
    /// tells whether the decision took effect.
    pub(crate) fn do_dispatch_as_root(
        call: <T as Config>::RuntimeCall,
    ) -> DispatchResultWithPostInfo {
        ensure!(!T::Guarded::contains(&call), Error::<T>::Guarded);
        let info = call.get_dispatch_info();
        let name = call.get_call_metadata();
        let result = call.dispatch_bypass_filter(RawOrigin::Root.into());
        let weight = <T as Config>::WeightInfo::dispatch_as_root()
            .saturating_add(extract_actual_weight(&result, &info));
        match result {
            Ok(_) => {
                Self::deposit_event(Event::DispatchedAsRoot {
                    pallet: name.pallet_name.into(),
                    call: name.function_name.into(),
                });
                Ok(Some(weight).into())
            }
            Err(refused) => Err(DispatchErrorWithPostInfo {
                post_info: Some(weight).into(),
                error: refused.error,
            }),
        }
    }
}

/// What must hold between any two blocks.
impl<T: Config> Pallet<T> {
    /// Checks the pallet's invariants:
    ///
    /// 1. No validator is listed twice.
    /// 2. There is a validator if anybody makes blocks at all.
    /// 3. Every validator and every member has a place on the chain.
    /// 4. Every open motion is a member's, and no member has more of them than it may.
    /// 5. Urgent votes and changes of keys are those of members, and no vote counts too long.
    /// 6. There are not two members.
    /// 7. Changes of session keys are those of validators.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let validators = Validators::<T>::get();
        let distinct: BTreeSet<_> = validators.iter().collect();
        ensure!(
            distinct.len() == validators.len(),
            "a validator is listed twice"
        );
        ensure!(
            !validators.is_empty() || pallet_session::Pallet::<T>::validators().is_empty(),
            "there are no validators"
        );
        let members = pallet_membership::Pallet::<T, Collective>::members();
        ensure!(
            validators
                .iter()
                .chain(&members)
                .all(|who| frame_system::Pallet::<T>::providers(who) > 0),
            "an account of the consortium has no place on the chain"
        );
        ensure!(members.len() != TOO_FEW, "there are two members");
        ensure!(
            KeyChanges::<T>::iter_keys().all(|who| members.contains(&who)),
            "who changed its key is no member"
        );
        ensure!(
            SessionKeyChanges::<T>::iter_keys().all(|who| validators.contains(&who)),
            "who changed its session keys is no validator"
        );
        Self::check_urgent_votes(&members)?;
        Self::check_motions(&members)
    }
}
