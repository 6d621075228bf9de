// SPDX-License-Identifier: Apache-2.0
//! The rules of the client hashchain, one implementation for phone, chain and auditor.
#![no_std]

extern crate alloc;

pub mod encoding;
mod envelope;
mod link;
#[cfg(feature = "native")]
mod native;
mod ratchet;
#[cfg(feature = "native")]
mod sealer;
#[cfg(feature = "hpke")]
mod sealing;
#[cfg(feature = "native")]
mod signature;
mod verify;

pub use encoding::Sha256;
pub use envelope::{plain_envelope, Content, Envelope, EnvelopeError, MAX_MEDIA_TYPE_LENGTH};
pub use link::{
    data_digest, escrow_commitment, genesis, head_message, link, secret_commitment, DataDigest,
    Enrolment, Entry, LinkHash, Tag, HEAD_MESSAGE_LENGTH,
};
#[cfg(feature = "native")]
pub use native::Native;
pub use ratchet::Secret;
#[cfg(feature = "native")]
pub use ratchet::{IndexOutOfRange, RatchetKey, MAX_INDEX};
#[cfg(feature = "native")]
pub use sealer::Sealer;
#[cfg(feature = "hpke")]
pub use sealing::{
    open_envelope, open_escrow, seal_envelope, seal_escrow, OpenError, OpenedContent, OpeningKey,
    SealError, SealingKey, ESCROW_LENGTH,
};
#[cfg(feature = "native")]
pub use signature::{is_signed, sign_head};
#[cfg(feature = "native")]
pub use verify::{Coverage, Verifier};
pub use verify::{Fault, LinkVerifier, Reason, Refusal};
