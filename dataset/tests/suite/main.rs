// SPDX-License-Identifier: Apache-2.0

//! Datasets, made of studies that are made by hand.

mod bad_input;
mod exports;
mod names;
mod parts;
mod person;
mod program;
#[path = "../support/mod.rs"]
mod support;
mod verifying;
