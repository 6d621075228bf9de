// SPDX-License-Identifier: Apache-2.0

//! What devices, authentication servers and relays say to each other over HTTP: messages, proofs, tokens, error codes.
//!
//! `docs/protocol/device-api.md` is the normative text for those who write clients. Servers and the device library share these
//! types, so neither can drift from the other.
//!
//! Keys, hashes, tags and signatures are hexadecimal with `0x`, as everywhere on this chain. Envelopes and escrows are
//! standard base64 with padding (RFC 4648, section 4). Times are seconds since 1970-01-01T00:00:00Z. Members that a
//! message does not know are refused.
//!
//! It needs `alloc` only, unless `openapi` is asked for.
#![cfg_attr(not(any(test, feature = "openapi")), no_std)]

#[macro_use]
extern crate alloc;

mod admin;
mod bytes;
mod code;
mod enrolment;
mod erasure;
mod export;
mod problem;
mod proof;
mod runs;
mod study;
mod token;
mod words;

pub use admin::{Another, IssuedCode, NewCode};
pub use bytes::{Base64, Hash, InvalidBytes, Key, SignatureBytes};
pub use code::{EnrolmentCode, MalformedCode};
pub use enrolment::{
    enrolment_message, key_proof_message, CodeTerms, CodeTermsRequest, EnrolRequest, Enrolled,
    Predecessor,
};
pub use erasure::{ErasureOrder, ErasureOutcome, MAX_ERASED_DEVICES};
pub use export::{
    ClosingLine, ExportClosing, ExportLine, ExportedEntry, ExportedRun, CLOSING_PREFIX,
    LONGEST_EXPORT_LINE,
};
pub use problem::{Code, Problem, PROBLEM_MEDIA_TYPE};
pub use proof::{
    token_hash, Proof, ProofClaims, ProofError, Thumbprint, DPOP, DPOP_NONCE, MAX_PROOF_LENGTH,
    PROOF_ALGORITHM, PROOF_TYPE,
};
pub use runs::{
    run_id, BareRecord, BlockRef, ChainHead, DeviceHeads, DeviceOnChain, Head, RegisteredEntry,
    RunEntry, RunStatus, RunUpload, MAX_ENVELOPE_LENGTH,
};
pub use study::{Policy, StudyTerms};
pub use token::{Claims, Confirmation, Jwk, JwkSet, TokenAnswer, TokenRequest};
pub use words::{DeviceStatus, NotAWord, Refusal, RunState, MAX_WORD_LENGTH};
