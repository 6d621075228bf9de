// SPDX-License-Identifier: Apache-2.0

//! Two blocks of one slot.

use codec::Encode;
use frame_support::{assert_noop, assert_ok, BoundedVec};
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    DispatchError, DispatchResult,
};

use super::recorded;
use crate::{mock::*, Equivocation, Error, Event, Offences, SealedHeader, Sessions};

fn report(first: SealedHeader, second: SealedHeader) -> DispatchResult {
    Accountability::report_block_equivocation(RuntimeOrigin::signed(EVE), first, second)
}

#[test]
fn a_report_says_who_and_what_and_when() {
    on_chain(|| {
        let (one, other) = (
            sealed(BOB, 1, FIRST_SLOT + 1, 1),
            sealed(BOB, 2, FIRST_SLOT + 1, 1),
        );
        assert_ok!(report(one.clone(), other.clone()));
        let proof = BlakeTwo256::hash(&[&one[..], &other[..]].concat());
        let equivocation = Equivocation::TwoBlocks {
            slot: FIRST_SLOT + 1,
        };
        let event = Event::EquivocationRecorded {
            validator: BOB,
            session: 0,
            equivocation,
            proof,
            reporter: Some(EVE),
            disabled: true,
        };
        System::assert_has_event(event.into());
        let offences = Offences::<Test>::get(BOB);
        assert_eq!(offences[0].proof, proof);
        assert_eq!(offences[0].reporter, Some(EVE));
        assert_eq!(offences[0].reported_in, 1);
        let record = Sessions::<Test>::get(0).expect("it is remembered");
        assert!(record.conduct[1].two_blocks && !record.conduct[1].two_votes);
        assert!(!record.conduct[0].two_blocks);
    });
}

#[test]
fn of_a_validator_and_a_session_two_blocks_are_recorded_once() {
    on_chain(|| {
        let header = |number, mark| sealed(ALICE, number, FIRST_SLOT, mark);
        assert_ok!(report(header(1, 1), header(1, 2)));
        for (one, other) in [
            (header(1, 1), header(1, 2)),
            (header(1, 2), header(1, 1)),
            (header(1, 3), header(2, 4)),
            (
                sealed(ALICE, 3, FIRST_SLOT + 4, 1),
                sealed(ALICE, 3, FIRST_SLOT + 4, 2),
            ),
        ] {
            assert_noop!(report(one, other), Error::<Test>::AlreadyRecorded);
        }
        assert_eq!(recorded(ALICE).len(), 1);
    });
}

#[test]
fn what_proves_nothing_is_refused() {
    on_chain(|| {
        let good = sealed(ALICE, 1, FIRST_SLOT, 1);
        let garbage = SealedHeader::truncate_from(vec![7; 200]);
        assert_noop!(report(good.clone(), garbage), Error::<Test>::NotAHeader);
        let mut longer = good.to_vec();
        longer.push(0);
        let longer = SealedHeader::truncate_from(longer);
        assert_noop!(report(longer, good.clone()), Error::<Test>::NotAHeader);

        let same = good.clone();
        assert_noop!(report(good.clone(), same), Error::<Test>::NoTwoBlocks);
        let next_turn = sealed(ALICE, 2, FIRST_SLOT + 4, 2);
        assert_noop!(report(good.clone(), next_turn), Error::<Test>::NoTwoBlocks);

        // Bob cannot make it look as if Alice had sealed twice, and a slot is one validator's.
        for other in [BOB, EVE] {
            let forged = sealed(other, 1, FIRST_SLOT, 2);
            assert_noop!(report(good.clone(), forged.clone()), Error::<Test>::BadSeal);
            assert_noop!(report(forged, good.clone()), Error::<Test>::BadSeal);
        }
        let (one, other) = (sealed(BOB, 1, FIRST_SLOT, 1), sealed(BOB, 1, FIRST_SLOT, 2));
        assert_noop!(report(one, other), Error::<Test>::BadSeal);
        assert!(recorded(ALICE).is_empty());
    });
}

/// A header of a chain has a few, and each costs time.
#[test]
fn headers_of_many_digest_items_are_not_looked_at() {
    on_chain(|| {
        let header = |mark, items| sealed_with(ALICE, 1, FIRST_SLOT, mark, items);
        // With the slot and the seal.
        let most = crate::MAX_DIGEST_ITEMS as usize - 2;
        let refused = report(header(1, most), header(2, most + 1));
        assert_noop!(refused, Error::<Test>::NotAHeader);
        assert_ok!(report(header(1, most), header(2, most)));
    });
}

#[test]
fn one_content_sealed_twice_is_two_blocks() {
    on_chain(|| {
        // The signatures differ, and so do the hashes of the blocks: the chain forks on them.
        let (one, again) = (
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 1),
        );
        assert_ne!(one, again);
        assert_ok!(report(one, again));
        assert_eq!(recorded(ALICE).len(), 1);
    });
}

#[test]
fn nobody_makes_another_seal_of_one() {
    on_chain(|| {
        let good = sealed(ALICE, 1, FIRST_SLOT, 1);
        for bit in (good.len() - 64) * 8..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let forged = SealedHeader::truncate_from(bytes);
            assert_noop!(report(good.clone(), forged), Error::<Test>::BadSeal);
        }
    });
}

#[test]
fn root_does_not_report() {
    on_chain(|| {
        let (one, other) = (
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 2),
        );
        let refused = Accountability::report_block_equivocation(RuntimeOrigin::root(), one, other);
        assert_noop!(refused, DispatchError::BadOrigin);
    });
}

