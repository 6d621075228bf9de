// SPDX-License-Identifier: Apache-2.0

//! A motion asks for as many ayes as its call needs.

use frame_support::assert_ok;
use pallet_consortium::{Call as Consortium, Collective};
use sp_keyring::Sr25519Keyring::{Alice, AliceStash, BobStash, CharlieStash, Dave, Ferdie};
use sp_runtime::{traits::Dispatchable, DispatchError};

use super::{block, pool, refused, table::calls, undone, Sender};
use crate::{
    admission::motions::threshold, testing::local, Consortium as Pallet, Members, RuntimeCall,
    RuntimeOrigin, MOTION_NEEDS_ANOTHER_THRESHOLD,
};

fn motion(threshold: u32, call: &RuntimeCall) -> RuntimeCall {
    pallet_collective::Call::propose {
        threshold,
        proposal: Box::new(call.clone()),
        length_bound: 1_000,
    }
    .into()
}

fn remove_dave() -> RuntimeCall {
    Consortium::remove_member {
        member: Dave.to_account_id(),
    }
    .into()
}

/// Dave made its own removal a motion with a threshold of two, and closed it before it had the ayes that it needed, over and
/// over; or with one of five, which four members do not reach.
#[test]
fn a_motion_cannot_be_spoilt_by_who_proposes_it_first_with_a_wrong_threshold() {
    local().execute_with(|| {
        let refusal = refused(MOTION_NEEDS_ANOTHER_THRESHOLD);
        for wrong in [0, 1, 2, 4, 5, u32::MAX] {
            let spoilt = Sender::from(Dave).next(motion(wrong, &remove_dave()));
            assert_eq!(pool(spoilt.clone()), Err(refusal), "{wrong}");
            assert_eq!(block(spoilt), Err(refusal), "{wrong}");
        }
        let right = Sender::from(Alice).next(motion(3, &remove_dave()));
        assert_ok!(pool(right.clone()));
        assert_ok!(block(right));
        assert_eq!(
            pallet_collective::Proposals::<crate::Runtime, Collective>::get().len(),
            1
        );
    });
}

/// Whether as many ayes are enough for the call, whatever else comes of it.
fn is_enough(call: &RuntimeCall, ayes: u32, members: u32) -> bool {
    let origin: RuntimeOrigin = pallet_collective::RawOrigin::Members(ayes, members).into();
    let result = undone(|| call.clone().dispatch(origin));
    result.map_err(|refused| refused.error) != Err(DispatchError::BadOrigin)
}

#[test]
fn the_threshold_is_the_least_number_of_ayes_with_which_the_call_is_done() {
    local().execute_with(|| {
        let more = [AliceStash, BobStash, CharlieStash, Ferdie];
        for count in 4..=8 {
            if count > 4 {
                let who = more[count - 5].to_account_id();
                let members = vec![who].try_into().expect("they are few");
                assert_ok!(Pallet::add_members(RuntimeOrigin::root(), members));
            }
            let members = Members::members().len() as u32;
            assert_eq!(members as usize, count);
            let mut decided = 0;
            for call in calls() {
                let least = (1..=members).find(|ayes| is_enough(&call, *ayes, members));
                // Most calls are made by nobody's ayes.
                let Some(least) = least else { continue };
                // Some are open to whoever asks, by no decision at all.
                if is_enough(&call, 0, members) {
                    continue;
                }
                assert_eq!(threshold(&call), least, "{call:?} of {members}");
                decided += 1;
            }
            assert!(decided >= 10, "{decided} calls are decided on");
        }
    });
}
