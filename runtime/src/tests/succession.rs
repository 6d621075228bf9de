// SPDX-License-Identifier: Apache-2.0

//! An organisation with several offices changes its account in all of them.

use frame_support::{assert_noop, assert_ok};
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Ferdie, One};

use crate::{testing::local, Consortium, Runtime, RuntimeOrigin, Studies};

#[test]
fn a_member_has_one_successor_in_the_consortium_and_in_its_studies() {
    // A sponsor of two studies that changes as a member first, and a server of two that changes as a member last.
    for (who, successor) in [(Bob, Ferdie), (Charlie, One)] {
        local().execute_with(|| {
            let signed = || RuntimeOrigin::signed(who.to_account_id());
            let successor = successor.to_account_id();
            if who == Bob {
                assert_ok!(Consortium::change_key(signed(), successor.clone()));
            }
            for study in [0, 1] {
                assert_ok!(Studies::rotate(signed(), study, successor.clone()));
            }
            if who == Charlie {
                assert_ok!(Consortium::change_key(signed(), successor.clone()));
            }
            assert!(Consortium::is_member(&successor));
            assert!(Studies::has_role(&successor) && !Studies::has_role(&who.to_account_id()));
            // To everybody else it is somebody.
            assert_noop!(
                Consortium::change_key(RuntimeOrigin::signed(Alice.to_account_id()), successor),
                pallet_consortium::Error::<Runtime>::AlreadyMember
            );
            assert_ok!(Consortium::do_try_state());
            assert_ok!(Studies::do_try_state());
        });
    }
}
