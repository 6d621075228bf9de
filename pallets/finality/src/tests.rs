// SPDX-License-Identifier: Apache-2.0

//! Final blocks, stalls and contradictions on a chain of four voters.

use codec::Encode;
use frame_support::{assert_noop, assert_ok, BoundedVec};
use frame_system::{
    pallet_prelude::HeaderFor,
    RawOrigin::{Root, Signed},
};
use pallet_grandpa::CurrentSetId;
use sp_consensus_grandpa::{AuthorityId, ConsensusLog, SetId, GRANDPA_ENGINE_ID};
use sp_core::H256;
use sp_runtime::{generic::DigestItem, traits::Header, DispatchError, DispatchResult};

mod reports;

use crate::{mock::*, pallet::ProofOf, signing, Error, Event, LastFinal, LatestSet, Sets};

type Voters = [(AuthorityId, u64)];

fn proof(voters: &Voters, set: SetId, hash: H256, number: u64) -> ProofOf<Test> {
    let bytes = signing::proof::<Test>(voters, set, hash, number);
    BoundedVec::try_from(bytes).expect("it is short")
}

fn report(voters: &Voters, set: SetId, number: u64) -> DispatchResult {
    let proof = proof(voters, set, block_hash(number), number);
    Finality::report_final(Signed(7).into(), set, proof)
}

fn last_final() -> Option<u64> {
    LastFinal::<Test>::get().map(|last| last.number)
}

#[test]
fn anybody_proves_a_younger_block_to_be_final() {
    test(|| {
        let all = voters();
        go_to(10);
        assert_eq!(last_final(), None);
        assert_ok!(report(&all, 0, 5));
        assert_eq!(last_final(), Some(5));
        let event = Event::FinalityProved {
            number: 5,
            hash: block_hash(5),
            set: 0,
        };
        System::assert_last_event(event.into());
        assert_ok!(report(&all[1..], 0, 9));
        assert_noop!(report(&all, 0, 9), Error::<Test>::NotNewer);
        assert_noop!(report(&all, 0, 4), Error::<Test>::NotNewer);
        assert_eq!(last_final(), Some(9));
    });
}

#[test]
fn what_too_few_signed_what_others_signed_and_what_is_not_on_this_chain_is_not_final() {
    test(|| {
        let all = voters();
        go_to(10);
        assert_noop!(report(&all[2..], 0, 5), Error::<Test>::NotProved);
        assert_noop!(
            report(&signing::generate(4), 0, 5),
            Error::<Test>::NotProved
        );
        assert_noop!(report(&all, 1, 5), Error::<Test>::UnknownSet);
        assert_noop!(report(&all, 0, 10), Error::<Test>::NotOnThisChain);
        assert_noop!(report(&all, 0, 11), Error::<Test>::NotOnThisChain);
        assert_noop!(report(&all, 0, 0), Error::<Test>::NotOfThisSet);
        let strange = proof(&all, 0, H256([7; 32]), 5);
        assert_noop!(
            Finality::report_final(Signed(7).into(), 0, strange),
            Error::<Test>::NotOnThisChain
        );
        let bytes = BoundedVec::try_from(vec![1; 500]).unwrap();
        assert_noop!(
            Finality::report_final(Signed(7).into(), 0, bytes),
            Error::<Test>::NotProved
        );
        let of_root = proof(&all, 0, block_hash(5), 5);
        assert_noop!(
            Finality::report_final(Root.into(), 0, of_root),
            DispatchError::BadOrigin
        );
    });
}

#[test]
fn of_a_block_whose_hash_the_chain_has_forgotten_the_signatures_are_believed() {
    test(|| {
        go_to(60);
        assert_eq!(System::block_hash(5), H256::default());
        assert_ok!(report(&voters(), 0, 5));
    });
}

#[test]
fn a_set_signs_for_the_blocks_of_its_time_alone() {
    test(|| {
        let first = voters();
        go_to(CHANGE + 10);
        let second = voters();
        assert_eq!((first.len(), second.len()), (4, 3));
        assert_eq!(Sets::<Test>::get(1).unwrap().after, CHANGE);
        assert_eq!(Sets::<Test>::get(0).unwrap().voters.to_vec(), first);
        assert_noop!(report(&first, 0, CHANGE + 1), Error::<Test>::NotOfThisSet);
        assert_noop!(report(&second, 1, CHANGE), Error::<Test>::NotOfThisSet);
        assert_ok!(report(&first, 0, CHANGE));
        assert_ok!(report(&second, 1, CHANGE + 1));
    });
}

