// SPDX-License-Identifier: Apache-2.0

//! Suspension and retirement of devices.
//!
//! The sponsor's word holds at once. An authentication server suspends at once, too, but what cannot be undone waits: a
//! retirement that it asks for holds after a delay in which the sponsor can veto it. Nothing has to happen when the delay
//! ends: whoever looks at the device finds it retired, and the next who changes it writes that down.

use crate::{
    again, devices::position, Config, DeviceHead, DeviceId, DeviceRecordOf, DeviceStatus, Devices,
    Error, Event, HeadPages, LastTrusted, Pallet, RetirementDelay, StatusChangeCount,
    StatusChanges, SuspensionReason, TrustedHead,
};
use core::cmp::Ordering;
use frame_support::{ensure, traits::Get};
use pallet_studies::StudyId;
use sp_runtime::{traits::Saturating, AccountId32, DispatchResult};

type Studies<T> = pallet_studies::Pallet<T>;

/// On whose behalf the status of a device is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Office {
    Sponsor,
    AuthenticationServer,
}

/// A device as it is now: retired, if it was to retire by this block.
pub(crate) struct Device<T: Config> {
    id: DeviceId,
    pub(crate) head: DeviceHead,
    pub(crate) record: DeviceRecordOf<T>,
    /// Whether it has retired by the passing of time, and nobody has written that down.
    has_come_due: bool,
}

impl<T: Config> Device<T> {
    pub(crate) fn of(id: DeviceId) -> Result<Self, Error<T>> {
        let head = Pallet::<T>::head_of(id).ok_or(Error::<T>::UnknownDevice)?;
        let record = Devices::<T>::get(id).ok_or(Error::<T>::UnknownDevice)?;
        let now = frame_system::Pallet::<T>::block_number();
        let has_come_due = record.retires_at.is_some_and(|from| from <= now);
        let mut device = Self {
            id,
            head,
            record,
            has_come_due,
        };
        if has_come_due {
            // It has been suspended since, so what was its latest entry then still is.
            device.retire(TrustedHead {
                length: head.length,
                hash: head.hash,
            });
        }
        Ok(device)
    }

    fn retire(&mut self, trusted: TrustedHead) {
        self.head.status = DeviceStatus::Retired;
        self.record.trusted = Some(trusted);
        self.record.retires_at = None;
    }

    /// Writes it, and reports a retirement that has come due.
    pub(crate) fn write(self) {
        if self.has_come_due {
            self.report_retirement();
        }
        let (page, slot) = position(self.id);
        HeadPages::<T>::mutate(page, |heads| {
            if let Some(head) = heads.as_mut().and_then(|heads| heads.get_mut(slot)) {
                *head = self.head;
            }
        });
        Devices::<T>::insert(self.id, self.record);
    }

    fn report_retirement(&self) {
        if let Some(trusted) = self.record.trusted {
            Pallet::<T>::deposit_event(Event::DeviceRetired {
                device: self.id,
                trusted_length: trusted.length,
                trusted_head: trusted.hash,
            });
        }
    }
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_suspend(
        who: &AccountId32,
        id: DeviceId,
        reason: SuspensionReason,
    ) -> DispatchResult {
        ensure!(reason != SuspensionReason::Fork, Error::<T>::ForkNeedsProof);
        let (mut device, office) = Self::device_of_office(who, id)?;
        ensure!(
            device.head.status == DeviceStatus::Active,
            Error::<T>::NotActive
        );
        Self::count_change(device.head.study, who, office)?;
        device.head.status = DeviceStatus::Suspended(reason);
        device.write();
        Self::deposit_event(Event::DeviceSuspended { device: id, reason });
        Ok(())
    }

    pub(crate) fn do_resume(who: &AccountId32, id: DeviceId) -> DispatchResult {
        let (mut device, office) = Self::device_of_office(who, id)?;
        match device.head.status {
            DeviceStatus::Suspended(SuspensionReason::Fork) => {
                return Err(Error::<T>::ForkedDeviceCannotResume.into())
            }
            DeviceStatus::Suspended(_) => (),
            _ => return Err(Error::<T>::NotSuspended.into()),
        }
        ensure!(
            device.record.retires_at.is_none(),
            Error::<T>::RetirementPending
        );
        ensure!(!Self::is_erased(id), Error::<T>::DeviceErased);
        Self::count_change(device.head.study, who, office)?;
        device.head.status = DeviceStatus::Active;
        device.write();
        Self::deposit_event(Event::DeviceResumed { device: id });
        Ok(())
    }

    pub(crate) fn do_retire(
        who: &AccountId32,
        id: DeviceId,
        last_trusted: LastTrusted,
    ) -> DispatchResult {
        let (device, office) = Self::device_of_office(who, id)?;
        if device.head.status == DeviceStatus::Retired {
            // A server may come again to have it written down. Nobody can say anything else of it any more.
            let is_the_same = device.has_come_due
                && office == Office::AuthenticationServer
                && last_trusted == LastTrusted::Latest;
            ensure!(is_the_same, Error::<T>::DeviceRetired);
            device.write();
            return Ok(());
        }
        match office {
            Office::Sponsor => Self::retire_at_once(device, last_trusted),
            Office::AuthenticationServer => Self::retire_later(who, device, last_trusted),
        }
    }

