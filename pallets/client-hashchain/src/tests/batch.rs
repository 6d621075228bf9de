// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::*, Config, Conflicts, DeviceStatus, Event, HeadPage, RefusalReason, SuspensionReason,
};
use codec::MaxEncodedLen;
use frame_support::{assert_ok, traits::Hooks, weights::RuntimeDbWeight};
use sp_core::H256;

fn status(device: u32) -> DeviceStatus {
    HashchainPallet::head_of(device).expect("enrolled").status
}

#[test]
fn each_run_of_a_batch_stands_or_falls_alone() {
    run(|| {
        let mut phones: Vec<_> = (0..40).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(2, 0)).collect();
        runs[7].sequence = 9;
        runs[33].signature = None;
        let events = submit_batch(RELAY, runs);
        assert_eq!(
            refusals(&events),
            [
                (7, RefusalReason::Gap),
                (33, RefusalReason::SignatureMissing)
            ]
        );
        assert_eq!(
            events.last(),
            Some(&Event::BatchProcessed {
                submitter: RELAY,
                recorded: 38,
                already_recorded: 0,
                refused: 2,
                first_index: 0,
                entries: 76,
            })
        );
        for phone in &phones {
            let head = HashchainPallet::head_of(phone.id).expect("enrolled");
            let registered = ![7, 33].contains(&phone.id);
            assert_eq!(head.hash == phone.head, registered);
        }
    });
}

#[test]
fn a_bad_signature_among_good_ones_falls_alone() {
    run(|| {
        let mut phones: Vec<_> = (0..40).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1, 0)).collect();
        runs[11].signature = runs[12].signature;
        let events = submit_batch(RELAY, runs);
        assert_eq!(refusals(&events), [(11, RefusalReason::BadSignature)]);
        assert_ok!(HashchainPallet::do_try_state());
    });
}

#[test]
fn signatures_that_had_to_be_checked_again_cost_more() {
    run(|| {
        let mut phones: Vec<_> = (0..8).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let mut used = |spoil: bool| {
            let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1, 0)).collect();
            if spoil {
                runs[7].signature = Some([7; 64]);
            }
            let runs: crate::Runs = runs.try_into().expect("short");
            let result = ClientHashchain::submit_batch(RuntimeOrigin::signed(RELAY), runs);
            let weight = result.expect("a batch succeeds").actual_weight;
            weight.expect("the weight is measured").ref_time()
        };
        // The first batch of a block pays for the page, too.
        used(false);
        let good = used(false);
        assert_eq!(used(true), good + 8);
    });
}

#[test]
fn a_wrong_run_has_no_signature_but_its_own_checked_again() {
    run(|| {
        let mut phones: Vec<_> = (0..8).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let mut used = |wrong: &[usize]| {
            let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1, 0)).collect();
            for place in wrong {
                // The device signed over another link than the one that this leads to.
                runs[*place].previous = H256([7; 32]);
            }
            let runs: crate::Runs = runs.try_into().expect("short");
            let result = ClientHashchain::submit_batch(RuntimeOrigin::signed(RELAY), runs);
            let weight = result.expect("a batch succeeds").actual_weight;
            weight.expect("the weight is measured").ref_time()
        };
        used(&[]);
        let good = used(&[]);
        assert_eq!(used(&[7]), good + 1);
        // Both lack the entry that was refused: a gap, which is refused before its signature is looked at.
        assert_eq!(used(&[6]), good + 1);
        let heads = (0..8).map(|device| HashchainPallet::head_of(device).expect("enrolled").length);
        assert_eq!(heads.collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 3, 2]);
        assert_ok!(HashchainPallet::do_try_state());
    });
}

