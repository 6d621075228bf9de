// SPDX-License-Identifier: Apache-2.0

//! The keys of a study's participants, for their holder.
//!
//! # What it is for
//!
//! The holder of the participants' private keys keeps them with this crate ([`keys`]), and has a participant erased who wants
//! that ([`erase`]).

pub mod erase;
mod error;
pub mod keys;

pub use error::DataError;
