// SPDX-License-Identifier: Apache-2.0

//! The real relay against a real node, over real HTTP. Tokens are signed and their keys served by the tests.

mod backup;
mod erasures;
mod exports;
mod faults;
mod files;
mod inputs;
mod interface;
mod issuer;
mod logs;
mod pages;
mod parts;
mod pressure;
mod proofs;
mod readiness;
mod reloading;
mod tokens;
mod uploads;
mod world;