#[test]
fn what_was_not_checked_together_is_not_taken_for_signed() {
    run(|| {
        let mut phones: Vec<_> = (0..8).map(|seed| Phone::enrolled(SIGNED, seed)).collect();
        let earlier: Vec<_> = phones.iter_mut().map(|phone| phone.run(2, 0)).collect();
        submit_batch(RELAY, earlier[..5].to_vec());
        let mut runs: Vec<_> = phones[..4]
            .iter_mut()
            .map(|phone| phone.run(1, 0))
            .collect();
        // Begins before the head and goes on from it, over a signature that somebody made up.
        let mut overlapping = earlier[4].clone();
        let further = phones[4].run(1, 0).entries.to_vec();
        overlapping.entries = [overlapping.entries.to_vec(), further]
            .concat()
            .try_into()
            .expect("short");
        overlapping.signature = Some([7; 64]);
        runs.push(overlapping);
        // A run of a device upon one that nobody signed.
        let mut unsigned = earlier[5].clone();
        unsigned.signature = None;
        runs.extend([unsigned, phones[5].run(1, 0)]);
        let events = submit_batch(RELAY, runs);
        assert_eq!(
            refusals(&events),
            [
                (4, RefusalReason::BadSignature),
                (5, RefusalReason::SignatureMissing),
                (6, RefusalReason::Gap),
            ]
        );
        assert_ok!(HashchainPallet::do_try_state());
    });
}

#[test]
fn runs_of_one_device_may_follow_each_other_in_one_batch() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let runs = vec![phone.run(2, 0), phone.run(3, 0), phone.run(1, 0)];
        let retry = runs[0].clone();
        let events = submit_batch(RELAY, [runs, vec![retry]].concat());
        assert_eq!(refusals(&events), []);
        let head = HashchainPallet::head_of(phone.id).expect("enrolled");
        assert_eq!((head.hash, head.length), (phone.head, 6));
        assert!(events.contains(&Event::RunAlreadyRecorded {
            device: phone.id,
            sequence: 1,
            entries: 2,
        }));
    });
}

#[test]
fn the_second_relay_confirms_what_the_first_has_registered() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let run = phone.registered(4);
        let events = submit_batch(SECOND_RELAY, vec![run]);
        assert!(matches!(
            events[..],
            [
                Event::RunAlreadyRecorded { .. },
                Event::BatchProcessed {
                    already_recorded: 1,
                    recorded: 0,
                    refused: 0,
                    entries: 0,
                    ..
                }
            ]
        ));
    });
}

#[docify::export]
#[test]
fn a_signed_fork_is_kept_as_evidence_and_suspends_the_device() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        // Malware copied key and secret; both write from here on (Figure 6).
        let mut thief = phone.clone();
        phone.registered(3);
        let rival = thief.run(2, 66);
        let events = submit_batch(RELAY, vec![rival.clone()]);

        assert_eq!(refusals(&events), [(0, RefusalReason::Fork)]);
        let conflicts = Conflicts::<Test>::get(phone.id).stored;
        assert_eq!(conflicts.len(), 1);
        assert_eq!(conflicts[0].sequence, 3, "the first entry that differs");
        assert_eq!(conflicts[0].rival_digest, Some(rival.entries[0].digest));
        assert!(conflicts[0].signed);
        assert_eq!(
            status(phone.id),
            DeviceStatus::Suspended(SuspensionReason::Fork)
        );
    });
}

#[test]
fn an_unsigned_rival_proves_nothing_where_signatures_are_asked_for() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut forged = phone.clone().run(2, 66);
        phone.registered(2);
        forged.signature = Some([0; 64]);
        let events = submit_batch(RELAY, vec![forged]);
        assert_eq!(refusals(&events), [(0, RefusalReason::Fork)]);
        assert!(Conflicts::<Test>::get(phone.id).stored.is_empty());
        assert_eq!(status(phone.id), DeviceStatus::Active);
    });
}

#[test]
fn under_the_papers_policy_a_rival_is_recorded_and_the_device_goes_on() {
    run(|| {
        let mut phone = Phone::enrolled(PAPER, 1);
        let mut thief = phone.clone();
        // The thief takes the head first (Figure 5); the phone's own run is the conflict.
        thief.registered(1);
        let mut own = phone.run(1, 5);
        own.signature = None;
        let events = submit_batch(RELAY, vec![own.clone()]);
        assert_eq!(refusals(&events), [(0, RefusalReason::Fork)]);
        let conflict = &Conflicts::<Test>::get(phone.id).stored[0];
        assert_eq!(
            (conflict.sequence, conflict.recorded, conflict.rival),
            (1, thief.head, phone.head)
        );
        assert_eq!(conflict.rival_digest, Some(own.entries[0].digest));
        assert!(!conflict.signed);
        assert_eq!(status(phone.id), DeviceStatus::Active);
    });
}

