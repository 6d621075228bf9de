// SPDX-License-Identifier: Apache-2.0

//! The device library from outside, with a chain in memory and with servers that misbehave.

mod fake;
mod files;
mod keystore;
mod parts;
mod phone;
mod phones;
mod proofs;
mod queue;
mod sealing;
mod servers;
mod standing;
#[path = "../support/mod.rs"]
mod support;
mod uploading;

use support::{assert_verifies, clock, device, rng, seal, store_at, store_in_memory, terms, word};
