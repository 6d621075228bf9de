// SPDX-License-Identifier: Apache-2.0

//! What must hold between any two calls.

use crate::{
    again::COPIES, devices::position, Config, Conflicts, DeviceByKey, DeviceConflictsOf, DeviceId,
    DeviceStatus, Devices, EntriesBrought, EntriesBroughtAgain, Erasures, FirstIndexOfBlock,
    FirstJournalPage, HeadPages, JournalLength, JournalPages, KeyPages, NextDeviceId, Pallet,
    StatusChanges, ENTRIES_PER_PAGE, HEADS_PER_PAGE,
};
use alloc::{collections::BTreeSet, vec::Vec};
use frame_support::{ensure, traits::Get};
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
    /// Checks every invariant of the pallet's state.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let devices = NextDeviceId::<T>::get();
        Self::check_pages(devices)?;
        for device in 0..devices {
            Self::check_device(device)?;
            Self::check_entries(device)?;
        }
        ensure!(
            Devices::<T>::iter_keys().count() == devices as usize
                && DeviceByKey::<T>::iter_keys().count() == devices as usize,
            "there is a record or a key for a number that was never given out"
        );
        ensure!(
            StatusChanges::<T>::iter_values()
                .all(|changes| changes.count <= T::MaxStatusChanges::get()),
            "a server has changed the status of more devices than it may"
        );
        ensure!(
            Erasures::<T>::iter_keys().all(|device| {
                let head = Self::head_of(device);
                head.is_some_and(|head| head.status != DeviceStatus::Active)
            }),
            "a device whose data were erased may register entries, or does not exist"
        );
        let registered = |study| pallet_studies::Pallet::<T>::quota(study).used.entries;
        ensure!(
            EntriesBrought::<T>::iter().all(|(study, _, brought)| brought <= registered(study))
                && EntriesBroughtAgain::<T>::iter()
                    .all(|(study, again)| again <= registered(study).saturating_mul(COPIES)),
            "more entries of a study were brought, or brought again, than it has for that"
        );
        Conflicts::<T>::iter().try_for_each(|(device, conflicts)| {
            ensure!(
                device < devices,
                "there is a conflict of a device that does not exist"
            );
            Self::check_conflicts(&conflicts)
        })
    }

    /// Unsigned rivals have taken no place but their own, and none is stored twice.
    fn check_conflicts(conflicts: &DeviceConflictsOf<T>) -> Result<(), TryRuntimeError> {
        let unsigned: Vec<_> = conflicts
            .stored
            .iter()
            .filter(|conflict| !conflict.signed)
            .collect();
        let submitters: BTreeSet<_> = unsigned
            .iter()
            .map(|unsigned| &unsigned.submitter)
            .collect();
        ensure!(
            unsigned.len() <= T::MaxUnsignedConflicts::get() as usize
                && submitters.len() == unsigned.len(),
            "unsigned rivals have more places than they may"
        );
        let rivals: BTreeSet<_> = conflicts
            .stored
            .iter()
            .map(|conflict| (conflict.sequence, conflict.rival, conflict.signed))
            .collect();
        ensure!(
            rivals.len() == conflicts.stored.len(),
            "a rival is stored twice"
        );
        Ok(())
    }

    /// Pages are dense: every page but the last is full.
    fn check_pages(devices: DeviceId) -> Result<(), TryRuntimeError> {
        let expected = |page| {
            let left = devices.saturating_sub(page * HEADS_PER_PAGE);
            left.min(HEADS_PER_PAGE) as usize
        };
        ensure!(
            HeadPages::<T>::iter().all(|(page, heads)| heads.len() == expected(page)),
            "a head page does not hold exactly its own devices"
        );
        ensure!(
            KeyPages::<T>::iter().all(|(page, keys)| keys.len() == expected(page)),
            "a page of keys does not hold exactly those of its own devices"
        );
        let length = JournalLength::<T>::get();
        ensure!(
            FirstIndexOfBlock::<T>::get() <= length,
            "this block begins after the end of the journal"
        );
        let per_page = u64::from(ENTRIES_PER_PAGE);
        for (page, entries) in JournalPages::<T>::iter() {
            let expected = length.saturating_sub(page * per_page).min(per_page);
            ensure!(
                page >= FirstJournalPage::<T>::get() && entries.len() as u64 == expected,
                "a journal page does not hold exactly its own entries"
            );
        }
        Ok(())
    }

    fn check_device(device: DeviceId) -> Result<(), TryRuntimeError> {
        let head = Self::head_of(device).ok_or("a device has no head")?;
        let record = Devices::<T>::get(device).ok_or("a device has no record")?;
        ensure!(
            DeviceByKey::<T>::get(record.key) == Some(device),
            "a device's key does not lead to it"
        );
        let (page, slot) = position(device);
        ensure!(
            KeyPages::<T>::get(page).is_some_and(|keys| keys.get(slot) == Some(&record.key)),
            "runs are checked with another key than the device's own"
        );
        ensure!(
            pallet_studies::Pallet::<T>::study(head.study)
                .is_some_and(|study| record.auditor_epoch <= study.auditor_epoch()),
            "a device is of an epoch that its study's auditor key did not reach"
        );
        ensure!(
            head.length > 0 || head.latest == 0,
            "a device without entries has a latest one"
        );
        ensure!(
            head.length > 0 || head.hash == record.genesis,
            "a device without entries is not at its link 0"
        );
        ensure!(
            record.trusted.is_some() == (head.status == DeviceStatus::Retired),
            "exactly the retired devices have a trusted head"
        );
        ensure!(
            record
                .trusted
                .is_none_or(|trusted| trusted.length <= head.length),
            "more entries are trusted than there are"
        );
        ensure!(
            record.retires_at.is_none() || matches!(head.status, DeviceStatus::Suspended(_)),
            "a device that is to retire is not suspended"
        );
        let is_link_back = |other: Option<DeviceId>| other == Some(device);
        ensure!(
            record.predecessor.is_none_or(|predecessor| is_link_back(
                Devices::<T>::get(predecessor).and_then(|record| record.successor)
            )) && record.successor.is_none_or(|successor| is_link_back(
                Devices::<T>::get(successor).and_then(|record| record.predecessor)
            )),
            "predecessor and successor do not name each other"
        );
        Ok(())
    }

    /// Walks back from the head: sequences are dense, and the walk ends at the first entry or at what left the state.
    fn check_entries(device: DeviceId) -> Result<(), TryRuntimeError> {
        let head = Self::head_of(device).ok_or("a device has no head")?;
        let first_kept = FirstJournalPage::<T>::get() * u64::from(ENTRIES_PER_PAGE);
        let (mut sequence, mut next) = (head.length, head.latest());
        while let Some(index) = next {
            if index < first_kept {
                return Ok(());
            }
            let entry = Self::journal_entry(index).ok_or("the journal has a hole")?;
            ensure!(
                entry.device == device && entry.sequence == sequence,
                "the journal does not lead from a device's head to its own entries"
            );
            ensure!(
                sequence != head.length || entry.hash == head.hash,
                "the latest entry is not the head"
            );
            sequence -= 1;
            next = entry.previous;
        }
        ensure!(
            sequence == 0,
            "a device's entries do not reach back to its first"
        );
        Ok(())
    }
}
