// SPDX-License-Identifier: Apache-2.0

//! What wasm-bindgen hands to TypeScript. The package `sdk/typescript` wraps it; apps use that.
//!
//! Storage, keys and servers are asynchronous in JavaScript and the core's store is not: [`mirror`] answers from memory, and
//! writes out before anything is sent and before a seal is reported. Values cross the border as JSON with bytes in hexadecimal
//! digits, but for payloads and what is stored.

mod checks;
mod host;
mod mirror;
mod phone;
mod words;
