// SPDX-License-Identifier: Apache-2.0

//! What one member alone cannot keep the others from, within hours.

use frame_support::{assert_noop, assert_ok};
use sp_core::H256;
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    DispatchResult,
};

use super::last_event;
use crate::{mock::*, Collective, Error, Event, KeyChanges, UrgentDecision, UrgentVotes};

type Decision = UrgentDecision<u64, H256>;

fn vote(member: u64, decision: &Decision) -> DispatchResult {
    Consortium::vote_urgent(RuntimeOrigin::signed(member), decision.clone())
}

fn change_key(member: u64, successor: u64) -> DispatchResult {
    Consortium::change_key(RuntimeOrigin::signed(member), successor)
}

fn later(blocks: u64) {
    System::set_block_number(System::block_number() + blocks);
}

/// Every urgent decision that can be made on the chain of the tests while member 1 has a motion open.
fn decisions() -> Vec<Decision> {
    let motion = RuntimeCall::System(frame_system::Call::remark { remark: vec![1] });
    assert_ok!(Council::propose(
        RuntimeOrigin::signed(1),
        4,
        Box::new(motion.clone()),
        100
    ));
    vec![
        Decision::RemoveMember { member: 1 },
        Decision::ReplaceMember {
            member: 1,
            successor: STRANGER,
        },
        Decision::RemoveValidator { validator: 1 },
        Decision::AuthorizeUpgrade {
            code_hash: H256::repeat_byte(7),
        },
        Decision::CancelMotion {
            motion: BlakeTwo256::hash_of(&motion),
        },
    ]
}

#[test]
fn the_others_decide_at_once_while_one_member_is_absent() {
    for number in 0..5 {
        ExtBuilder.build_and_execute(|| {
            let decision = &decisions()[number];
            assert_ok!(vote(2, decision));
            assert_ok!(vote(3, decision));
            assert_eq!(
                last_event(),
                Some(Event::UrgentVoteCast {
                    member: 3,
                    decision: decision.clone(),
                    ayes: 2,
                    members: 4,
                })
            );
            assert_ok!(vote(4, decision));
            assert_eq!(
                last_event(),
                Some(Event::UrgentlyDecided {
                    decision: decision.clone()
                })
            );
            assert_eq!(UrgentVotes::<Test>::iter().count(), 0);
            match decision {
                Decision::RemoveMember { .. } => assert!(!Consortium::is_member(&1)),
                Decision::ReplaceMember { .. } => {
                    assert!(!Consortium::is_member(&1) && Consortium::is_member(&STRANGER));
                    assert_eq!(System::providers(&STRANGER), 1);
                }
                Decision::RemoveValidator { .. } => assert!(!Consortium::is_validator(&1)),
                Decision::AuthorizeUpgrade { code_hash } => {
                    let authorised = System::authorized_upgrade().expect("it is authorised");
                    assert_eq!(authorised.code_hash(), code_hash);
                }
                Decision::CancelMotion { .. } => {
                    assert!(pallet_collective::Proposals::<Test, Collective>::get().is_empty())
                }
            }
        });
    }
}

#[test]
fn less_than_two_thirds_decide_nothing() {
    for number in 0..5 {
        ExtBuilder.build_and_execute(|| {
            let decisions = decisions();
            let before = (
                pallet_membership::Members::<Test, Collective>::get(),
                crate::Validators::<Test>::get(),
            );
            assert_ok!(vote(2, &decisions[number]));
            assert_ok!(vote(3, &decisions[number]));
            // A vote twice is one vote.
            assert_ok!(vote(3, &decisions[number]));
            let after = (
                pallet_membership::Members::<Test, Collective>::get(),
                crate::Validators::<Test>::get(),
            );
            assert_eq!(before, after);
            assert!(System::authorized_upgrade().is_none());
            assert_eq!(
                pallet_collective::Proposals::<Test, Collective>::get().len(),
                1
            );
        });
    }
}

#[test]
fn more_than_half_cancel_a_motion() {
    ExtBuilder::with_members(&[1, 2, 3, 4, 5]).build_and_execute(|| {
        let decisions = decisions();
        for member in [2, 3, 4] {
            assert_ok!(vote(member, &decisions[4]));
            assert_ok!(vote(member, &decisions[0]));
        }
        assert!(pallet_collective::Proposals::<Test, Collective>::get().is_empty());
        assert!(Consortium::is_member(&1));
    });
}

#[test]
fn a_member_has_two_urgent_votes_and_cannot_take_those_of_others() {
    ExtBuilder.build_and_execute(|| {
        let decisions = decisions();
        assert_ok!(vote(1, &decisions[2]));
        assert_ok!(vote(1, &decisions[3]));
        assert_noop!(vote(1, &decisions[4]), Error::<Test>::TooManyUrgentVotes);
        for member in [2, 3, 4] {
            assert_ok!(vote(member, &decisions[0]));
        }
        assert!(!Consortium::is_member(&1));
        // Nothing is kept of who has left.
        assert_eq!(UrgentVotes::<Test>::iter().count(), 0);
    });
}

