// SPDX-License-Identifier: Apache-2.0

//! The real relay against a real node, over real HTTP. Tokens are signed and their keys served by the tests.

mod exports;
mod faults;
mod inputs;
mod interface;
mod issuer;
mod logs;
mod pressure;
mod proofs;
mod tokens;
mod uploads;
mod world;
