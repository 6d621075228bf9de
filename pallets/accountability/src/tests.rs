// SPDX-License-Identifier: Apache-2.0

//! One file for each thing that validators answer for.

mod blocks;
mod pool;
mod sessions;
mod votes;

use frame_support::assert_ok;

use crate::{mock::*, Equivocation, Offence, Offences};

#[docify::export]
#[test]
fn two_blocks_of_one_slot_are_recorded_and_disable() {
    on_chain(|| {
        // The slot is Alice's: there are four validators, and she is the first of them.
        let slot = FIRST_SLOT;
        let one = sealed(ALICE, 1, slot, 1);
        let other = sealed(ALICE, 1, slot, 2);
        let reporter = RuntimeOrigin::signed(EVE);
        assert_ok!(Accountability::report_block_equivocation(
            reporter, one, other
        ));

        let offences = Offences::<Test>::get(ALICE);
        assert!(matches!(
            offences[..],
            [Offence {
                session: 0,
                equivocation: Equivocation::TwoBlocks { .. },
                disabled: true,
                ..
            }]
        ));
        // Aura refuses her blocks.
        assert_eq!(Session::disabled_validators(), [0]);
    });
}

/// What is recorded of a validator, and whether it disabled.
fn recorded(who: u64) -> Vec<(u32, Equivocation, bool)> {
    let offences = Offences::<Test>::get(who).into_iter();
    offences
        .map(|offence| (offence.session, offence.equivocation, offence.disabled))
        .collect()
}
