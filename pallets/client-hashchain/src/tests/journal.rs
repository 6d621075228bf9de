// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, FirstJournalPage, JournalPages, JOURNAL_ENGINE};
use codec::Encode;
use frame_support::{assert_ok, traits::Hooks};
use sp_runtime::DigestItem;

#[test]
fn the_journal_fills_pages_of_64_and_never_changes_a_full_one() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(60);
        phone.registered(10);
        let full = JournalPages::<Test>::get(0).expect("written");
        assert_eq!(full.len(), 64);
        phone.registered(200);
        assert_eq!(JournalPages::<Test>::get(0), Some(full));
        assert_eq!(
            JournalPages::<Test>::get(4).map(|page| page.len()),
            Some(14)
        );
    });
}

#[test]
fn the_runtime_api_walks_a_devices_entries_among_those_of_others() {
    run(|| {
        let (mut phone, mut other) = (Phone::enrolled(SIGNED, 1), Phone::enrolled(SIGNED, 2));
        for _ in 0..30 {
            phone.registered(2);
            other.registered(3);
        }
        let page = |device, from, count| {
            let page = HashchainPallet::entries_view(device, from, count, None);
            assert_eq!(page.next, None, "that was all");
            page.entries
        };
        let entries = page(phone.id, 11, 7);
        assert_eq!(
            entries
                .iter()
                .map(|entry| entry.sequence)
                .collect::<Vec<_>>(),
            (11..18).rev().collect::<Vec<_>>()
        );
        assert!(entries.iter().all(|entry| entry.device == phone.id));
        assert_eq!(page(phone.id, 0, 1000).len(), 60);
        assert!(page(phone.id, 61, 10).is_empty());
        assert!(page(phone.id, 1, 0).is_empty());
        assert!(page(77, 1, 10).is_empty());

        let journal = HashchainPallet::journal_view(62, 5);
        assert_eq!(
            journal.iter().map(|entry| entry.index).collect::<Vec<_>>(),
            (62..67).collect::<Vec<_>>()
        );
        assert_eq!(HashchainPallet::journal_view(148, 99).len(), 2);
        assert!(HashchainPallet::journal_view(u64::MAX, 99).is_empty());
    });
}

#[test]
fn pages_older_than_the_retention_leave_the_state() {
    run(|| {
        JournalRetention::set(Some(100));
        let mut phone = Phone::enrolled(SIGNED, 1);
        for _ in 0..10 {
            phone.registered(64);
        }
        assert_eq!(FirstJournalPage::<Test>::get(), 7);
        assert!(JournalPages::<Test>::get(6).is_none());
        assert!(JournalPages::<Test>::get(7).is_some());
        // What is left is still read, and the chain goes on.
        let page = HashchainPallet::entries_view(phone.id, 1, 1000, None);
        assert_eq!((page.entries.len(), page.next), (192, None));
        assert_ok!(submit(RELAY, phone.run(1, 0)));
    });
}

#[test]
fn a_retention_that_was_shortened_is_reached_step_by_step() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        for _ in 0..6 {
            phone.registered(64);
        }
        JournalRetention::set(Some(64));
        phone.registered(64);
        assert_eq!(FirstJournalPage::<Test>::get(), 2);
        phone.registered(64);
        phone.registered(64);
        assert_eq!(FirstJournalPage::<Test>::get(), 6);
    });
}

#[test]
fn views_answer_in_the_words_of_the_protocol() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        let device = HashchainPallet::device_view(phone.id).expect("enrolled");
        assert_eq!(
            (device.length, device.head, device.key, device.study),
            (2, phone.head, phone.pair_key(), SIGNED)
        );
        let head = HashchainPallet::head_view(phone.id).expect("enrolled");
        assert_eq!((head.length, head.latest), (2, Some(1)));
        assert_eq!(
            HashchainPallet::device_by_key(phone.pair_key()),
            Some(phone.id)
        );
        let study = HashchainPallet::study_view(SIGNED).expect("in genesis");
        assert!(study.device_signed && study.open);
        assert_eq!(HashchainPallet::device_view(9), None);
        assert_eq!(HashchainPallet::study_view(9), None);
        assert_eq!(HashchainPallet::journal_length(), 2);
        for key in HashchainPallet::head_proof_keys(phone.id) {
            assert!(sp_io::storage::get(&key).is_some());
        }
    });
}

#[test]
fn a_header_says_how_long_the_journal_is_after_its_block() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        for length in [0u64, 5] {
            if length > 0 {
                phone.registered(5);
            }
            HashchainPallet::on_finalize(1);
            let logs = frame_system::Pallet::<Test>::digest().logs;
            let item = DigestItem::Consensus(JOURNAL_ENGINE, length.encode());
            assert_eq!(logs.last(), Some(&item));
        }
    });
}
