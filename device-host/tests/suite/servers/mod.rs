// SPDX-License-Identifier: Apache-2.0

//! The way through an authentication server and relays, with servers that misbehave.

mod enrolling;
mod storms;
mod trust;
mod uploading;

use crate::support::{
    fakes,
    trial::{address, code, impatience, settings, through, Trial},
    world,
};
