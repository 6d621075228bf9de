// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, Conflicts, Error, Event, LastTrusted, Run};
use frame_support::{assert_noop, assert_ok, dispatch::DispatchErrorWithPostInfo};
use sp_core::{ed25519, Pair, H256};

/// The error of a refused submission; its weight is no matter here.
fn refused(who: sp_runtime::AccountId32, run: Run) -> sp_runtime::DispatchError {
    let before = state_root();
    let DispatchErrorWithPostInfo { error, .. } =
        frame_support::storage::with_storage_layer(|| submit(who, run))
            .expect_err("the run was accepted");
    assert_eq!(before, state_root(), "a refused run changed the state");
    error
}

#[test]
fn a_run_that_follows_the_head_moves_it() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        System::reset_events();
        phone.registered(3);
        let head = HashchainPallet::head_of(phone.id).expect("enrolled");
        assert_eq!((head.hash, head.length), (phone.head, 3));
        assert_eq!(
            events(),
            [Event::RunRecorded {
                device: phone.id,
                length: 3,
                head: phone.head,
                first_index: 0,
                entries: 3,
            }]
        );
    });
}

#[docify::export]
#[test]
fn a_run_that_does_not_follow_the_head_is_refused() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        phone.head = H256::repeat_byte(0xbb);
        let forged = phone.run(1, 0);
        assert_eq!(
            refused(RELAY, forged),
            Error::<Test>::PreviousIsNotHead.into()
        );
    });
}

#[docify::export]
#[test]
fn a_run_that_is_registered_already_succeeds_without_a_change() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let run = phone.registered(3);
        System::reset_events();
        let head = HashchainPallet::head_of(phone.id);
        assert_ok!(submit(SECOND_RELAY, run));
        assert_eq!(HashchainPallet::head_of(phone.id), head);
        assert_eq!(
            events(),
            [Event::RunAlreadyRecorded {
                device: phone.id,
                sequence: 1,
                entries: 3,
            }]
        );
    });
}

#[test]
fn an_old_run_in_the_midst_of_the_chain_is_recognised() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        let old = phone.registered(3);
        phone.registered(4);
        let head = HashchainPallet::head_of(phone.id);
        assert_ok!(submit(RELAY, old));
        assert_eq!(HashchainPallet::head_of(phone.id), head);
    });
}

#[test]
fn a_run_that_overlaps_the_head_is_registered_from_its_first_new_entry_on() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut early = phone.clone();
        phone.registered(2);
        let overlapping = early.run(5, 0);
        System::reset_events();
        assert_ok!(submit(RELAY, overlapping));
        assert_eq!(
            events(),
            [Event::RunRecorded {
                device: phone.id,
                length: 5,
                head: early.head,
                first_index: 2,
                entries: 3,
            }]
        );
    });
}

#[test]
fn a_device_may_submit_for_itself_but_not_for_another() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut other = Phone::enrolled(SIGNED, 2);
        assert_ok!(submit(phone.account(), phone.clone().run(1, 0)));
        phone.run(1, 0);
        assert_eq!(
            refused(phone.account(), other.run(1, 0)),
            Error::<Test>::NotARelayOfThisStudy.into()
        );
    });
}

