// SPDX-License-Identifier: Apache-2.0

//! A simulated cohort: where its nights come from, and who its participants are.
//!
//! [`csv`] reads nights that a wearable recorded, [`omh`] data points that another program made, [`generator`] makes up diaries
//! of an insomnia trial. [`source`] is what they have in common, [`survey`] looks at a whole file before [`intake`] seals
//! it, and [`participants`] plays the holder of the participants' private keys.

pub mod csv;
pub mod generator;
pub mod intake;
mod lines;
pub mod omh;
pub mod participants;
pub mod source;
pub mod survey;
