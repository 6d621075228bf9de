// SPDX-License-Identifier: Apache-2.0
//! A simulated cohort: where its nights come from, and who its participants are.
//!
//! Nothing here belongs on a phone. [`csv`] reads nights that a wearable recorded, [`generator`] makes diaries
//! of an insomnia trial up, [`participants`] plays the holder of the participants' private keys.

pub mod csv;
pub mod generator;
pub mod intake;
mod line_feeds;
pub mod participants;
