// SPDX-License-Identifier: Apache-2.0

//! The rules of the client hashchain, one implementation for phone, chain and auditor.
//!
//! # What it is for
//!
//! A patient's phone collects data for a clinical trial: how a night went, how the day after felt. Before
//! anything leaves the phone, each entry is tied to the one before it, as if it were written into a bound
//! notebook with numbered pages, in ink that only this phone has. The blockchain keeps the last page number
//! and a fingerprint of every page. Whoever takes a page out, swaps two, or writes one in the patient's name
//! breaks the binding, and who holds a copy of the ink, kept in a safe for the study's auditor, can say of
//! every single page whether the phone wrote it.
//!
//! This crate is that binding and nothing else. It does no input or output, knows no clock and makes no
//! random numbers; phone, runtime and auditor all call the same functions. Every byte of it is specified in
//! `docs/protocol/hashchain.md`, for those who write a client in another language.
//!
//! # How to use it
//!
//! ```
//! use ed25519_dalek::SigningKey;
//! use hashchain::*;
//!
//! // On the phone, at enrolment. In production, both come from a cryptographic random number generator.
//! let secret = Secret::from_bytes(&[1; 32]);
//! let device = SigningKey::from_bytes(&[2; 32]);
//! let device_key = device.verifying_key().to_bytes();
//!
//! // The chain computes this, too, from what the authentication server registers.
//! let genesis = genesis::<Native>(&Enrolment {
//!     chain: &[3; 32],
//!     study: StudyId(0),
//!     device_key: &device_key,
//!     predecessor: None,
//!     secret_commitment: &secret_commitment::<Native>(&secret),
//!     escrow_commitment: &escrow_commitment::<Native>(b"the secret, sealed to the auditor"),
//! });
//!
//! // On the phone, every morning: an envelope is chained, then a run of entries is signed.
//! let mut sealer = Sealer::begin(genesis, &secret);
//! let content = Content::new("application/json", br#"{"asleep":412}"#)?;
//! let envelopes = [plain_envelope(&[4; 32], &content), plain_envelope(&[5; 32], &content)];
//! let mut entries: Vec<Entry> =
//!     envelopes.iter().map(|bytes| sealer.append(&data_digest::<Native>(bytes))).collect();
//! let head = sealer.head();
//! let signature = sign_head(&device, &head);
//!
//! // At the auditor, who opened the escrow and so holds the secret.
//! let mut auditor = Verifier::with_secret(genesis, &secret);
//! for (entry, envelope) in entries.iter().zip(&envelopes) {
//!     auditor.check(entry, Some(envelope))?;
//! }
//! auditor.check_signature(&device_key, &head, &signature)?;
//! assert!(auditor.finish(&head)?.is_complete());
//!
//! // A hacked relay alters the second night and recomputes the link, as Figure 4 of the paper has it.
//! let forged = &mut entries[1];
//! forged.digest = data_digest::<Native>(b"slept well");
//! forged.hash = link::<Native>(forged.sequence, &forged.previous, &forged.digest, &forged.tag);
//! let mut auditor = Verifier::with_secret(genesis, &secret);
//! auditor.check(&entries[0], None)?;
//! let refusal = auditor.check(&entries[1], None).unwrap_err();
//! assert_eq!((refusal.entry, refusal.reason()), (2, Reason::Tag));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where the paper's ideas are
//!
//! The paper is Motohashi et al., *Secure and Scalable mHealth Data Management Using Blockchain Combined With
//! Client Hashchain*, J Med Internet Res 2019;21(5):e13385.
//!
//! | in the paper | here |
//! |---|---|
//! | the client's hash(data, secure string, previous hash) | [`link`] over [`data_digest`] and the tag of [`RatchetKey::tag`]; made by [`Sealer`] |
//! | the secure string | [`Secret`], ratcheted by [`RatchetKey::next`] (ours); bound by [`secret_commitment`] |
//! | how the secure string reaches who checks | sealed escrow (ours): `seal_escrow`, `open_escrow`, [`escrow_commitment`] |
//! | Figures 1 and 2: who hands data to whom | the same entries in every topology: [`Entry`], [`genesis`] |
//! | Figure 4: a relay server alters data on the way | [`Reason::Tag`] for the auditor; [`Reason::Signature`] for everybody where devices sign (ours) |
//! | Figure 5: the authentication key is stolen | [`Reason::Tag`] for the auditor; [`Reason::Signature`] (ours): the thief has not the device's own key |
//! | Figure 6: key and secure string are stolen | entries before the theft stay safe by [`RatchetKey::next`] (ours); after it the two chains are a fork, of which [`LinkVerifier`] follows one side only |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `native` (default) | [`Native`] hashing, tags, [`Sealer`], [`Verifier`], signatures, in pure Rust |
//! | `hpke` | sealing and opening of envelopes and escrows (RFC 9180); the caller brings the random numbers |
//! | `zip215` | signatures by the chain's rule, for those who judge what it has accepted |
//! | `serde` | links, digests and tags as hexadecimal text with `0x`, device and study numbers as numbers |
//! | `scale` | the same types in SCALE, as the bytes that they are |
//! | `testing` | a pretended phone, for tests and the laboratory |
//!
//! Without features it is encoding, links, runs, envelopes' forms and [`LinkVerifier`] over any [`Sha256`]; the
//! runtime takes its encodings and links, and the rest is for verifiers on small devices. It builds for `wasm32v1-none` without features and with `native`.
#![no_std]