    pub(crate) fn do_veto_retirement(who: &AccountId32, id: DeviceId) -> DispatchResult {
        let (mut device, office) = Self::device_of_office(who, id)?;
        ensure!(office == Office::Sponsor, Error::<T>::OnlyTheSponsor);
        ensure!(
            device.record.retires_at.is_some(),
            Error::<T>::NoRetirementPending
        );
        device.record.retires_at = None;
        device.write();
        Self::deposit_event(Event::RetirementVetoed { device: id });
        Ok(())
    }

    fn retire_at_once(mut device: Device<T>, last_trusted: LastTrusted) -> DispatchResult {
        let trusted = match last_trusted {
            LastTrusted::Latest => TrustedHead {
                length: device.head.length,
                hash: device.head.hash,
            },
            LastTrusted::Nothing => TrustedHead {
                length: 0,
                hash: device.record.genesis,
            },
            LastTrusted::Entry(index) => Self::journal_entry(index)
                .filter(|entry| entry.device == device.id)
                .map(|entry| TrustedHead {
                    length: entry.sequence,
                    hash: entry.hash,
                })
                .ok_or(Error::<T>::NotAnEntryOfThisDevice)?,
        };
        device.retire(trusted);
        device.report_retirement();
        device.write();
        Ok(())
    }

    /// Suspends the device if it is not suspended, and notes from when on it is retired.
    fn retire_later(
        who: &AccountId32,
        mut device: Device<T>,
        last_trusted: LastTrusted,
    ) -> DispatchResult {
        ensure!(
            last_trusted == LastTrusted::Latest,
            Error::<T>::OnlyTheSponsor
        );
        ensure!(
            device.record.retires_at.is_none(),
            Error::<T>::RetirementPending
        );
        Self::count_change(device.head.study, who, Office::AuthenticationServer)?;
        let id = device.id;
        let now = frame_system::Pallet::<T>::block_number();
        let retires_at = now.saturating_add(RetirementDelay::<T>::get());
        let is_active = device.head.status == DeviceStatus::Active;
        let reason = SuspensionReason::Administrative;
        if is_active {
            device.head.status = DeviceStatus::Suspended(reason);
        }
        device.record.retires_at = Some(retires_at);
        device.write();
        if is_active {
            Self::deposit_event(Event::DeviceSuspended { device: id, reason });
        }
        Self::deposit_event(Event::RetirementPending {
            device: id,
            retires_at,
        });
        Ok(())
    }

    /// Counts a change of a device's status, which an authentication server may make only so often. The sponsor may always.
    fn count_change(study: StudyId, who: &AccountId32, office: Office) -> Result<(), Error<T>> {
        if office == Office::Sponsor {
            return Ok(());
        }
        let now = frame_system::Pallet::<T>::block_number();
        let window = now / T::StatusWindow::get().into();
        StatusChanges::<T>::try_mutate(study, who, |changes| {
            if changes.window != window {
                *changes = StatusChangeCount { window, count: 0 };
            }
            ensure!(
                changes.count < T::MaxStatusChanges::get(),
                Error::<T>::TooManyStatusChanges
            );
            changes.count += 1;
            Ok(())
        })
    }

    /// Counts what one server of a study has changed, and what it has brought, as what another one has.
    pub fn carry_on(study: StudyId, former: &AccountId32, successor: &AccountId32) {
        again::carry_on::<T>(study, former, successor);
        let made = StatusChanges::<T>::take(study, former);
        if made.count == 0 {
            return;
        }
        StatusChanges::<T>::mutate(study, successor, |own| match own.window.cmp(&made.window) {
            Ordering::Less => *own = made,
            Ordering::Equal => {
                let both = own.count.saturating_add(made.count);
                own.count = both.min(T::MaxStatusChanges::get());
            }
            Ordering::Greater => (),
        });
    }

    /// A device, for an account that may change its status.
    pub(crate) fn device_of_office(
        who: &AccountId32,
        id: DeviceId,
    ) -> Result<(Device<T>, Office), Error<T>> {
        let device = Device::<T>::of(id)?;
        let office = Self::office(device.head.study, who)?;
        Ok((device, office))
    }

    fn office(study: StudyId, who: &AccountId32) -> Result<Office, Error<T>> {
        if Studies::<T>::is_sponsor(study, who) {
            Ok(Office::Sponsor)
        } else if Studies::<T>::is_authentication_server(study, who) {
            Ok(Office::AuthenticationServer)
        } else {
            Err(Error::<T>::NotTheStudysOffice)
        }
    }
}
