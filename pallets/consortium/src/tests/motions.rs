// SPDX-License-Identifier: Apache-2.0

//! No member keeps the others from proposing, however many motions it makes.

use frame_support::{assert_noop, assert_ok, weights::Weight};
use pallet_collective::Instance1;
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    DispatchResult,
};

use super::{decide, next_session};
use crate::{mock::*, Error, Motions};

/// More bytes than any motion here has.
const LENGTH: u32 = 100;

/// A motion like no other of the test.
fn motion(number: u8) -> RuntimeCall {
    RuntimeCall::System(frame_system::Call::remark {
        remark: vec![number],
    })
}

fn propose(who: u64, number: u8) -> DispatchResult {
    Council::propose(
        RuntimeOrigin::signed(who),
        3,
        Box::new(motion(number)),
        LENGTH,
    )
    .map(|_| ())
    .map_err(|refused| refused.error)
}

/// Two of four members vote against a motion that needs three, and one of them closes it. `index` is its place among
/// all that were ever proposed.
fn reject(number: u8, index: u32) {
    let hash = BlakeTwo256::hash_of(&motion(number));
    for member in [2, 3] {
        let member = RuntimeOrigin::signed(member);
        assert_ok!(Council::vote(member, hash, index, false));
    }
    let anybody = RuntimeOrigin::signed(2);
    assert_ok!(Council::close(anybody, hash, index, Weight::MAX, LENGTH));
}

fn open() -> usize {
    pallet_collective::Proposals::<Test, Instance1>::get().len()
}

#[test]
fn a_member_has_two_places_and_the_others_have_theirs() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(propose(1, 0));
        assert_ok!(propose(1, 1));
        assert_noop!(propose(1, 2), Error::<Test>::TooManyMotions);
        for (member, number) in [(2, 2), (2, 3), (3, 4), (3, 5), (4, 6), (4, 7)] {
            assert_ok!(propose(member, number));
        }
        assert_eq!(open(), 8);
    });
}

#[test]
fn a_place_is_free_again_as_soon_as_its_motion_is_closed() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(propose(1, 0));
        assert_ok!(propose(1, 1));
        reject(0, 0);
        assert_ok!(propose(1, 2));
        assert_noop!(propose(1, 3), Error::<Test>::TooManyMotions);
        // By its time running out, and by the decision to disapprove, too.
        (0..5).for_each(|_| next_session());
        let hash = BlakeTwo256::hash_of(&motion(1));
        assert_ok!(Council::close(
            RuntimeOrigin::signed(2),
            hash,
            1,
            Weight::MAX,
            LENGTH
        ));
        assert_ok!(propose(1, 3));
        let hash = BlakeTwo256::hash_of(&motion(2));
        assert_ok!(Council::disapprove_proposal(RuntimeOrigin::root(), hash));
        assert_ok!(propose(1, 4));
        assert_eq!(Motions::<Test>::get().len(), open());
    });
}

#[test]
fn whoever_proposes_a_closed_motion_again_takes_a_place_of_its_own() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(propose(1, 0));
        assert_ok!(propose(1, 1));
        reject(0, 0);
        reject(1, 1);
        // Member 4 proposes what member 1 had proposed, which takes nothing from member 1.
        assert_ok!(propose(4, 0));
        assert_ok!(propose(4, 1));
        assert_noop!(propose(4, 2), Error::<Test>::TooManyMotions);
        assert_ok!(propose(1, 2));
        assert_ok!(propose(1, 3));
    });
}

#[test]
fn nothing_is_kept_for_a_motion_that_is_over() {
    ExtBuilder.build_and_execute(|| {
        for number in 0..100 {
            assert_ok!(propose(1, number));
            reject(number, u32::from(number));
            assert!(Motions::<Test>::get().len() <= 1);
        }
        assert_eq!(
            pallet_collective::CostOf::<Test, Instance1>::iter().count(),
            0
        );
    });
}

#[test]
fn the_motions_of_a_member_that_leaves_are_closed() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(propose(4, 0));
        assert_ok!(propose(4, 1));
        assert_ok!(propose(3, 2));
        let replace = RuntimeCall::Members(pallet_membership::Call::swap_member {
            remove: 4,
            add: STRANGER,
        });
        assert_ok!(decide(replace, 3, &[1, 2, 3]));
        assert_eq!(open(), 1);
        // Who comes in its place begins with both of its own.
        assert_ok!(propose(STRANGER, 3));
        assert_ok!(propose(STRANGER, 4));
    });
}