#[test]
fn a_header_longer_than_the_limit_cannot_be_brought() {
    let longest = vec![0; crate::MAX_HEADER_LENGTH as usize];
    assert!(BoundedVec::<u8, _>::try_from(longest.clone())
        .map(|header: SealedHeader| header)
        .is_ok());
    let longer = [longest, vec![0]].concat();
    assert!(SealedHeader::try_from(longer.clone()).is_err());
    assert!(<SealedHeader as codec::Decode>::decode(&mut &longer.encode()[..]).is_err());
}

#[test]
fn who_is_disabled_makes_blocks_again_in_the_next_session() {
    on_chain(|| {
        assert_ok!(report(
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 2)
        ));
        assert_eq!(Session::disabled_validators(), [0]);
        // Slots 1001 to 1003 are the others'.
        run_to(4);
        // The next slot would be Alice's; her block would be refused, so Bob makes the next.
        next_block_after(2);
        assert_eq!(System::block_number(), SESSION);
        assert!(Session::disabled_validators().is_empty());
        run_to(9);
    });
}

#[test]
#[should_panic(expected = "is disabled and should not be attempting to author blocks")]
fn a_block_of_a_disabled_validator_is_refused() {
    on_chain(|| {
        assert_ok!(report(
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 2)
        ));
        next_block_after(4);
    });
}

#[test]
fn two_thirds_of_the_validators_stay_at_work() {
    on_chain(|| {
        assert_ok!(report(
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 2)
        ));
        let slot = FIRST_SLOT + 1;
        assert_ok!(report(sealed(BOB, 1, slot, 1), sealed(BOB, 1, slot, 2)));
        assert_eq!(Session::disabled_validators(), [0]);
        let equivocation = Equivocation::TwoBlocks { slot };
        assert_eq!(recorded(BOB), [(0, equivocation, false)]);
    });
}

#[test]
fn what_was_two_sessions_ago_is_recorded_and_disables_nobody() {
    on_chain(|| {
        run_to(2 * SESSION);
        assert_ok!(report(
            sealed(ALICE, 1, FIRST_SLOT, 1),
            sealed(ALICE, 1, FIRST_SLOT, 2)
        ));
        let slot = FIRST_SLOT;
        assert_eq!(
            recorded(ALICE),
            [(0, Equivocation::TwoBlocks { slot }, false)]
        );
        // The block that begins a session is made by those before; the earlier of the two blocks counts.
        let one = sealed(ALICE, SESSION + 1, slot, 1);
        assert_noop!(
            report(one.clone(), sealed(ALICE, SESSION, slot, 2)),
            Error::<Test>::AlreadyRecorded
        );
        assert_ok!(report(one, sealed(ALICE, SESSION + 1, slot, 2)));
        assert_eq!(
            recorded(ALICE)[1],
            (1, Equivocation::TwoBlocks { slot }, true)
        );
    });
}

#[test]
fn what_is_forgotten_cannot_be_reported() {
    on_chain(|| {
        run_to(4 * SESSION);
        assert_noop!(
            report(
                sealed(ALICE, SESSION, FIRST_SLOT, 1),
                sealed(ALICE, SESSION, FIRST_SLOT, 2)
            ),
            Error::<Test>::SessionForgotten
        );
        assert_ok!(report(
            sealed(ALICE, SESSION + 1, FIRST_SLOT, 1),
            sealed(ALICE, SESSION + 1, FIRST_SLOT, 2)
        ));
    });
}

#[test]
fn of_many_offences_the_latest_are_kept() {
    on_chain(|| {
        for session in 0..5 {
            run_to(session * SESSION + 1);
            let number = session * SESSION + 1;
            assert_ok!(report(
                sealed(ALICE, number, FIRST_SLOT, 1),
                sealed(ALICE, number, FIRST_SLOT, 2)
            ));
            // Whoever is disabled makes no block.
            pallet_session::DisabledValidators::<Test>::kill();
        }
        let sessions: Vec<_> = recorded(ALICE)
            .iter()
            .map(|(session, ..)| *session)
            .collect();
        assert_eq!(sessions, [2, 3, 4]);
    });
}

#[test]
fn who_went_is_recorded_for_the_time_before_and_who_replaced_the_key_is_not_disabled() {
    on_chain(|| {
        // Alice goes, Eve comes, at the session after next.
        Wanted::set(Some(vec![EVE, 1, 2, 3]));
        run_to(2 * SESSION + 1);
        let before = |mark| sealed(ALICE, 2 * SESSION, FIRST_SLOT, mark);
        assert_ok!(report(before(1), before(2)));
        let slot = FIRST_SLOT;
        assert_eq!(
            recorded(ALICE),
            [(1, Equivocation::TwoBlocks { slot }, false)]
        );
        assert!(Session::disabled_validators().is_empty());
        // Her keys say nothing any more, and Eve's say nothing about the time before.
        let after = |who, mark| sealed(who, 2 * SESSION + 1, FIRST_SLOT, mark);
        assert_noop!(
            report(after(ALICE, 1), after(ALICE, 2)),
            Error::<Test>::BadSeal
        );
        assert_ok!(report(after(EVE, 1), after(EVE, 2)));
        assert_noop!(
            report(before(3), sealed(EVE, 2 * SESSION, FIRST_SLOT, 4)),
            Error::<Test>::BadSeal
        );
        assert_eq!(Session::disabled_validators(), [0]);
    });
}
