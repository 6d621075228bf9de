// SPDX-License-Identifier: Apache-2.0

//! Datasets, made of studies that are made by hand.

mod audited;
mod bad_input;
mod copies;
mod disks;
mod erased;
mod exports;
mod later;
mod names;
mod nights;
mod parts;
mod person;
mod program;
mod records;
mod studies;
#[path = "../support/mod.rs"]
mod support;
mod unproved;
mod verifying;
