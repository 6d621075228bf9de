// SPDX-License-Identifier: Apache-2.0

//! What clients read from the chain, in plain types of our own.

use mhealth_api::{DeviceStatus, Policy};
use serde::Deserialize;
use subxt::utils::{AccountId32, H256};

/// A block by number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Its number; the genesis block has 0.
    pub number: u64,
    /// Its hash.
    pub hash: H256,
}

/// What a chain is for, as its specification says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum ChainType {
    /// For one developer: well-known keys hold all roles.
    Development,
    /// For several nodes on one machine: well-known keys hold all roles.
    Local,
    /// For use.
    Live,
    /// For anything else, in the specification's own word.
    Custom(String),
}

/// The proof that a block is final, as a node gives it for the head of a device in that block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadProof {
    /// Hash of the block.
    pub block: H256,
    /// Its header, SCALE encoded.
    pub header: Vec<u8>,
    /// GRANDPA's `FinalityProof`, SCALE encoded: hash of a finalised block, its justification, and the headers after this
    /// block up to it.
    pub finality_proof: Vec<u8>,
}

/// All that the chain has about one device.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Link 0 of its hashchain, computed by the chain.
    pub genesis: H256,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// Number of its registered entries.
    pub length: u64,
    /// Link of its latest entry, or `genesis` when it has none.
    pub head: H256,
    /// The device whose hashchain this one goes on from.
    pub predecessor: Option<u32>,
    /// The device that goes on from this one's last trusted entry.
    pub successor: Option<u32>,
    /// How many of its entries are trusted, once it is retired; its successor commits to that head.
    pub trusted_length: Option<u64>,
    /// Block in which it was enrolled.
    pub enrolled_at: u32,
}

/// The head of a device's hashchain: what the next run must name as `previous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadView {
    /// Link of the latest entry; link 0 when there is none.
    pub hash: H256,
    /// Number of registered entries, which is also the sequence of the latest.
    pub length: u64,
    /// Place of the latest entry in the journal.
    pub latest: Option<u64>,
}

/// One registered entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Place of the device's entry before it in the journal.
    pub previous: Option<u64>,
}

/// A rival history of a device that somebody tried to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictView {
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
    pub submitter: AccountId32,
    /// The block in which it came; its extrinsics hold the whole run.
    pub block: u32,
}

/// A study, as clients need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyView {
    /// The organisation that is responsible for the study.
    pub sponsor: AccountId32,
    /// What the chain demands of its devices' runs.
    pub policy: Policy,
    /// Whether the study takes entries.
    pub open: bool,
    /// X25519 public key to which devices seal their escrow.
    pub auditor_key: [u8; 32],
    /// The study's title.
    pub title: String,
}

/// Consecutive entries of one device, as it uploads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The device whose entries these are.
    pub device: u32,
    /// Sequence of the first entry, from 1.
    pub sequence: u64,
    /// Link of the entry before the first, or link 0.
    pub previous: H256,
    /// The entries, oldest first; at most 256.
    pub entries: Vec<RunEntry>,
    /// The device's Ed25519 signature over `enc("head", link of the last entry)`.
    pub signature: Option<[u8; 64]>,
}

/// One entry of a run: everything but its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// `H("data", envelope)`.
    pub digest: H256,
    /// The tag that only a holder of the device's secret can make or check.
    pub tag: H256,
}

/// Why a device may not register entries for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspensionReason {
    /// The device was lost.
    Lost,
    /// Key or secret may be in other hands.
    Compromised,
    /// The participant has left the study or paused.
    Withdrawn,
    /// Another reason, which the study keeps on file.
    Administrative,
    /// The device's key signed two different histories. The chain itself gives this reason.
    Fork,
}

/// The last entry of a device that the study trusts when it retires the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastTrusted {
    /// The latest entry: nothing is held against the device.
    Latest,
    /// The entry at this place of the journal.
    Entry(u64),
    /// Not one entry is trusted.
    Nothing,
}