#[test]
fn the_consortium_helps_over_a_stall_from_the_last_final_block_on() {
    test(|| {
        let all = voters();
        go_to(10);
        assert_ok!(report(&all, 0, 9));
        go_to(9 + LEAST_LAG);
        assert_ok!(Finality::note_stalled(Root.into(), 9));
        let event = Event::Stalled {
            last_final: 9,
            set: 1,
            takes_effect: 9 + LEAST_LAG + DELAY,
        };
        System::assert_last_event(event.into());
        assert_eq!(CurrentSetId::<Test>::get(), 1);
        assert_eq!(Sets::<Test>::get(1).unwrap().after, 9);
        let logs = end().logs;
        let forced = logs.iter().find_map(|log| match log {
            DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => Some(log.clone()),
            _ => None,
        });
        let change = sp_consensus_grandpa::ScheduledChange {
            next_authorities: all.clone(),
            delay: DELAY,
        };
        let expected = ConsensusLog::ForcedChange(9u64, change).encode();
        assert_eq!(forced, Some(expected));

        go_to(9 + LEAST_LAG + DELAY + 1);
        assert_eq!(voters(), all);
        // The new set signs for what comes after the last final block.
        assert_noop!(report(&all, 0, 20), Error::<Test>::NotOfThisSet);
        assert_ok!(report(&all, 1, 20));
    });
}

#[test]
fn a_decision_while_finality_is_alive_or_on_an_old_view_of_it_is_refused() {
    test(|| {
        let all = voters();
        let note = |last_final| Finality::note_stalled(Root.into(), last_final);
        go_to(30);
        assert_noop!(note(0), Error::<Test>::NothingProved);
        assert_ok!(report(&all, 0, 9));
        assert_noop!(note(8), Error::<Test>::AnotherLastFinal);
        assert_noop!(
            Finality::note_stalled(Signed(1).into(), 9),
            DispatchError::BadOrigin
        );
        // Finality was alive all the time; somebody shows it before the decision falls.
        assert_ok!(report(&all, 0, 28));
        assert_noop!(note(9), Error::<Test>::AnotherLastFinal);
        assert_noop!(note(28), Error::<Test>::NotStalled);
        go_to(28 + LEAST_LAG - 1);
        assert_noop!(note(28), Error::<Test>::NotStalled);
        // A change of authorities by a session must not get in its way.
        go_to(28 + LEAST_LAG);
        assert_noop!(note(28), Error::<Test>::SessionEndsSoon);
        go_to(SESSION);
        assert_ok!(note(28));
        assert_noop!(note(28), pallet_grandpa::Error::<Test>::ChangePending);
    });
}

#[test]
fn sets_that_were_named_after_the_last_final_block_never_voted_and_are_not_counted() {
    test(|| {
        let first = voters();
        go_to(CHANGE - 10);
        assert_ok!(report(&first, 0, CHANGE - 20));
        // The fourth validator leaves while nothing becomes final.
        go_to(CHANGE + 10);
        let second = voters();
        assert_eq!(LatestSet::<Test>::get(), 1);
        assert_ok!(Finality::note_stalled(Root.into(), CHANGE - 20));
        // The nodes are still at set 0, so the set that is appointed by force is their set 1.
        assert_eq!(CurrentSetId::<Test>::get(), 1);
        let set = Sets::<Test>::get(1).unwrap();
        assert_eq!(
            (set.after, set.voters.to_vec()),
            (CHANGE - 20, second.clone())
        );
        go_to(CHANGE + 10 + DELAY + 1);
        assert_eq!(voters(), second);
        assert_ok!(report(&second, 1, CHANGE - 5));
    });
}

#[test]
fn a_set_whose_block_was_final_counts_even_if_nothing_after_it_was() {
    test(|| {
        let first = voters();
        go_to(CHANGE + 5);
        assert_ok!(report(&first, 0, CHANGE));
        go_to(CHANGE + LEAST_LAG);
        assert_ok!(Finality::note_stalled(Root.into(), CHANGE));
        assert_eq!(CurrentSetId::<Test>::get(), 2);
    });
}

/// Headers of another chain, from its first block after a number, which has the parent given, up.
fn fork(parent: H256, from: u64, to: u64) -> Vec<HeaderFor<Test>> {
    let mut headers: Vec<_> = Vec::new();
    for number in from..=to {
        let parent = headers.last().map_or(parent, Header::hash);
        headers.push(signing::header::<Test>(number, parent, 3));
    }
    headers
}

fn encoded(headers: &[impl Encode + Clone]) -> ProofOf<Test> {
    let downwards: Vec<_> = headers.iter().rev().cloned().collect();
    BoundedVec::try_from(downwards.encode()).unwrap()
}

