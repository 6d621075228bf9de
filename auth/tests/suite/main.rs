// SPDX-License-Identifier: Apache-2.0

//! The authentication server against a real node, over real HTTP, on both databases.

mod administering;
mod copies;
mod enrolling;
mod interface;
mod logs;
mod processes;
mod support;
mod tokens;
