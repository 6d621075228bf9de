// SPDX-License-Identifier: Apache-2.0

//! Sessions, rosters and missed slots.

use frame_support::assert_ok;

use crate::{mock::*, Rosters, Sessions};

/// How many slots each validator missed in a session.
fn missed(session: u32) -> Vec<u32> {
    let record = Sessions::<Test>::get(session).expect("it is remembered");
    let conduct = record.conduct.iter();
    conduct.map(|conduct| conduct.missed_slots).collect()
}

#[test]
fn nothing_is_missed_while_every_slot_has_its_block() {
    on_chain(|| {
        run_to(3 * SESSION);
        for session in 0..=3 {
            assert_eq!(missed(session), [0; 4]);
        }
    });
}

#[test]
fn a_slot_without_a_block_is_counted_to_the_one_whose_turn_it_was() {
    on_chain(|| {
        // Slot 1000 was Alice's, and 1001 Bob's; 1002 is Charlie's.
        next_block_after(2);
        assert_eq!(missed(0), [0, 1, 0, 0]);
        // 1003 Dave, 1004 Alice; 1005 is Bob's.
        next_block_after(3);
        assert_eq!(missed(0), [1, 1, 0, 1]);
        next_block_after(1);
        assert_eq!(missed(0), [1, 1, 0, 1]);
    });
}

#[test]
fn whatever_the_gap_each_gets_its_turns() {
    for gap in 1..50 {
        for offset in 0..4 {
            on_chain(|| {
                next_block_after(offset + 1);
                let before = missed(0);
                let last = FIRST_SLOT + offset + 1;
                next_block_after(gap);
                let mut expected = before;
                for slot in last + 1..last + gap {
                    expected[(slot % 4) as usize] += 1;
                }
                assert_eq!(missed(0), expected, "{gap} after {last}");
            });
        }
    }
}

#[test]
fn a_standstill_of_a_thousand_years_is_counted_at_once() {
    on_chain(|| {
        let slots = 4 * 3_944_700_000;
        next_block_after(slots);
        assert_eq!(
            missed(0),
            [3_944_699_999, 3_944_700_000, 3_944_700_000, 3_944_700_000]
        );
        next_block_after(slots);
        assert_eq!(missed(0), [u32::MAX; 4]);
    });
}

#[test]
fn the_slots_before_the_block_that_begins_a_session_belong_to_those_before() {
    on_chain(|| {
        // In session 2 there are three validators.
        Wanted::set(Some(vec![EVE, 2, 3]));
        run_to(2 * SESSION - 1);
        let last = FIRST_SLOT + 2 * SESSION - 2;
        assert_eq!(last % 4, 0);
        // Slots of Bob, Charlie and Dave pass; Alice makes the block with which session 2 begins.
        next_block_after(4);
        assert_eq!(Session::current_index(), 2);
        assert_eq!(missed(1), [0, 1, 1, 1]);
        assert_eq!(missed(2), [0, 0, 0]);
        let record = Sessions::<Test>::get(2).expect("it is remembered");
        assert_eq!((record.first_block, record.first_slot), (10, last + 4));
        // From there on, three take turns: slot 1013 is number 2's, 1014 Eve's.
        next_block_after(3);
        assert_eq!((last + 5) % 3, 2);
        assert_eq!(missed(2), [1, 0, 1]);
        assert_eq!(missed(1), [0, 1, 1, 1]);
    });
}

#[test]
fn a_roster_is_kept_as_long_as_a_session_that_has_it() {
    on_chain(|| {
        let rosters = || {
            let mut rosters: Vec<_> = Rosters::<Test>::iter_keys().collect();
            rosters.sort();
            rosters
        };
        assert_eq!(rosters(), [0]);
        Wanted::set(Some(vec![EVE, 1, 2, 3]));
        run_to(3 * SESSION);
        assert_eq!(rosters(), [0, 2]);
        run_to(5 * SESSION);
        assert_eq!(rosters(), [2]);
        assert_eq!(Accountability::oldest_session(), 2);
        let (record, roster) = Accountability::remembered(5).expect("it is now");
        assert_eq!(record.roster, 2);
        assert_eq!(roster[0].validator, EVE);
        assert_eq!(roster[1].aura, keys(BOB).aura);
        assert_eq!(roster[1].grandpa, keys(BOB).grandpa);
        run_to(9 * SESSION);
        assert_eq!(rosters(), [2]);
        assert_ok!(Accountability::do_try_state());
    });
}

#[test]
fn a_validator_that_changes_its_keys_is_held_to_those_that_it_had() {
    on_chain(|| {
        let new = MockSessionKeys {
            aura: author(6).public().into(),
            grandpa: keys(BOB).grandpa,
        };
        pallet_session::NextKeys::<Test>::insert(BOB, new.clone());
        run_to(2 * SESSION);
        let key = |session| {
            let (_, roster) = Accountability::remembered(session).expect("it is remembered");
            roster[1].aura.clone()
        };
        assert_eq!(
            (key(0), key(1), key(2)),
            (keys(BOB).aura, keys(BOB).aura, new.aura)
        );
    });
}

/// The session pallet takes them for gone, but Aura and GRANDPA go on with those who were on.
#[test]
fn the_books_have_a_place_for_each_who_goes_on_when_nobody_has_keys_any_more() {
    on_chain(|| {
        for who in VALIDATORS {
            pallet_session::NextKeys::<Test>::remove(who);
        }
        run_to(2 * SESSION);
        assert!(Session::validators().is_empty());
        assert_eq!(missed(2), [0; 4]);
        // Slot 1010 was Charlie's and 1011 is Dave's.
        next_block_after(2);
        assert_eq!(missed(2), [0, 0, 1, 0]);
        let slot = FIRST_SLOT;
        let header = |mark| sealed(ALICE, 2 * SESSION + 1, slot, mark);
        let reporter = RuntimeOrigin::signed(EVE);
        let report = Accountability::report_block_equivocation(reporter, header(1), header(2));
        assert_ok!(report);
        assert_eq!(super::recorded(ALICE).len(), 1);
    });
}

#[test]
#[should_panic(expected = "a session outside the memory is kept")]
fn a_session_too_many_is_found() {
    on_chain(|| {
        let record = Sessions::<Test>::get(0).expect("it is there");
        Sessions::<Test>::insert(7, record);
    });
}

#[test]
#[should_panic(expected = "a roster that no session has is kept")]
fn a_roster_too_many_is_found() {
    on_chain(|| {
        let roster = Rosters::<Test>::get(0).expect("it is there");
        Rosters::<Test>::insert(7, roster);
    });
}