#[test]
fn an_urgent_vote_counts_for_a_period_and_can_be_taken_back() {
    ExtBuilder.build_and_execute(|| {
        let decision = &decisions()[0];
        assert_ok!(vote(2, decision));
        later(URGENT - 1);
        assert_ok!(vote(3, decision));
        later(1);
        // The vote of member 2 is over.
        assert_ok!(vote(4, decision));
        assert!(Consortium::is_member(&1));

        let withdraw = |member| {
            let member = RuntimeOrigin::signed(member);
            Consortium::withdraw_urgent_vote(member, decision.clone())
        };
        assert_noop!(withdraw(2), Error::<Test>::NoSuchUrgentVote);
        assert_ok!(withdraw(3));
        assert_eq!(
            last_event(),
            Some(Event::UrgentVoteWithdrawn {
                member: 3,
                decision: decision.clone()
            })
        );
        assert_ok!(vote(2, decision));
        assert!(Consortium::is_member(&1));
        assert_ok!(vote(3, decision));
        assert!(!Consortium::is_member(&1));
    });
}

#[test]
fn nobody_votes_for_what_cannot_be_done() {
    ExtBuilder::with_members(&[1, 2, 3]).build_and_execute(|| {
        let motion = H256::zero();
        for (decision, error) in [
            (Decision::RemoveMember { member: 3 }, Error::TwoMembers),
            (
                Decision::RemoveMember { member: STRANGER },
                Error::<Test>::NotAMember,
            ),
            (
                Decision::RemoveValidator {
                    validator: STRANGER,
                },
                Error::NotAValidator,
            ),
            (
                Decision::ReplaceMember {
                    member: 1,
                    successor: 2,
                },
                Error::AlreadyMember,
            ),
            (Decision::CancelMotion { motion }, Error::NoSuchMotion),
        ] {
            assert_noop!(vote(1, &decision), error);
        }
        // Of three members, one is replaced.
        let replace = Decision::ReplaceMember {
            member: 3,
            successor: STRANGER,
        };
        assert_noop!(vote(STRANGER, &replace), Error::<Test>::NotAMember);
        assert_ok!(vote(1, &replace));
        assert_ok!(vote(2, &replace));
        assert!(Consortium::is_member(&STRANGER) && !Consortium::is_member(&3));
    });
}

#[test]
fn who_was_removed_and_returns_is_not_removed_by_old_votes() {
    ExtBuilder.build_and_execute(|| {
        let decision = &decisions()[0];
        for member in [2, 3, 4] {
            assert_ok!(vote(member, decision));
        }
        let one = vec![1].try_into().expect("it is one");
        assert_ok!(Consortium::add_members(super::decided(), one));
        assert_ok!(vote(2, decision));
        assert!(Consortium::is_member(&1));
    });
}

#[test]
fn who_changes_its_key_does_not_escape_its_removal() {
    ExtBuilder.build_and_execute(|| {
        let decision = &decisions()[0];
        assert_ok!(vote(2, decision));
        assert_ok!(vote(3, decision));
        assert_ok!(change_key(1, 11));
        assert_eq!(
            last_event(),
            Some(Event::MemberKeyChanged {
                former: 1,
                member: 11
            })
        );
        // Once in a period: the votes count against the new key, which stays long enough for the last of them.
        assert_noop!(change_key(11, 12), Error::<Test>::KeyChangedRecently);
        assert_ok!(vote(4, &Decision::RemoveMember { member: 11 }));
        assert!(!Consortium::is_member(&11));
        assert_eq!(KeyChanges::<Test>::iter().count(), 0);
    });
}

#[test]
fn who_changes_its_key_gets_no_further_places() {
    ExtBuilder.build_and_execute(|| {
        let propose = |who, number| {
            let motion = RuntimeCall::System(frame_system::Call::remark {
                remark: vec![number],
            });
            Council::propose(RuntimeOrigin::signed(who), 4, Box::new(motion), 100)
        };
        assert_ok!(propose(1, 1));
        assert_ok!(propose(1, 2));
        assert_ok!(change_key(1, 11));
        assert!(propose(11, 3).is_err());
        assert_eq!(
            pallet_collective::Proposals::<Test, Collective>::get().len(),
            2
        );
        later(URGENT);
        assert_ok!(change_key(11, 12));
        assert!(propose(12, 3).is_err());
    });
}

#[test]
fn a_key_is_changed_to_one_that_is_no_members_and_by_a_member() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(change_key(1, 2), Error::<Test>::AlreadyMember);
        assert_noop!(change_key(STRANGER, 11), Error::<Test>::NotAMember);
        // Whoever has a place on the chain is somebody else.
        assert_noop!(change_key(1, CANDIDATE), Error::<Test>::SuccessorIsNotNew);
        System::inc_account_nonce(1);
        assert_ok!(change_key(1, 11));
        assert_eq!(System::providers(&11), 1);
        // The old account keeps its nonce, so that nothing it signed is executed again.
        assert_eq!((System::providers(&1), System::account_nonce(1)), (1, 1));
    });
}
