// SPDX-License-Identifier: Apache-2.0

//! The check of the invariants sees every kind of damage, and none where there is none.

use frame_support::assert_ok;
use sp_runtime::TryRuntimeError;

use crate::{mock::*, Collective, Motion, Motions, SessionKeyChanges, Validators};

#[test]
fn damage_is_seen() {
    assert_eq!(
        complaint_after(|| {
            assert_ok!(Validators::<Test>::try_append(1));
        }),
        Err("a validator is listed twice".into())
    );
    assert_eq!(
        complaint_after(Validators::<Test>::kill),
        Err("there are no validators".into())
    );
    assert_eq!(
        complaint_after(|| {
            assert_ok!(Validators::<Test>::try_append(STRANGER));
        }),
        Err("an account of the consortium has no place on the chain".into())
    );
    assert_eq!(
        complaint_after(|| {
            assert_ok!(System::dec_providers(&4));
        }),
        Err("an account of the consortium has no place on the chain".into())
    );
    assert_eq!(
        complaint_after(|| SessionKeyChanges::<Test>::insert(4, (1, 0))),
        Err("who changed its session keys is no validator".into())
    );
}

#[test]
fn motions_out_of_place_are_seen() {
    let propose = |proposers: &[u64]| {
        for (number, proposer) in (0u8..).zip(proposers) {
            let motion = sp_core::H256::repeat_byte(number);
            assert_ok!(pallet_collective::Proposals::<Test, Collective>::try_append(motion));
            let motion = Motion {
                motion,
                proposer: *proposer,
            };
            assert_ok!(Motions::<Test>::try_append(motion));
        }
    };
    assert_eq!(complaint_after(|| propose(&[1, 1, 2])), Ok(()));
    assert_eq!(
        complaint_after(|| {
            propose(&[1]);
            Motions::<Test>::kill();
        }),
        Err("the proposer of a motion is not known".into())
    );
    assert_eq!(
        complaint_after(|| propose(&[STRANGER])),
        Err("a motion is nobody's".into())
    );
    assert_eq!(
        complaint_after(|| propose(&[1, 1, 1])),
        Err("a member has too many motions".into())
    );
}

fn complaint_after(damage: impl FnOnce()) -> Result<(), TryRuntimeError> {
    ExtBuilder.build().execute_with(|| {
        assert_ok!(Consortium::do_try_state());
        damage();
        Consortium::do_try_state()
    })
}
