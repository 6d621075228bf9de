// SPDX-License-Identifier: Apache-2.0

//! The simulator: its nights, its staff, its topologies, and the program on its way through servers.

mod bare;
mod csv;
mod documents;
mod intake;
mod program;
mod staff;
#[path = "../../../device-host/tests/support/mod.rs"]
mod support;
