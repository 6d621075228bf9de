// SPDX-License-Identifier: Apache-2.0

//! Two votes of one round.

use frame_support::{assert_noop, assert_ok};
use sp_runtime::{DispatchError, DispatchResult};

use super::recorded;
use crate::{mock::*, Equivocation, Error, KnownOwner, TwoVotes};

fn report(proof: TwoVotes<Test>) -> DispatchResult {
    let reporter = RuntimeOrigin::signed(EVE);
    Grandpa::report_equivocation(reporter, Box::new(proof), KnownOwner)
        .map(|_| ())
        .map_err(|refused| refused.error)
}

#[test]
fn two_votes_of_one_round_are_recorded_once_and_disable() {
    on_chain(|| {
        assert_ok!(report(two_votes(BOB, 0, 7, 1, 2)));
        let equivocation = Equivocation::TwoVotes {
            set_id: 0,
            round: 7,
        };
        assert_eq!(recorded(BOB), [(0, equivocation, true)]);
        assert_eq!(Session::disabled_validators(), [1]);
        for again in [
            two_votes(BOB, 0, 7, 1, 2),
            two_votes(BOB, 0, 7, 2, 1),
            two_votes(BOB, 0, 8, 1, 2),
        ] {
            assert_noop!(report(again), Error::<Test>::AlreadyRecorded);
        }
        assert_eq!(recorded(BOB).len(), 1);
    });
}

#[test]
fn what_proves_nothing_is_refused() {
    on_chain(|| {
        let (right, wrong_round) = (two_votes(BOB, 0, 7, 1, 2), two_votes(BOB, 0, 8, 1, 2));
        let mut bytes = codec::Encode::encode(&right);
        let other = codec::Encode::encode(&wrong_round);
        // The second vote's signature of another round.
        let at = bytes.len() - 96;
        bytes[at..at + 64].copy_from_slice(&other[at..at + 64]);
        let forged: TwoVotes<Test> =
            codec::Decode::decode(&mut &bytes[..]).expect("it has the form of a proof");
        assert_ne!(forged, right);
        assert_noop!(report(forged), Error::<Test>::NoTwoVotes);
        // Signed for another set than it says.
        let mut bytes = codec::Encode::encode(&two_votes(BOB, 1, 7, 1, 2));
        bytes[..8].copy_from_slice(&0u64.to_le_bytes());
        let foreign = codec::Decode::decode(&mut &bytes[..]).expect("it has the form of a proof");
        assert_noop!(report(foreign), Error::<Test>::NoTwoVotes);

        assert_noop!(report(two_votes(EVE, 0, 7, 1, 2)), Error::<Test>::NotAVoter);
        assert_noop!(
            report(two_votes(BOB, 1, 7, 1, 2)),
            Error::<Test>::UnknownSet
        );
        assert!(recorded(BOB).is_empty() && recorded(EVE).is_empty());
    });
}

#[test]
fn root_does_not_report() {
    on_chain(|| {
        let proof = Box::new(two_votes(BOB, 0, 7, 1, 2));
        let refused = Grandpa::report_equivocation(RuntimeOrigin::root(), proof, KnownOwner);
        let refused = refused.map_err(|refused| refused.error);
        assert_noop!(refused, DispatchError::BadOrigin);
    });
}

#[test]
fn the_votes_date_the_offence_and_not_the_report() {
    on_chain(|| {
        run_to(3 * SESSION + 1);
        // All in set 0, which has lasted for four sessions.
        let round = |round| Equivocation::TwoVotes { set_id: 0, round };
        assert_ok!(report(two_votes(BOB, 0, 1, SESSION + 1, 3 * SESSION)));
        assert_eq!(recorded(BOB), [(1, round(1), false)]);
        assert_noop!(
            report(two_votes(BOB, 0, 2, 2 * SESSION, 2 * SESSION)),
            Error::<Test>::AlreadyRecorded
        );
        assert_ok!(report(two_votes(BOB, 0, 3, 2 * SESSION + 1, 4 * SESSION)));
        assert_eq!(recorded(BOB)[1], (2, round(3), true));
        // Votes for what is not there yet are of now.
        assert_ok!(report(two_votes(BOB, 0, 4, 1_000_000, 1_000_001)));
        assert_eq!(recorded(BOB)[2], (3, round(4), true));
    });
}

#[test]
fn a_vote_is_of_the_set_in_which_it_was_cast() {
    on_chain(|| {
        Wanted::set(Some(vec![EVE, 1, 2, 3]));
        run_to(2 * SESSION + 1);
        assert_eq!(Grandpa::current_set_id(), 1);
        // Whatever block it names, set 0 ended with session 1.
        assert_ok!(report(two_votes(ALICE, 0, 1, 1_000_000, 1_000_001)));
        assert_eq!(recorded(ALICE)[0].0, 1);
        assert_noop!(
            report(two_votes(ALICE, 1, 1, 1, 2)),
            Error::<Test>::NotAVoter
        );
        // ... and set 1 began with session 2.
        assert_ok!(report(two_votes(EVE, 1, 1, 1, 2)));
        assert_eq!(recorded(EVE)[0].0, 2);
    });
}

#[test]
fn what_is_forgotten_cannot_be_reported() {
    on_chain(|| {
        Wanted::set(Some(vec![EVE, 1, 2, 3]));
        run_to(6 * SESSION + 1);
        assert_noop!(
            report(two_votes(ALICE, 0, 1, 1, 2)),
            Error::<Test>::SessionForgotten
        );
        assert_noop!(
            report(two_votes(EVE, 1, 1, 1, 2)),
            Error::<Test>::SessionForgotten
        );
        assert_ok!(report(two_votes(EVE, 1, 1, 3 * SESSION + 1, 1_000)));
    });
}

#[test]
fn the_node_learns_whose_votes_can_be_reported() {
    on_chain(|| {
        let known = |set, who| Accountability::is_known_voter(set, &keys(who).grandpa);
        assert!(known(0, ALICE) && known(0, BOB));
        assert!(!known(0, EVE) && !known(1, BOB));
    });
}
