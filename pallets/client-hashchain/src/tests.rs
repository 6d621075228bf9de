// SPDX-License-Identifier: Apache-2.0

//! One file per call; every test ends with a check of the pallet's invariants.

mod batch;
mod enrol;
mod entries;
mod erasures;
mod forks;
mod journal;
mod laws;
mod overlaps;
mod pages;
mod quota;
mod retirement;
mod run_checks;
mod runs;
mod status;
mod studies;
mod submit;
mod walks;
