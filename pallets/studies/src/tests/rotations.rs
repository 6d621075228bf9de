// SPDX-License-Identifier: Apache-2.0

//! What is answered about accounts that changed.

use crate::{mock::*, Rotation, Rotations, ROTATIONS_READ};

/// All parts of what is answered about a study.
fn parts_of(study: u32) -> Vec<Vec<(u64, u64)>> {
    let (mut parts, mut after) = (Vec::new(), None);
    loop {
        let (part, next) = Studies::rotations(study, after.as_ref());
        parts.push(part);
        after = next;
        if after.is_none() {
            return parts;
        }
        assert!(parts.len() < 100, "the parts do not end");
    }
}

/// However often accounts change, and however much the consortium grants.
#[test]
fn one_answer_looks_at_so_many_accounts_and_the_next_goes_on() {
    ExtBuilder::default().build().execute_with(|| {
        let many = 3 * ROTATIONS_READ as u64;
        // One of three was given up. The others took places, or lost them.
        let given_up = |account: u64| account.is_multiple_of(3).then_some(account + many);
        for account in 0..many {
            let rotation = Rotation {
                successor: given_up(account),
                generation: 0,
            };
            Rotations::<Test>::insert(STUDY, account, rotation);
            let elsewhere = Rotation {
                successor: Some(account),
                generation: 0,
            };
            Rotations::<Test>::insert(STUDY + 1, account, elsewhere);
        }
        let parts = parts_of(STUDY);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() < ROTATIONS_READ));
        let mut all = parts.concat();
        all.sort_unstable();
        let expected = (0..many).filter_map(|account| Some((account, given_up(account)?)));
        assert!(all.into_iter().eq(expected));
    });
}

#[test]
fn a_study_whose_accounts_never_changed_is_answered_at_once() {
    ExtBuilder::default().build_and_execute(|| {
        for study in [STUDY, STUDY + 1] {
            let (rotations, next) = Studies::rotations(study, None);
            assert!(rotations.is_empty() && next.is_none());
        }
    });
}
