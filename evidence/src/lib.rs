// SPDX-License-Identifier: Apache-2.0

//! Checks what the chain says, without believing whoever brings it: a phone its relay, an auditor its node, a reader a file.
//!
//! # What it is for
//!
//! A relay tells a phone: what you wrote stands on the chain. The relay may lie. So it hands over a proof, which anybody can check who
//! knows the hash of the chain's first block: who the chain's authorities are, one set after the other; that they made a block
//! final; and what stands in the state of that block. A proof is right or it is nothing. Nobody has to be asked, and nobody trusted
//! but two thirds of the authorities.
//!
//! # How it is used
//!
//! An [`Anchor`] is what the reader knows. It begins with the first block, [`Anchor::begin`], or with a later one that the reader
//! trusts, [`Anchor::at_checkpoint`]. [`Anchor::check`] takes a [`FinalityProof`], moves on to the authorities of its block, and
//! gives the [`FinalState`], whose values are proved or [`NotProved`]. [`HeadProof`] is how a proof travels from a relay to a phone.
//!
//! # What it is not
//!
//! It asks nobody: no network, no files, no clock. It uses no crate of a node or a client and nothing written in C, so that it
//! runs in a phone and in a web page. The crates that the chain's nodes use are what its tests compare it with.
//!
//! What is read is bounded before memory is taken for it, and has exactly one encoding. `docs/protocol/evidence.md` has the bytes.

#![no_std]

extern crate alloc;

mod anchor;
mod bytes;
mod checkpoint;
mod finality;
mod hash;
mod header;
mod keys;
mod proof;
mod records;
mod root;
mod trie;

pub use anchor::{Anchor, FinalState, Refusal};
pub use bytes::{bounded_list, decode_exactly, Blobs};
pub use checkpoint::{Checkpoint, NotACheckpoint};
pub use finality::{
    forces_authorities, next_authorities, Authority, AuthoritySet, Handover, Justified, NotFinal,
};
pub use hash::blake2_256;
pub use hashchain::HEADS_PER_PAGE;
pub use header::{Digest, DigestItem, Header, JOURNAL_ENGINE};
pub use keys::{
    checkpoint_keys, conflicts_key, device_key, erasure_receipt_key, events_key, genesis_hash_key,
    head_page_key, journal_length_key, journal_page_key, last_runtime_upgrade_key, next_device_key,
    now_key, relays_prefix, rotations_prefix, set_key, study_key, AUTHORITIES_KEY, CODE_KEY,
    ENTRIES_PER_PAGE, PENDING_CODE_KEY,
};
pub use proof::{CheckpointAuthorities, FinalityProof, FirstAuthorities, FormatError, HeadProof};
pub use records::{
    Conflict, DeviceConflicts, DeviceHead, DeviceRecord, DeviceStatus, ErasureReceipt,
    JournalEntry, Rotated, StudyPolicy, StudyRecord, StudyStatus, SuspensionReason, TrustedHead,
};
pub use root::ordered_root;
pub use trie::{Item, NotProved, State};
