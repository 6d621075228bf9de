// SPDX-License-Identifier: Apache-2.0

//! The check of the invariants sees every kind of damage, and none where there is none.

use frame_support::assert_ok;
use sp_runtime::TryRuntimeError;

use crate::{mock::*, Validators};

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
}

fn complaint_after(damage: impl FnOnce()) -> Result<(), TryRuntimeError> {
    ExtBuilder.build().execute_with(|| {
        assert_ok!(Consortium::do_try_state());
        damage();
        Consortium::do_try_state()
    })
}
