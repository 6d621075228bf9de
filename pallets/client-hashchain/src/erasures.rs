// SPDX-License-Identifier: Apache-2.0

//! That a participant's data were erased elsewhere, written down where nobody can write it later.
//!
//! A receipt makes an audit content with data that are gone. So only the sponsor writes one, who answers for the study, and not
//! a server that may be in other hands; and only of a device that registers nothing any more, so that no later entry hides
//! behind it.

use crate::{
    status::Office, Config, DeviceId, DeviceStatus, ErasureReceipt, Erasures, Error, Event, Pallet,
};
use frame_support::ensure;
use sp_core::H256;
use sp_runtime::{AccountId32, DispatchResult};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_erase(who: &AccountId32, id: DeviceId, receipt: H256) -> DispatchResult {
        let (device, office) = Self::device_of_office(who, id)?;
        ensure!(office == Office::Sponsor, Error::<T>::OnlyTheSponsor);
        ensure!(
            device.head.status != DeviceStatus::Active,
            Error::<T>::StillActive
        );
        ensure!(!Self::is_erased(id), Error::<T>::AlreadyErased);
        Erasures::<T>::insert(
            id,
            ErasureReceipt {
                receipt,
                submitter: who.clone(),
                block: frame_system::Pallet::<T>::block_number(),
            },
        );
        Self::deposit_event(Event::DeviceErased {
            device: id,
            receipt,
        });
        Ok(())
    }

    /// Whether it is written down that a device's data were erased.
    pub(crate) fn is_erased(id: DeviceId) -> bool {
        Erasures::<T>::contains_key(id)
    }
}
