// SPDX-License-Identifier: Apache-2.0

//! How the list of validators becomes the set of those who make blocks.

use alloc::vec::Vec;
use pallet_session::SessionManager;
use sp_staking::SessionIndex;

use crate::{Config, Pallet, Validators};

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