extern crate alloc;

pub mod encoding;
mod envelope;
pub mod hex;
mod join;
mod link;
#[cfg(feature = "native")]
mod native;
mod newtypes;
pub mod parts;
mod ratchet;
mod run;
#[cfg(feature = "native")]
mod sealer;
#[cfg(feature = "hpke")]
mod sealing;
#[cfg(feature = "native")]
mod signature;
#[cfg(feature = "testing")]
pub mod testing;
mod verify;
mod weak_keys;

pub use encoding::Sha256;
pub use envelope::{plain_envelope, Content, Envelope, EnvelopeError, MAX_MEDIA_TYPE_LENGTH};
pub use join::{join, BrokenBecause, BrokenRecord, Found, Joiner, WholeRecord};
pub use link::{
    data_digest, escrow_commitment, genesis, head_message, key_proof_message, link,
    participant_digest, secret_commitment, Enrolment, Entry, KeyProof, HEAD_MESSAGE_LENGTH,
};
#[cfg(feature = "native")]
pub use native::Native;
pub use newtypes::{DataDigest, DeviceId, LinkHash, RecordDigest, StudyId, Tag};
pub use parts::{split, Part, MAX_RECORD_LENGTH, PART_MEDIA_TYPE};
pub use ratchet::Secret;
#[cfg(feature = "native")]
pub use ratchet::{IndexOutOfRange, RatchetKey, MAX_INDEX};
pub use run::{entries, Run, RunEntry, MAX_RUN_LENGTH};
#[cfg(feature = "native")]
pub use sealer::Sealer;
#[cfg(feature = "hpke")]
pub use sealing::{
    open_envelope, open_escrow, seal_envelope, seal_escrow, OpenError, OpenedContent, OpeningKey,
    SealError, SealingKey, ESCROW_LENGTH,
};
#[cfg(feature = "zip215")]
pub use signature::is_signed_by_zip215;
#[cfg(feature = "native")]
pub use signature::{is_strictly_signed, sign_head};
#[cfg(feature = "native")]
pub use verify::{Coverage, Verifier};
pub use verify::{Fault, LinkVerifier, Reason, Refusal};
pub use weak_keys::{is_weak_device_key, is_weak_sealing_key};

/// Devices with neighbouring numbers whose heads the chain's state keeps in one value. The chain and whoever reads proofs of its state
/// take it from here.
pub const HEADS_PER_PAGE: u32 = 16;
