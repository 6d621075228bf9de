// SPDX-License-Identifier: Apache-2.0

use hashchain::{DeviceId, LinkHash, Run};

use super::proof::Changes;
use super::Rotations;
use crate::case::{BroughtRun, Fate};
use crate::scratch::Scratch;

fn account(number: u8) -> [u8; 32] {
    [number; 32]
}

/// One relay had accounts 1, 2 and 3, another had 7 and 8.
fn rotations() -> Rotations {
    Rotations::new(vec![
        (account(2), account(3)),
        (account(7), account(8)),
        (account(1), account(2)),
    ])
}

#[test]
fn an_account_that_was_given_up_is_its_last_successor() {
    let present = |number| rotations().present([number; 32]);
    assert_eq!([1, 2, 3].map(present), [[3; 32]; 3]);
    assert_eq!([7, 8].map(present), [[8; 32]; 2]);
    assert_eq!(present(9), [9; 32]);
}

#[test]
fn nobody_becomes_a_phone_by_naming_its_key() {
    let given_up = vec![
        (account(1), account(2)),
        (account(2), account(3)),
        (account(7), account(8)),
    ];
    let rotations = Rotations::of_study(given_up, [account(2)].into_iter());
    let present = |number| rotations.present([number; 32]);
    assert_eq!(present(1), [1; 32]);
    assert_eq!([7, 8].map(present), [[8; 32]; 2]);
}

/// Each account is looked at once, or an audit would not end.
#[test]
fn many_changes_of_one_place_are_followed_in_no_time() {
    const MANY: u32 = 200_000;
    let account = |number: u32| {
        let mut account = [0; 32];
        account[..4].copy_from_slice(&number.to_be_bytes());
        account
    };
    let given_up = (0..MANY).map(|number| (account(number), account(number + 1)));
    let rotations = Rotations::new(given_up.collect());
    for former in [0, 1, MANY / 2, MANY - 1, MANY] {
        assert_eq!(rotations.present(account(former)), account(MANY));
    }
}

#[test]
fn what_a_former_account_brought_is_told_of_the_present_one() {
    let scratch = Scratch::temporary().unwrap();
    for (block, submitter) in [(1, 1), (2, 2), (3, 3), (4, 9)] {
        let run = Run {
            device: DeviceId(0),
            first_sequence: block,
            previous: LinkHash([0; 32]),
            entries: vec![],
            signature: None,
        };
        let brought = BroughtRun {
            block,
            extrinsic: 1,
            submitter: [submitter; 32],
            fate: Fate::Registered,
            run,
        };
        scratch.add_brought(0, &brought).unwrap();
    }
    // Twice, as an audit does that goes on where another was cut short.
    for _ in 0..2 {
        for (former, present) in rotations().all() {
            scratch.rename_submitter(former, present).unwrap();
        }
    }
    let brought = scratch.brought(DeviceId(0)).unwrap();
    let submitters: Vec<_> = brought.iter().map(|run| run.submitter).collect();
    assert_eq!(submitters, [[3; 32], [3; 32], [3; 32], [9; 32]]);
}

#[test]
fn the_last_block_of_a_set_is_signed_for_by_that_set() {
    // An earlier audit, whose file is gone on from, may have read further than this one.
    let changes = Changes {
        handovers: vec![3, 7, 12, 20],
        forced: vec![],
    };
    let led_by = |from, justified| -> Vec<u32> {
        let handovers = changes.handovers_between(from, justified);
        handovers.collect()
    };
    assert_eq!(led_by(0, 12), [3, 7]);
    assert_eq!(led_by(0, 13), [3, 7, 12]);
    // A checkpoint's own state names those after it.
    assert!(led_by(3, 7).is_empty());
    assert_eq!(led_by(3, 8), [7]);
}