#[test]
fn every_bad_run_is_refused_for_its_own_reason() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        phone.registered(2);
        let next = phone.clone().run(2, 0);
        let with = |change: &dyn Fn(&mut Run)| {
            let mut run = next.clone();
            change(&mut run);
            run
        };
        let cases: Vec<(Run, Error<Test>)> = vec![
            (with(&|run| run.entries.clear()), Error::EmptyRun),
            (with(&|run| run.sequence = 0), Error::InvalidSequence),
            (with(&|run| run.sequence = u64::MAX), Error::InvalidSequence),
            (with(&|run| run.device = 77), Error::UnknownDevice),
            (with(&|run| run.sequence = 4), Error::Gap),
            (
                with(&|run| run.previous = H256::zero()),
                Error::PreviousIsNotHead,
            ),
            (with(&|run| run.signature = None), Error::SignatureMissing),
            (
                with(&|run| run.signature = Some([1; 64])),
                Error::BadSignature,
            ),
            (
                with(&|run| run.entries[1].digest = H256::zero()),
                Error::BadSignature,
            ),
            (
                with(&|run| {
                    run.entries.pop();
                }),
                Error::BadSignature,
            ),
        ];
        for (run, error) in cases {
            assert_eq!(refused(RELAY, run), error.into());
        }
        assert_eq!(
            refused(FOREIGN_RELAY, next.clone()),
            Error::<Test>::NotARelayOfThisStudy.into()
        );
        assert_noop!(
            ClientHashchain::submit(RuntimeOrigin::root(), next.clone()),
            sp_runtime::DispatchError::BadOrigin
        );
        assert_ok!(submit(RELAY, next));
    });
}

#[test]
fn a_signature_of_another_device_is_refused() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut thief = phone.clone();
        thief.pair = ed25519::Pair::from_seed(&[66; 32]);
        assert_eq!(
            refused(RELAY, thief.run(1, 0)),
            Error::<Test>::BadSignature.into()
        );
        phone.registered(1);
    });
}

#[test]
fn the_papers_policy_asks_for_no_signature() {
    run(|| {
        let mut phone = Phone::enrolled(PAPER, 1);
        let mut run = phone.run(2, 0);
        run.signature = None;
        assert_ok!(submit(RELAY, run));
    });
}

#[test]
fn suspended_and_retired_devices_and_closed_studies_take_no_new_entries() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let known = phone.registered(1);
        let next = phone.clone().run(1, 0);
        assert_ok!(suspend(phone.id));
        assert_eq!(
            refused(RELAY, next.clone()),
            Error::<Test>::DeviceSuspended.into()
        );
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        assert_eq!(
            refused(RELAY, next.clone()),
            Error::<Test>::DeviceRetired.into()
        );
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), SIGNED));
        assert_eq!(refused(RELAY, next), Error::<Test>::StudyClosed.into());
        // A retry of what is registered stays a success: nothing acknowledged may turn into a refusal.
        assert_ok!(submit(RELAY, known));
    });
}

#[test]
fn a_fork_that_is_submitted_alone_leaves_no_trace() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut twin = phone.clone();
        phone.registered(2);
        assert_eq!(refused(RELAY, twin.run(2, 7)), Error::<Test>::Fork.into());
        assert!(Conflicts::<Test>::get(phone.id).stored.is_empty());
    });
}

#[test]
fn an_old_run_beyond_the_walk_budget_is_told_so() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut crowd = Phone::enrolled(SIGNED, 2);
        let old = phone.registered(1);
        for _ in 0..4 {
            phone.registered(1);
            crowd.registered(64);
        }
        WalkBudget::set(3);
        assert_eq!(
            refused(RELAY, old.clone()),
            Error::<Test>::BeyondReach.into()
        );
        WalkBudget::set(6);
        assert_ok!(submit(RELAY, old));
    });
}

#[test]
fn a_step_back_costs_its_weight_once_a_page_of_the_journal() {
    run(|| {
        let mut phone = Phone::enrolled(SIGNED, 1);
        let mut crowd = Phone::enrolled(SIGNED, 2);
        let mut retries = Vec::new();
        for _ in 0..4 {
            retries.push(phone.registered(1));
            crowd.registered(63);
        }
        let cost = |run: Run| {
            let weight = submit(RELAY, run).expect("it is registered").actual_weight;
            weight.expect("the weight is measured").ref_time()
        };
        let costs: Vec<_> = retries.into_iter().rev().map(cost).collect();
        // The latest link is the head. Every step back reads its own entry and the one before it, a page each.
        let at_the_head = costs[0];
        assert_eq!(costs, [0, 2, 3, 4].map(|pages| at_the_head + pages));
    });
}

fn state_root() -> Vec<u8> {
    sp_io::storage::root(sp_runtime::StateVersion::V0)
}
