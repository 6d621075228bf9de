// SPDX-License-Identifier: Apache-2.0

//! A simulated cohort: where its nights come from, and who its participants are.
//!
//! [`csv`] reads nights that a wearable recorded, [`generator`] makes up diaries
//! of an insomnia trial, [`participants`] plays the holder of the participants' private keys.

pub mod csv;
pub mod generator;
pub mod intake;
mod line_feeds;
pub mod participants;
