// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::*,
    pages::{Place, Touched, WorkingPages, SUSPENDED},
    DeviceHead, DeviceStatus, HeadPages, SuspensionReason, HEADS_PER_PAGE,
};
use codec::{Encode, MaxEncodedLen};
use scale_info::{TypeDef, TypeInfo};
use sp_core::H256;

/// A head of every length that there is.
fn heads() -> Vec<DeviceHead> {
    let mut heads = Vec::new();
    for status in [
        DeviceStatus::Active,
        DeviceStatus::Suspended(SuspensionReason::Fork),
        DeviceStatus::Retired,
    ] {
        for latest in [None, Some(u64::MAX - 7)] {
            for signer in [None, Some([9; 32])] {
                heads.push(DeviceHead {
                    study: 7,
                    status,
                    length: 3,
                    latest,
                    hash: H256([5; 32]),
                    signer,
                });
            }
        }
    }
    heads
}

#[test]
fn every_head_is_found_in_its_page_without_decoding() {
    let page = heads().encode();
    let mut end = 1;
    for head in heads() {
        let place = Place::at(&page, end).expect("there is one more");
        assert_eq!(page[place.bytes.clone()], head.encode());
        assert_eq!(place.latest, head.latest);
        for cut in place.bytes.clone() {
            assert_eq!(Place::at(&page[..cut], end), None);
        }
        end = place.bytes.end;
    }
    assert_eq!(Place::at(&page, end), None);
}

/// A change of the types of a head changes what [`Place`] must know by heart.
#[test]
fn a_head_has_the_lengths_that_its_place_is_reckoned_with() {
    let (study, status, length, latest, hash, signer) = (4, 2, 8, 1 + 8, 32, 1 + 32);
    assert_eq!(
        DeviceHead::max_encoded_len(),
        study + status + length + latest + hash + signer
    );
    let TypeDef::Variant(statuses) = DeviceStatus::type_info().type_def else {
        panic!("a status is one of several");
    };
    for status in statuses.variants {
        let carries = status.index == SUSPENDED;
        assert_eq!(status.fields.len(), usize::from(carries), "{}", status.name);
    }
    assert_eq!(SuspensionReason::max_encoded_len(), 1);
}

#[test]
fn any_head_can_take_the_place_of_any_other() {
    let all = heads();
    let mut pages: Vec<Vec<DeviceHead>> = vec![all.clone()];
    for (slot, head) in all.iter().rev().enumerate() {
        let mut page = pages[0].clone();
        page[slot] = *head;
        pages.push(page);
    }
    new_test_ext().execute_with(|| {
        HeadPages::<Test>::insert(0, crate::HeadPage::truncate_from(all.clone()));
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
fn pages_count_with_their_bytes_and_as_first_once_a_block() {
    let page = |signer, latest| {
        let head = DeviceHead {
            signer,
            latest,
            ..heads()[0]
        };
        crate::HeadPage::truncate_from(vec![head; HEADS_PER_PAGE as usize])
    };
    new_test_ext().execute_with(|| {
        let touched = |pages: core::ops::Range<u32>| {
            let mut working = WorkingPages::<Test>::new(5);
            for page in pages {
                working.head(page * HEADS_PER_PAGE);
            }
            working.touched()
        };
        let long = page(Some([9; 32]), Some(4)).encoded_size();
        for number in 0..8 {
            HeadPages::<Test>::insert(number, page(Some([9; 32]), Some(4)));
        }
        let eight = |bytes, first| Touched {
            bytes: 8 * bytes,
            first,
            first_bytes: first * bytes,
        };
        assert_eq!(touched(0..8), eight(long, 8));
        for number in 0..4 {
            HeadPages::<Test>::insert(number, page(Some([9; 32]), Some(5)));
        }
        assert_eq!(touched(0..8), eight(long, 4));
        let short = page(None, Some(4)).encoded_size();
        assert!(short < long);
        for number in 0..8 {
            HeadPages::<Test>::insert(number, page(None, Some(4)));
        }
        assert_eq!(touched(0..8), eight(short, 8));
        assert_eq!(touched(0..0), eight(0, 0));
    });
}
