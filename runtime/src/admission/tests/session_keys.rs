// SPDX-License-Identifier: Apache-2.0

//! Session keys are changed once a day, and never by the last who has any.

use codec::Encode;
use frame_support::assert_ok;
use pallet_session::Call;
use sp_core::{ed25519, sr25519, Pair};
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Dave};

use super::{block, pool, refused, Sender};
use crate::{
    limits::DAYS,
    testing::{development, local, DAY_ONE},
    Consortium, Runtime, RuntimeOrigin, SessionKeys, System, LAST_SESSION_KEYS,
    SESSION_KEYS_CHANGED_TODAY,
};

/// A call of the account that registers the keys of this seed, with the proof that it has them.
pub(super) fn set_keys(sender: &Sender, seed: u8) -> Call<crate::Runtime> {
    let aura = sr25519::Pair::from_seed(&[seed; 32]);
    let grandpa = ed25519::Pair::from_seed(&[seed; 32]);
    let statement = (*b"POP_", sender.account()).encode();
    let proof = (aura.sign(&statement), grandpa.sign(&statement)).encode();
    let keys = SessionKeys {
        aura: aura.public().into(),
        grandpa: grandpa.public().into(),
    };
    Call::set_keys { keys, proof }
}

/// As far as the rule asks.
fn next_session() {
    pallet_session::CurrentIndex::<Runtime>::mutate(|session| *session += 1);
}

fn purge() -> Call<crate::Runtime> {
    Call::purge_keys {}
}

/// Else one of them makes a new set of authorities in every session, for nothing.
#[test]
fn a_validator_changes_its_session_keys_once_a_day() {
    local().execute_with(|| {
        let alice = Sender::from(Alice);
        let refusal = refused(SESSION_KEYS_CHANGED_TODAY);
        // Wrong keys are corrected in the session in which they were set.
        for seed in [7, 1] {
            assert_ok!(block(alice.next(set_keys(&alice, seed))).expect("it may"));
        }
        next_session();
        for now in [DAY_ONE, DAY_ONE + 1, DAY_ONE + DAYS - 1] {
            System::set_block_number(now);
            for again in [set_keys(&alice, 2), purge()] {
                assert_eq!(block(alice.next(again)), Err(refusal));
            }
        }
        // The pool asks about the next block.
        for again in [set_keys(&alice, 2), purge()] {
            System::set_block_number(DAY_ONE + DAYS - 2);
            assert_eq!(pool(alice.next(again)), Err(refusal));
        }
        // The others are not bound by it.
        let bob = Sender::from(Bob);
        System::set_block_number(DAY_ONE + 1);
        assert_ok!(block(bob.next(set_keys(&bob, 3))).expect("it may"));

        System::set_block_number(DAY_ONE + DAYS - 1);
        assert_ok!(pool(alice.next(set_keys(&alice, 2))));
        System::set_block_number(DAY_ONE + DAYS);
        assert_ok!(block(alice.next(purge())).expect("it may"));
        // Without keys it makes no blocks, so it need not wait; with them it does.
        assert_ok!(block(alice.next(set_keys(&alice, 2))).expect("it may"));
        next_session();
        assert_eq!(block(alice.next(purge())), Err(refusal));
        assert_ok!(Consortium::do_try_state());
    });
}

#[test]
fn who_is_no_validator_yet_registers_keys_as_often_as_it_needs() {
    development().execute_with(|| {
        let members = [Charlie, Dave].map(|who| who.to_account_id());
        let members = members.to_vec().try_into().expect("they are few");
        assert_ok!(Consortium::add_members(RuntimeOrigin::root(), members));
        let dave = Sender::from(Dave);
        for seed in [1, 2, 3] {
            assert_ok!(block(dave.next(set_keys(&dave, seed))).expect("it may"));
        }
        assert_ok!(block(dave.next(purge())).expect("it may"));
    });
}

/// Else Aura and GRANDPA go on with validators that the session pallet does not know any more.
#[test]
fn the_last_validator_with_keys_does_not_purge_them() {
    local().execute_with(|| {
        for who in [Alice, Bob, Charlie] {
            assert_ok!(block(Sender::from(who).next(purge())).expect("it may"));
        }
        let last = Sender::from(Dave);
        let refusal = refused(LAST_SESSION_KEYS);
        assert_eq!(pool(last.next(purge())), Err(refusal));
        assert_eq!(block(last.next(purge())), Err(refusal));
        assert_ok!(block(last.next(set_keys(&last, 9))).expect("it may"));
    });
}
