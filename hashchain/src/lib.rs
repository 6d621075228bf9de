// SPDX-License-Identifier: Apache-2.0
//! The rules of the client hashchain, one implementation for phone, chain and auditor.
#![no_std]

extern crate alloc;

pub mod encoding;
mod link;
#[cfg(feature = "native")]
mod native;
mod ratchet;

pub use encoding::Sha256;
pub use link::{
    data_digest, escrow_commitment, genesis, head_message, link, secret_commitment, DataDigest,
    Enrolment, Entry, LinkHash, Tag, HEAD_MESSAGE_LENGTH,
};
#[cfg(feature = "native")]
pub use native::Native;
pub use ratchet::Secret;
