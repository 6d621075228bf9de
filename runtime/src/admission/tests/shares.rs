// SPDX-License-Identifier: Apache-2.0

//! The shares of lanes: in blocks, in an author's time, and in the metadata.

use codec::Encode;
use pallet_admission::{Lane, Rules};
use sp_runtime::Perbill;

use crate::{
    admission::Admitted,
    limits::{AUTHOR_LOST, AUTHOR_SHARE},
    Admission,
};

#[test]
fn an_author_gives_each_lane_the_time_that_the_lane_may_take_of_a_block() {
    for lane in Lane::ALL {
        let share = AUTHOR_SHARE[lane as usize];
        let of_block = Admitted::limits(lane).weight;
        match lane {
            // It ends with the author's time, not before.
            Lane::Relay => assert!(share >= 100 && of_block == Perbill::one()),
            _ => assert_eq!(Perbill::from_percent(share), of_block, "{lane:?}"),
        }
    }
}

#[test]
fn all_that_an_author_may_lose_in_lanes_leaves_most_of_its_time() {
    let lost: f64 = AUTHOR_LOST.iter().map(|part| 1.0 / f64::from(*part)).sum();
    assert!(lost < 0.5, "{lost}");
    // And what it may use in all lanes but the last leaves time for that one.
    let used: u32 = Lane::ALL[1..]
        .iter()
        .map(|lane| AUTHOR_SHARE[*lane as usize])
        .sum();
    assert!(used < 100 - 100 / AUTHOR_LOST[0], "{used}");
}

/// Whoever looks at the chain with any client finds what an account may send.
#[test]
fn what_lanes_and_accounts_may_take_stands_in_the_metadata() {
    let constants = Admission::pallet_constants_metadata();
    let constant = |name: &str| {
        let found = constants.iter().find(|constant| constant.name == name);
        let found = found.unwrap_or_else(|| panic!("no constant {name}"));
        found.value.clone()
    };
    let lanes = [
        (Lane::Relay, "RelayLane"),
        (Lane::Device, "DeviceLane"),
        (Lane::Study, "StudyLane"),
        (Lane::Consortium, "ConsortiumLane"),
    ];
    assert_eq!(lanes.map(|(lane, _)| lane), Lane::ALL);
    for (lane, name) in lanes {
        assert_eq!(constant(name), Admitted::limits(lane).encode());
    }
    assert_eq!(constant("Places"), Admitted::places().encode());
}
