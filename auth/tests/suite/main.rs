// SPDX-License-Identifier: Apache-2.0

//! The authentication server against a real node, over real HTTP, on both databases.

mod administering;
mod approving;
mod commands;
mod copies;
mod doctor;
mod duties;
mod enrolling;
mod guessing;
mod interface;
mod logging_in;
mod logs;
mod outages;
mod processes;
mod queueing;
mod readiness;
mod reloading;
mod reserve;
mod signing_keys;
mod silence;
mod support;
mod tokens;