#[test]
fn a_run_on_top_of_another_history_is_a_conflict_at_the_head() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut rival = phone.clone();
        phone.registered(2);
        rival.run(2, 66);
        let believed = rival.head;
        let events = submit_batch(RELAY, vec![rival.run(1, 66)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::PreviousIsNotHead)]);
        let conflict = &Conflicts::<Test>::get(phone.id).stored[0];
        assert_eq!(
            (conflict.sequence, conflict.rival, conflict.rival_digest),
            (2, believed, None)
        );
    });
}

#[test]
fn a_run_from_a_foreign_link_zero_is_no_second_history() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        let mut lost = phone.clone();
        lost.head = H256::zero();
        let events = submit_batch(RELAY, vec![lost.run(1, 0)]);
        assert_eq!(refusals(&events), [(0, RefusalReason::PreviousIsNotHead)]);
        assert!(Conflicts::<Test>::get(phone.id).stored.is_empty());
        assert_eq!(status(phone.id), DeviceStatus::Active);
    });
}

#[test]
fn a_fork_is_located_at_its_first_differing_entry() {
    run(|| {
        let mut phone = Phone::enrolled(PAPER, 1);
        let mut twin = phone.clone();
        for _ in 0..6 {
            phone.registered(1);
        }
        let shared = twin.run(2, 0);
        let mut rival = twin.run(3, 9);
        rival.entries = [shared.entries.to_vec(), rival.entries.to_vec()]
            .concat()
            .try_into()
            .expect("short");
        (rival.sequence, rival.previous) = (shared.sequence, shared.previous);
        submit_batch(RELAY, vec![rival.clone()]);
        let conflict = &Conflicts::<Test>::get(phone.id).stored[0];
        assert_eq!(conflict.sequence, 3);
        assert_eq!(conflict.rival_digest, Some(rival.entries[2].digest));
    });
}

#[test]
fn a_batch_returns_the_weight_of_forks_and_steps_that_did_not_happen() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let runs: crate::Runs = vec![phone.run(1, 0)].try_into().expect("short");
        let declared = crate::BatchSize::from(&runs).declared::<Test>();
        let used = ClientHashchain::submit_batch(RuntimeOrigin::signed(RELAY), runs)
            .expect("a batch succeeds")
            .actual_weight
            .expect("the weight is measured");
        assert!(used.ref_time() < declared.ref_time());
    });
}

#[test]
fn a_page_costs_the_database_and_its_bytes_once_a_block() {
    run(|| {
        DatabaseWeight::set(RuntimeDbWeight {
            read: 100,
            write: 1_000,
        });
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut used = || {
            let runs: crate::Runs = vec![phone.run(1, 0)].try_into().expect("short");
            let result = ClientHashchain::submit_batch(RuntimeOrigin::signed(RELAY), runs);
            let weight = result.expect("a batch succeeds").actual_weight;
            weight.expect("the weight is measured").ref_time()
        };
        let first = used();
        // A page is charged as a full one, and a page of keys is read.
        let bytes = HeadPage::max_encoded_len() as u64;
        let once = 1_200 + bytes * <Test as Config>::PageByteWeight::get().ref_time();
        assert_eq!(used(), first - once);
        HashchainPallet::on_initialize(2);
        assert_eq!(used(), first);
    });
}

#[test]
fn an_empty_batch_changes_nothing() {
    run(|| {
        let events = submit_batch(RELAY, vec![]);
        assert!(matches!(
            events[..],
            [Event::BatchProcessed {
                recorded: 0,
                refused: 0,
                entries: 0,
                ..
            }]
        ));
        assert_ok!(HashchainPallet::do_try_state());
    });
}
