// SPDX-License-Identifier: Apache-2.0

//! The runtime API by which programs off chain read the hashchains.
//!
//! The chain lays its state out for speed: heads in pages, entries in one journal. Nobody off chain should have to know
//! that layout, so clients ask these functions, which answer in the words of the protocol. polkadot-js Apps shows them
//! under *Developer → Runtime calls*.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

use alloc::vec::Vec;
use codec::{Codec, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::H256;

/// Whether a device may register entries.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub enum DeviceState {
    /// Its runs are accepted.
    Active,
    /// Its runs are refused until the study lifts the suspension.
    Suspended,
    /// Its hashchain has ended; a successor may go on.
    Retired,
}

/// All that the chain knows about one device.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct DeviceView {
    /// The number that the chain gave the device at enrolment.
    pub device: u32,
    /// The study that it belongs to.
    pub study: u32,
    /// Its Ed25519 public key, which is also its account.
    pub key: [u8; 32],
    /// `H("secret", S)`: binds the device to its secure string without showing it.
    pub secret_commitment: H256,
    /// The secure string, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// The epoch of the auditor key to which it was sealed, counted from 0.
    pub auditor_epoch: u32,
    /// `H("participant", key)` of the key to which the device seals its data.
    pub participant: H256,
    /// Link 0 of its hashchain, computed by the chain.
    pub genesis: H256,
    /// Whether it may register entries.
    pub state: DeviceState,
    /// Number of its registered entries.
    pub length: u64,
    /// Link of its latest entry, or `genesis` when it has none.
    pub head: H256,
    /// The device whose hashchain this one goes on from.
    pub predecessor: Option<u32>,
    /// The device that goes on from this one's last trusted entry.
    pub successor: Option<u32>,
    /// How many of its entries are trusted, when it was retired; its successor commits to that head.
    pub trusted_length: Option<u64>,
    /// Block in which it was enrolled.
    pub enrolled_at: u32,
    /// Block from which on it is retired, when an authentication server has asked for that; until then the sponsor can veto
    /// it.
    pub retires_at: Option<u32>,
}

/// The head of a device's hashchain: what the next run must name as `previous`.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct HeadView {
    /// Link of the latest entry; link 0 when there is none.
    pub hash: H256,
    /// Number of registered entries, which is also the sequence of the latest.
    pub length: u64,
    /// Where in the journal the latest entry is.
    pub latest: Option<u64>,
}

/// One registered entry.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct EntryView {
    /// Its place in the journal of the whole chain, from 0.
    pub index: u64,
    /// The device that it belongs to.
    pub device: u32,
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// `H("data", envelope)`.
    pub digest: H256,
    /// Its link.
    pub hash: H256,
    /// Where in the journal the device's entry before it is.
    pub previous: Option<u64>,
}

/// A part of a device's entries, and where to go on.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug, Default)]
pub struct EntriesPage {
    /// Entries of the device, newest first.
    pub entries: Vec<EntryView>,
    /// What to give as `at` to go on with the entries before these. None: there are no more, or those before have left
    /// the state.
    pub next: Option<u64>,
}

/// A rival history of a device that somebody tried to register.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct ConflictView<AccountId> {
    /// First sequence at which the rival was seen to differ.
    pub sequence: u64,
    /// The link that is registered there.
    pub recorded: H256,
    /// The rival's link.
    pub rival: H256,
    /// The rival's data digest, when its run carried that entry.
    pub rival_digest: Option<H256>,
    /// Whether the device's own key signed the rival: proof of two histories by one key.
    pub signed: bool,
    /// The account that brought the rival.
    pub submitter: AccountId,
    /// The block in which it came; its extrinsics hold the whole run.
    pub block: u32,
}

/// The rival histories of a device that somebody tried to register.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct ConflictsView<AccountId> {
    /// Those that are stored, oldest first.
    pub stored: Vec<ConflictView<AccountId>>,
    /// How many times a rival was brought that is not among them, for want of a place. The blocks have it.
    pub not_stored: u32,
}

/// A study, as clients need to know it.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct StudyView<AccountId> {
    /// The organisation that is responsible for the study.
    pub sponsor: AccountId,
    /// Whether every run must carry the device's signature.
    pub device_signed: bool,
    /// Whether the study takes entries.
    pub open: bool,
    /// X25519 public key to which devices seal their escrow.
    pub auditor_key: [u8; 32],
    /// The study's title, UTF-8.
    pub title: Vec<u8>,
    /// The auditor keys before the present one, oldest first: those of the epochs from 0 on.
    pub former_auditor_keys: Vec<[u8; 32]>,
}

/// An account of a study that was given up for another by who holds both.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct RotationView<AccountId> {
    /// The account that was given up.
    pub former: AccountId,
    /// The account that took its place, and may have been given up itself since.
    pub successor: AccountId,
}

/// A part of the accounts of a study that were given up, and where to go on.
#[derive(Clone, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct RotationsPage<AccountId> {
    /// Accounts that were given up, each with the one that took its place then, in no particular order.
    pub rotations: Vec<RotationView<AccountId>>,
    /// What to give as `after` to go on. None: there are no more.
    pub next: Option<AccountId>,
}

sp_api::decl_runtime_apis! {
    /// Reads the devices, their hashchains and their studies.
    pub trait HashchainApi<AccountId> where AccountId: Codec {
        /// All that the chain knows about a device; none if the number was never given out.
        fn device(device: u32) -> Option<DeviceView>;

        /// The device that enrolled with this Ed25519 key.
        fn device_by_key(key: [u8; 32]) -> Option<u32>;

        /// The head that the device's next run must follow.
        fn head(device: u32) -> Option<HeadView>;

        /// Up to `count` entries of a device from sequence `from` on, newest first, in parts. The chain can only walk back:
        /// without `at` from the head, with it from the entry of the device at this index of the journal. One call reads at
        /// most 1,024 pages of the journal and answers at most 1,024 entries. If that was not all, the answer names in
        /// `next` what to give as `at` in the next call, also when it has no entry yet because those asked for lie further
        /// back. Entries that have left the state are not returned: they stay in the blocks.
        fn entries(device: u32, from: u64, count: u32, at: Option<u64>) -> EntriesPage;

        /// Up to `count` entries of the whole chain from journal index `from` on, at most 1,024.
        fn journal(from: u64, count: u32) -> Vec<EntryView>;

        /// Number of entries ever registered on this chain.
        fn journal_length() -> u64;

        /// The rival histories that were brought for a device: those that are stored, oldest first, and how many are not.
        fn conflicts(device: u32) -> ConflictsView<AccountId>;

        /// How many blocks pass until a retirement holds that an authentication server asks for. The sponsor's holds at
        /// once.
        fn retirement_delay() -> u32;

        /// A study and its rules.
        fn study(study: u32) -> Option<StudyView<AccountId>>;

        /// The accounts of a study that their holders gave up for others, in no particular order, in parts. What a former
        /// account did is its successor's doing. One call reads at most 1,025 accounts, those that took another's place
        /// among them. If that was not all, the answer names in `next` what to give as `after` in the next call, also when it
        /// has no account yet. The parts fit together when all are asked of the same block.
        fn rotations(study: u32, after: Option<AccountId>) -> RotationsPage<AccountId>;

        /// Whether the account may send transactions to this chain at all.
        fn has_role(account: AccountId) -> bool;

        /// The storage keys whose values prove the head of a device against a state root.
        fn head_proof_keys(device: u32) -> Vec<Vec<u8>>;
    }
}
