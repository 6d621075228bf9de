// SPDX-License-Identifier: Apache-2.0

//! The phone's part of mHealth Chain as an app takes it: owned types, one error with stable codes, sentences for participants.
//!
//! The packages in `sdk/` are made from this: Kotlin, Python and Swift by UniFFI (feature `bindings`), TypeScript by the crate
//! beside it, `sdk/wasm`. Apps in Rust use `mhealth-device` itself.

#[cfg(feature = "bindings")]
mod bindings;
pub mod checks;
pub mod digits;
mod error;
#[cfg(feature = "bindings")]
mod host;
pub mod phone;
#[cfg(feature = "bindings")]
mod wait;
mod words;
#[cfg(feature = "bindings")]
mod wrapping;

pub use error::SdkError;
pub use words::{Language, Sentences, Words};

#[cfg(feature = "bindings")]
uniffi::setup_scaffolding!("mhealth");
