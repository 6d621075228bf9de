// SPDX-License-Identifier: Apache-2.0

//! What plays phones and does not belong on one.
//!
//! The phones themselves are [`mhealth_device_host`]; the program `mhealth-device` gives them a command line. This library has
//! the rest: [`cohort`] makes nights and plays the holder of the participants' keys, [`direct`] is the paper's Figure 1a,
//! [`staff`] hands out enrolment codes, [`meter`] drives servers and measures them.

pub mod cohort;
pub mod direct;
pub mod meter;
pub mod staff;
