// SPDX-License-Identifier: Apache-2.0

//! An author's shares of time are those of the lanes.

use pallet_admission::{Lane, Rules};
use sp_runtime::Perbill;

use crate::{
    admission::Admitted,
    limits::{AUTHOR_LOST, AUTHOR_SHARE},
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