#[test]
fn two_proofs_for_blocks_of_one_number_are_recorded_with_those_who_signed_both() {
    test(|| {
        let all = voters();
        go_to(10);
        let one = proof(&all[..3], 0, H256([1; 32]), 5);
        let other = proof(&all[1..], 0, H256([2; 32]), 5);
        let report = |set, one: &ProofOf<Test>, other: &ProofOf<Test>| {
            let (one, other) = (one.clone(), other.clone());
            Finality::report_conflict(Signed(7).into(), set, one, other, Default::default())
        };
        assert_noop!(report(0, &one, &one), Error::<Test>::NoConflict);
        assert_noop!(report(1, &one, &other), Error::<Test>::UnknownSet);
        let too_few = proof(&all[2..], 0, H256([2; 32]), 5);
        assert_noop!(report(0, &one, &too_few), Error::<Test>::NotProved);
        assert_ok!(report(0, &one, &other));
        let recorded = &crate::Conflicts::<Test>::get()[0];
        assert_eq!((recorded.set, recorded.reported), (0, 10));
        assert_eq!(recorded.blocks, [(5, H256([1; 32])), (5, H256([2; 32]))]);
        assert_eq!(recorded.rounds, [signing::ROUND; 2]);
        let mut validators: Vec<_> = recorded.signers.iter().map(|it| it.validator).collect();
        validators.sort();
        assert_eq!(validators, [Some(2), Some(3)]);
        let named: Vec<_> = recorded.signers.iter().map(|it| it.key.clone()).collect();
        let event = Event::ConflictingProofs {
            set: 0,
            one: H256([1; 32]),
            other: H256([2; 32]),
            signers: named,
        };
        System::assert_last_event(event.into());
        assert_noop!(report(0, &one, &other), Error::<Test>::KnownConflict);
        assert_noop!(report(0, &other, &one), Error::<Test>::KnownConflict);

        let more = |seed| proof(&all, 0, H256([seed; 32]), 5);
        assert_ok!(report(0, &one, &more(3)));
        assert_noop!(report(0, &one, &more(4)), Error::<Test>::TooManyConflicts);
    });
}

#[test]
fn proofs_for_blocks_of_two_numbers_contradict_each_other_if_headers_show_it() {
    test(|| {
        let all = voters();
        go_to(10);
        let five = fork(block_hash(4), 5, 5)[0].hash();
        let aside = fork(block_hash(5), 6, 8);
        let above = fork(five, 6, 8);
        let lower = proof(&all, 0, five, 5);
        let report = |headers: &[_], listed: ProofOf<Test>| {
            let top: &HeaderFor<Test> = &headers[2];
            let higher = proof(&all, 0, top.hash(), 8);
            Finality::report_conflict(Signed(7).into(), 0, lower.clone(), higher, listed)
        };
        // It descends from the lower block.
        assert_noop!(report(&above, encoded(&above)), Error::<Test>::NoConflict);
        for listed in [
            Default::default(),
            encoded(&aside[1..]),
            encoded(&aside[..2]),
            encoded(&above),
            encoded(&fork(block_hash(4), 5, 8)),
            BoundedVec::try_from(vec![1, 2, 3]).unwrap(),
        ] {
            assert_noop!(report(&aside, listed), Error::<Test>::NoConflict);
        }
        assert_ok!(report(&aside, encoded(&aside)));
    });
}

/// Another set is named in this block, of the same voters.
fn name_a_set() {
    CurrentSetId::<Test>::mutate(|set| *set += 1);
    go_to(System::block_number() + 1);
}

fn kept() -> Vec<SetId> {
    let mut kept: Vec<SetId> = Sets::<Test>::iter_keys().collect();
    kept.sort();
    kept
}

#[test]
fn while_finality_is_alive_the_latest_sets_are_kept() {
    test(|| {
        let all = voters();
        for set in 0..8 {
            go_to(System::block_number() + 3);
            assert_ok!(report(&all, set, System::block_number() - 1));
            name_a_set();
        }
        assert_eq!(LatestSet::<Test>::get(), 8);
        assert_eq!(kept(), [5, 6, 7, 8]);
    });
}

/// Else no proof of what comes next would fit any more, and the consortium would appoint a set of another number than the nodes.
#[test]
fn however_many_sets_are_named_in_a_stall_the_one_that_voted_last_is_kept() {
    test(|| {
        let all = voters();
        go_to(10);
        assert_ok!(report(&all, 0, 9));
        (0..10).for_each(|_| name_a_set());
        assert_eq!(kept(), Vec::from_iter(0..=10u64));
        go_to(9 + LEAST_LAG);
        assert_ok!(Finality::note_stalled(Root.into(), 9));
        // The nodes are still at set 0.
        assert_eq!(CurrentSetId::<Test>::get(), 1);
        assert_eq!(kept(), [0, 1]);
        go_to(9 + LEAST_LAG + DELAY + 1);
        assert_ok!(report(&all, 1, 20));
    });
}

#[test]
fn what_a_stall_has_left_is_forgotten_when_it_is_over() {
    test(|| {
        let all = voters();
        (0..10).for_each(|_| name_a_set());
        go_to(System::block_number() + 3);
        assert_ok!(report(&all, 0, 1));
        let number = System::block_number() - 1;
        assert_ok!(report(&all, 10, number));
        for set in [2, 4, 6, 8, 10, 10, 10] {
            name_a_set();
            assert_eq!(kept()[0], set);
        }
        assert_eq!(kept(), Vec::from_iter(10..=17u64));
    });
}
