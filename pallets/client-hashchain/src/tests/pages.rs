// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::*,
    pages::{latest, Touched, WorkingPages},
    DeviceHead, DeviceStatus, HeadPage, HeadPages, KeyPage, KeyPages, SuspensionReason,
    HEADS_PER_PAGE,
};
use codec::{Decode, Encode, MaxEncodedLen};
use sp_core::H256;

/// A head of every status there is, and with and without entries.
fn heads() -> Vec<DeviceHead> {
    let suspended = [
        SuspensionReason::Lost,
        SuspensionReason::Compromised,
        SuspensionReason::Withdrawn,
        SuspensionReason::Administrative,
        SuspensionReason::Fork,
    ];
    let statuses = suspended.map(DeviceStatus::Suspended);
    let statuses = statuses
        .into_iter()
        .chain([DeviceStatus::Active, DeviceStatus::Retired]);
    statuses
        .flat_map(|status| [(0, 0), (3, u64::MAX - 7)].map(|entries| (status, entries)))
        .map(|(status, (length, latest))| DeviceHead {
            length,
            latest,
            hash: H256([5; 32]),
            study: 7,
            status,
        })
        .collect()
}

fn page_of(head: DeviceHead) -> HeadPage {
    HeadPage::truncate_from(vec![head; HEADS_PER_PAGE as usize])
}

#[test]
fn all_heads_have_the_same_length_and_begin_with_how_far_they_have_come() {
    assert_eq!(DeviceHead::max_encoded_len(), DeviceHead::BYTES);
    for head in heads() {
        let bytes = head.encode();
        assert_eq!(bytes.len(), DeviceHead::BYTES);
        assert_eq!(DeviceHead::decode(&mut &bytes[..]), Ok(head));
        assert_eq!(latest(&bytes), head.latest());
    }
    assert_eq!(latest(&[1; 15]), None);
}

#[test]
fn no_two_statuses_are_stored_alike() {
    let stored: std::collections::BTreeSet<_> =
        heads().iter().map(|head| head.status.encode()).collect();
    assert_eq!(stored.len(), heads().len() / 2);
}

#[test]
fn any_head_can_take_the_place_of_any_other() {
    let all: Vec<_> = heads().into_iter().take(HEADS_PER_PAGE as usize).collect();
    let mut pages: Vec<Vec<DeviceHead>> = vec![all.clone()];
    for (slot, head) in all.iter().rev().enumerate() {
        let mut page = pages[0].clone();
        page[slot] = *head;
        pages.push(page);
    }
    new_test_ext().execute_with(|| {
        HeadPages::<Test>::insert(0, HeadPage::truncate_from(all.clone()));
        for expected in &pages[1..] {
            let mut working = WorkingPages::<Test>::new(0);
            let now = HeadPages::<Test>::get(0).expect("it stands there");
            for (device, head) in (0..).zip(expected) {
                assert_eq!(working.head(device), Some(now[device as usize]));
                working.set(device, head);
                assert_eq!(working.head(device), Some(*head));
            }
            assert_eq!(working.head(expected.len() as u32), None);
            working.write();
            assert_eq!(&HeadPages::<Test>::get(0).expect("still")[..], expected);
        }
    });
}

#[test]
fn every_device_has_its_own_key() {
    new_test_ext().execute_with(|| {
        let keys: Vec<_> = (1..=HEADS_PER_PAGE as u8)
            .map(|device| [device; 32])
            .collect();
        KeyPages::<Test>::insert(0, KeyPage::truncate_from(keys.clone()));
        KeyPages::<Test>::insert(1, KeyPage::truncate_from(vec![[99; 32]]));
        let mut working = WorkingPages::<Test>::new(0);
        for (device, key) in (0..).zip(keys) {
            assert_eq!(working.key(device), Some(key));
        }
        assert_eq!(working.key(HEADS_PER_PAGE), Some([99; 32]));
        assert_eq!(working.key(HEADS_PER_PAGE + 1), None);
        assert_eq!(working.key(u32::MAX), None);
    });
}

#[test]
fn pages_count_as_first_once_a_block() {
    let page = |latest| {
        page_of(DeviceHead {
            length: 1,
            latest,
            ..heads()[0]
        })
    };
    new_test_ext().execute_with(|| {
        let touched = |pages: core::ops::Range<u32>, keys: core::ops::Range<u32>| {
            let mut working = WorkingPages::<Test>::new(5);
            for page in pages {
                working.head(page * HEADS_PER_PAGE);
            }
            for page in keys {
                working.key(page * HEADS_PER_PAGE);
            }
            let Touched {
                all,
                first,
                first_keys,
            } = working.touched();
            (all, first, first_keys)
        };
        for number in 0..8 {
            HeadPages::<Test>::insert(number, page(4));
        }
        assert_eq!(touched(0..8, 0..0), (8, 8, 0));
        assert_eq!(touched(0..8, 2..5), (8, 8, 3));
        for number in 0..4 {
            HeadPages::<Test>::insert(number, page(5));
        }
        assert_eq!(touched(0..8, 2..5), (8, 4, 1));
        assert_eq!(touched(0..0, 0..0), (0, 0, 0));
    });
}
