// SPDX-License-Identifier: Apache-2.0

//! The entries of a device, asked for in parts, on journals that are longer than one call may walk.

use crate::{
    mock::*,
    queries::{MAX_ANSWER, MAX_PAGES},
    DeviceId, EntryIndex, HeadPages, JournalEntry, JournalLength, JournalPages, ENTRIES_PER_PAGE,
};
use sp_core::H256;

/// Enrols two phones and writes a journal of so many pages. The first phone has an entry every `stride` places, the other
/// has the rest.
fn journal(pages: u64, stride: u64) -> (DeviceId, DeviceId) {
    let phones = [Phone::enrolled(SIGNED, 1), Phone::enrolled(SIGNED, 2)];
    let (one, other) = (phones[0].id, phones[1].id);
    let (mut latest, mut length) = ([None; 2], [0; 2]);
    for page in 0..pages {
        let indices = page * u64::from(ENTRIES_PER_PAGE)..(page + 1) * u64::from(ENTRIES_PER_PAGE);
        let entries = indices.map(|index| {
            let whose = usize::from(index % stride != 0);
            length[whose] += 1;
            JournalEntry {
                device: [one, other][whose],
                sequence: length[whose],
                digest: H256::from_low_u64_be(index),
                hash: H256::repeat_byte(7),
                previous: latest[whose].replace(index),
            }
        });
        let entries: Vec<JournalEntry> = entries.collect();
        JournalPages::<Test>::insert(page, frame_support::BoundedVec::truncate_from(entries));
    }
    JournalLength::<Test>::put(pages * u64::from(ENTRIES_PER_PAGE));
    HeadPages::<Test>::mutate(0, |heads| {
        let heads = heads.as_mut().expect("two phones are enrolled");
        for (whose, device) in [one, other].into_iter().enumerate() {
            let head = &mut heads[device as usize];
            (head.latest, head.length) = (latest[whose].unwrap_or(0), length[whose]);
        }
    });
    (one, other)
}

/// All that is asked for, part by part, oldest first, and how many calls it took.
fn in_parts(device: DeviceId, from: u64, count: u32) -> (Vec<u64>, u32) {
    let (mut sequences, mut at, mut calls) = (Vec::new(), None, 0);
    loop {
        let page = HashchainPallet::entries_view(device, from, count, at);
        calls += 1;
        assert!(page.entries.len() <= MAX_ANSWER as usize);
        assert!(page.entries.iter().all(|entry| entry.device == device));
        sequences.extend(page.entries.iter().map(|entry| entry.sequence));
        // Every part leads further back, so that they end.
        assert!(page.next.is_none_or(|next| at.is_none_or(|at| next < at)));
        at = page.next;
        if at.is_none() {
            sequences.reverse();
            return (sequences, calls);
        }
    }
}

#[test]
fn one_call_reads_so_many_pages_and_says_where_to_go_on() {
    new_test_ext().execute_with(|| {
        let pages = 2 * u64::from(MAX_PAGES) + 10;
        let per_page = u64::from(ENTRIES_PER_PAGE);
        let (one, other) = journal(pages, per_page);
        // One entry on each page: the oldest is out of reach of two calls.
        let page = HashchainPallet::entries_view(one, 1, 1, None);
        assert_eq!(page.entries, []);
        let read = pages - u64::from(MAX_PAGES);
        assert_eq!(page.next, Some((read - 1) * per_page));
        assert_eq!(in_parts(one, 1, 1), (vec![1], 3));
        assert_eq!(in_parts(one, 5, 3), (vec![5, 6, 7], 3));
        assert_eq!(in_parts(one, pages, 1), (vec![pages], 1));
        assert_eq!(in_parts(one, pages + 1, 9), (vec![], 1));
        // All of them: each call gives as many as it has read.
        assert_eq!(
            in_parts(one, 1, u32::MAX),
            ((1..=pages).collect::<Vec<_>>(), 3)
        );
        // Where they lie side by side, a call walks further and answers no more.
        let length = pages * (per_page - 1);
        assert_eq!(in_parts(other, 1, 1), (vec![1], 3));
        let calls = length.div_ceil(u64::from(MAX_ANSWER)) as u32;
        assert_eq!(
            in_parts(other, 0, u32::MAX),
            ((1..=length).collect::<Vec<_>>(), calls)
        );
    });
}

#[test]
fn an_answer_can_be_gone_on_with_from_any_entry_of_the_device_and_from_no_other() {
    new_test_ext().execute_with(|| {
        let (one, other) = journal(4, 10);
        let sequences = |device, at: EntryIndex| {
            let page = HashchainPallet::entries_view(device, 1, u32::MAX, Some(at));
            assert_eq!(page.next, None);
            page.entries
                .iter()
                .map(|entry| entry.sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(sequences(one, 30), [4, 3, 2, 1]);
        assert_eq!(sequences(other, 4), [4, 3, 2, 1]);
        for foreign in [31, 256, u64::MAX] {
            assert_eq!(sequences(one, foreign), [0; 0]);
        }
        assert_eq!(sequences(77, 0), [0; 0]);
    });
}

/// `cargo test --release -p pallet-client-hashchain longest -- --ignored --nocapture` says how long the longest walk
/// takes, natively, over a trie in memory.
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "what it measures is what it is for")]
fn how_long_the_longest_walk_of_one_call_takes() {
    let mut ext = new_test_ext();
    let (one, other) = ext.execute_with(|| journal(23_000, u64::from(ENTRIES_PER_PAGE)));
    ext.commit_all().expect("it is kept in memory");
    ext.execute_with(|| {
        for (what, device, count) in [
            ("one entry a page, the first of them", one, 1),
            ("one entry a page, as many as one answer has", one, u32::MAX),
            ("side by side, the first of them", other, 1),
            ("side by side, as many as one answer has", other, u32::MAX),
        ] {
            let began = std::time::Instant::now();
            let page = HashchainPallet::entries_view(device, 1, count, None);
            let took = began.elapsed();
            println!("{what}: {} entries in {took:.1?}", page.entries.len());
            assert!(took.as_millis() < 100);
        }
    });
}
