// SPDX-License-Identifier: Apache-2.0

//! What a study may make the chain keep: granted by the consortium, used by its sponsor, servers and devices.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, pallet_prelude::DispatchResult, traits::Get};
use scale_info::TypeInfo;
use sp_runtime::{traits::Saturating, DispatchError};

use crate::{Config, Error, Event, Pallet, Quotas, Studies, StudyId};

/// Amounts of what a study makes the chain keep, each over the study's whole life.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct Amounts {
    /// Devices enrolled, retired ones among them.
    pub devices: u32,
    /// Entries registered.
    pub entries: u64,
    /// Bytes of the runs that were registered, as they stand in blocks.
    pub bytes: u64,
    /// Accounts that got their first role in the study as a server, each time that they did, and those that took another's
    /// place by `rotate`. They stay on the chain, with their nonce, when the role goes. No change of an account is refused
    /// for this number, because a key that others know must be changed, whatever was used up; `maxRotations` bounds these.
    pub admissions: u32,
}

/// What the consortium grants a study.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct Allowance {
    /// For the study as a whole.
    pub study: Amounts,
    /// Most entries of one device: its share.
    pub device_entries: u64,
}

/// What a study may use, and what it has used.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct Quota {
    /// What the consortium granted. It may be less than what was used: then nothing more is taken.
    pub allowance: Allowance,
    /// What was used.
    pub used: Amounts,
}

impl Quota {
    /// Entries, and bytes of runs, that the study may still register.
    pub fn left(&self) -> (u64, u64) {
        let granted = &self.allowance.study;
        (
            granted.entries.saturating_sub(self.used.entries),
            granted.bytes.saturating_sub(self.used.bytes),
        )
    }
}

impl<T: Config> Pallet<T> {
    /// What a study may use and has used. One storage read.
    pub fn quota(study: StudyId) -> Quota {
        Quotas::<T>::get(study).unwrap_or_else(|| Quota {
            allowance: T::DefaultAllowance::get(),
            used: Amounts::default(),
        })
    }

    /// Counts one device more, if the study may enrol one.
    pub fn take_device(study: StudyId) -> DispatchResult {
        Self::take(study, |quota| {
            let granted = quota.allowance.study.devices;
            ensure!(quota.used.devices < granted, Error::<T>::NoDeviceLeft);
            quota.used.devices.saturating_inc();
            Ok(())
        })
    }

    /// Counts entries, and bytes of runs, that were registered. Whoever registers them has asked [`Quota::left`].
    pub fn count_entries(study: StudyId, entries: u64, bytes: u64) {
        let mut quota = Self::quota(study);
        quota.used.entries.saturating_accrue(entries);
        quota.used.bytes.saturating_accrue(bytes);
        Quotas::<T>::insert(study, quota);
    }

    /// Counts an account that is about to get its first role in the study. Also one that the chain knows: it may be changed
    /// `MaxRotations` times here, for as many new ones.
    pub(crate) fn take_admission(study: StudyId, account: &T::AccountId) -> DispatchResult {
        if Self::has_role_in(study, account) {
            return Ok(());
        }
        Self::take(study, |quota| {
            let granted = quota.allowance.study.admissions;
            ensure!(quota.used.admissions < granted, Error::<T>::NoAdmissionLeft);
            quota.used.admissions.saturating_inc();
            Ok(())
        })
    }

    /// Counts an account that takes another's place, whether or not the study may bring one.
    pub(crate) fn count_admission(study: StudyId) {
        let mut quota = Self::quota(study);
        quota.used.admissions.saturating_inc();
        Quotas::<T>::insert(study, quota);
    }

    pub(crate) fn do_set_allowance(study: StudyId, allowance: Allowance) -> DispatchResult {
        ensure!(Studies::<T>::contains_key(study), Error::<T>::UnknownStudy);
        Self::take(study, |quota| {
            quota.allowance = allowance;
            Ok(())
        })?;
        Self::deposit_event(Event::AllowanceSet { study, allowance });
        Ok(())
    }

    fn take(
        study: StudyId,
        change: impl FnOnce(&mut Quota) -> Result<(), DispatchError>,
    ) -> DispatchResult {
        let mut quota = Self::quota(study);
        change(&mut quota)?;
        Quotas::<T>::insert(study, quota);
        Ok(())
    }
}
