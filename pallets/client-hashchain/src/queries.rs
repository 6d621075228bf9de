// SPDX-License-Identifier: Apache-2.0

//! Answers of the runtime API, in the words of the protocol instead of the storage layout.

use crate::{
    status::Device, walk::Walk, Config, ConflictOf, Conflicts, DeviceByKey, DeviceConflicts,
    DeviceId, DeviceStatus, Devices, EntryIndex, HeadPages, JournalEntry, JournalLength,
    JournalPages, Pallet, RetirementDelay, ENTRIES_PER_PAGE,
};
use alloc::{vec, vec::Vec};
use pallet_client_hashchain_runtime_api::{
    ConflictView, ConflictsView, DeviceState, DeviceView, EntriesPage, EntryView, HeadView,
    StudyView,
};
use pallet_studies::{StudyId, StudyPolicy, StudyStatus};
use sp_runtime::{traits::UniqueSaturatedInto, AccountId32};

/// Most entries in one answer.
pub(crate) const MAX_ANSWER: u32 = 1_024;
/// Most pages of the journal that one answer reads, each of which costs a node 4 to 30 µs.
pub(crate) const MAX_PAGES: u32 = 1_024;

impl<T: Config> Pallet<T> {
    /// All that the chain knows about a device.
    pub fn device_view(id: DeviceId) -> Option<DeviceView> {
        let Device { head, record, .. } = Device::<T>::of(id).ok()?;
        Some(DeviceView {
            device: id,
            study: head.study,
            key: record.key,
            secret_commitment: record.secret_commitment,
            escrow: record.escrow.into_inner(),
            auditor_epoch: record.auditor_epoch,
            participant: record.participant,
            genesis: record.genesis,
            state: match head.status {
                DeviceStatus::Active => DeviceState::Active,
                DeviceStatus::Suspended(_) => DeviceState::Suspended,
                DeviceStatus::Retired => DeviceState::Retired,
            },
            length: head.length,
            head: head.hash,
            predecessor: record.predecessor,
            successor: record.successor,
            trusted_length: record.trusted.map(|trusted| trusted.length),
            enrolled_at: record.enrolled_at.unique_saturated_into(),
            retires_at: record.retires_at.map(|block| block.unique_saturated_into()),
        })
    }

    /// Blocks until a retirement holds that an authentication server asks for.
    pub fn retirement_delay() -> u32 {
        RetirementDelay::<T>::get().unique_saturated_into()
    }

    /// The device that enrolled with this key.
    pub fn device_by_key(key: [u8; 32]) -> Option<DeviceId> {
        DeviceByKey::<T>::get(key)
    }

    /// The head that the device's next run must follow.
    pub fn head_view(device: DeviceId) -> Option<HeadView> {
        Self::head_of(device).map(|head| HeadView {
            hash: head.hash,
            length: head.length,
            latest: head.latest(),
        })
    }

    /// Up to `count` entries of a device from sequence `from` on, newest first, in parts: from the head back, or from the
    /// device's entry at the index `at` of the journal.
    pub fn entries_view(
        device: DeviceId,
        from: u64,
        count: u32,
        at: Option<EntryIndex>,
    ) -> EntriesPage {
        let mut page = EntriesPage::default();
        if count == 0 {
            return page;
        }
        let from = from.max(1);
        let until = from.saturating_add(count.into());
        let mut walk = Walk::<T>::with_budget(MAX_PAGES);
        page.next = at.or_else(|| Self::head_of(device)?.latest());
        while let Some(index) = page.next {
            if page.entries.len() == MAX_ANSWER as usize {
                break;
            }
            let Some(entry) = walk.entry(index) else {
                // If there was enough budget, the entry was never written or has left the state.
                page.next = page.next.filter(|_| walk.is_spent());
                break;
            };
            if entry.device != device || entry.sequence < from {
                page.next = None;
                break;
            }
            if entry.sequence < until {
                page.entries.push(view(index, entry));
            }
            page.next = entry.previous.filter(|_| entry.sequence > from);
        }
        page
    }

    /// Up to `count` entries of the whole chain from journal index `from` on.
    pub fn journal_view(from: EntryIndex, count: u32) -> Vec<EntryView> {
        let until =
            JournalLength::<T>::get().min(from.saturating_add(count.min(MAX_ANSWER).into()));
        let per_page = u64::from(ENTRIES_PER_PAGE);
        (from / per_page..until.div_ceil(per_page))
            .flat_map(|page| {
                let entries = JournalPages::<T>::get(page).unwrap_or_default();
                (page * per_page..).zip(entries)
            })
            .filter(|(index, _)| (from..until).contains(index))
            .map(|(index, entry)| view(index, entry))
            .collect()
    }

    /// Number of entries ever registered.
    pub fn journal_length() -> EntryIndex {
        JournalLength::<T>::get()
    }

    /// The rival histories that were brought for a device.
    pub fn conflicts_view(device: DeviceId) -> ConflictsView<AccountId32> {
        let DeviceConflicts { stored, not_stored } = Conflicts::<T>::get(device);
        let view = |conflict: ConflictOf<T>| ConflictView {
            sequence: conflict.sequence,
            recorded: conflict.recorded,
            rival: conflict.rival,
            rival_digest: conflict.rival_digest,
            signed: conflict.signed,
            submitter: conflict.submitter,
            block: conflict.block.unique_saturated_into(),
        };
        ConflictsView {
            stored: stored.into_iter().map(view).collect(),
            not_stored,
        }
    }

    /// A study and its rules.
    pub fn study_view(study: StudyId) -> Option<StudyView<AccountId32>> {
        pallet_studies::Pallet::<T>::study(study).map(|study| StudyView {
            sponsor: study.sponsor,
            device_signed: study.policy == StudyPolicy::DeviceSigned,
            open: study.status == StudyStatus::Open,
            auditor_key: study.auditor_key,
            title: study.title.into_inner(),
            former_auditor_keys: study.former_auditor_keys.into_inner(),
        })
    }

    /// The storage keys whose values prove the head of a device against a state root.
    pub fn head_proof_keys(device: DeviceId) -> Vec<Vec<u8>> {
        let (page, _) = crate::devices::position(device);
        vec![
            HeadPages::<T>::hashed_key_for(page),
            Devices::<T>::hashed_key_for(device),
        ]
    }
}

fn view(index: EntryIndex, entry: JournalEntry) -> EntryView {
    EntryView {
        index,
        device: entry.device,
        sequence: entry.sequence,
        digest: entry.digest,
        hash: entry.hash,
        previous: entry.previous,
    }
}
