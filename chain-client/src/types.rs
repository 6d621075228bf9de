// SPDX-License-Identifier: Apache-2.0

//! What clients read from the chain, in plain types of our own.

use hashchain::{DataDigest, DeviceId, LinkHash, StudyId};
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

/// The proof that a block is final, as a node gives it to somebody who knows its authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockProof {
    /// Hash of the block.
    pub block: H256,
    /// Its header, SCALE encoded.
    pub header: Vec<u8>,
    /// GRANDPA's `FinalityProof`, SCALE encoded: hash of a finalised block, its justification, and the headers after this
    /// block up to it.
    pub finality_proof: Vec<u8>,
}

/// The proof that a block is final, as a node gives it, and the block that it is about. Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalityProof {
    /// The block.
    pub block: BlockId,
    /// GRANDPA's `FinalityProof`, SCALE encoded.
    pub bytes: Vec<u8>,
}

/// The proof of a device's head, for somebody who trusts no node: from the authorities on that the asker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedHead {
    /// The block in whose state the head is proved.
    pub block: BlockId,
    /// The proof, as `docs/protocol/device-api.md` lays it out.
    pub proof: Vec<u8>,
}

/// All that the chain has about one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// The number that the chain gave the device at enrolment.
    pub device: DeviceId,
    /// The study that it belongs to.
    pub study: StudyId,
    /// Its Ed25519 public key, which is also its account.
    pub key: [u8; 32],
    /// `H("secret", S)`: binds the device to its secure string without showing it.
    pub secret_commitment: H256,
    /// The secure string, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// Which of the study's auditor keys that was, from 0 on.
    pub auditor_epoch: u32,
    /// `H("participant", key)` of the key to which the device seals its data.
    pub participant: H256,
    /// Link 0 of its hashchain, computed by the chain.
    pub genesis: LinkHash,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// Number of its registered entries.
    pub length: u64,
    /// Link of its latest entry, or `genesis` when it has none.
    pub head: LinkHash,
    /// The device whose hashchain this one goes on from.
    pub predecessor: Option<DeviceId>,
    /// The device that goes on from this one's last trusted entry.
    pub successor: Option<DeviceId>,
    /// How many of its entries are trusted, once it is retired; its successor commits to that head.
    pub trusted_length: Option<u64>,
    /// Block in which it was enrolled.
    pub enrolled_at: u32,
    /// Block from which on it is retired, when an authentication server has asked for that; until then the sponsor can veto
    /// it.
    pub retires_at: Option<u32>,
}

/// The head of a device's hashchain: what the next run must name as `previous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadView {
    /// Link of the latest entry; link 0 when there is none.
    pub hash: LinkHash,
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
    pub device: DeviceId,
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// `H("data", envelope)`.
    pub digest: DataDigest,
    /// Its link.
    pub hash: LinkHash,
    /// Place of the device's entry before it in the journal.
    pub previous: Option<u64>,
}

/// A part of a device's entries, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesPage {
    /// Entries of the device, newest first; at most 1,024.
    pub entries: Vec<EntryView>,
    /// What to give as `at` to go on with the entries before these. None: there are no more, or those before have left the
    /// chain's state.
    pub next: Option<u64>,
}

/// A rival history of a device that somebody tried to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictView {
    /// First sequence at which the rival was seen to differ.
    pub sequence: u64,
    /// The link that is registered there.
    pub recorded: LinkHash,
    /// The rival's link.
    pub rival: LinkHash,
    /// The rival's data digest, when its run carried that entry.
    pub rival_digest: Option<DataDigest>,
    /// Whether the device's own key signed the rival: proof of two histories by one key.
    pub signed: bool,
    /// The account that brought the rival.
    pub submitter: AccountId32,
    /// The block in which it came; its extrinsics hold the whole run.
    pub block: u32,
}

/// The rival histories of a device that somebody tried to register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictsView {
    /// Those that are stored, oldest first.
    pub stored: Vec<ConflictView>,
    /// How many times a rival was brought that is not among them, for want of a place. The blocks have it.
    pub not_stored: u32,
}

/// That the data of a device were erased everywhere, on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasureReceipt {
    /// Digest of the holder's signed order.
    pub receipt: [u8; 32],
    /// The sponsor that wrote it down.
    pub submitter: AccountId32,
    /// In which block.
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
    /// The auditor keys before the present one, in the order of their epochs.
    pub former_auditor_keys: Vec<[u8; 32]>,
}

impl StudyView {
    /// The epoch of the present auditor key.
    pub fn auditor_epoch(&self) -> u32 {
        self.former_auditor_keys.len() as u32
    }

    /// The auditor key of an epoch; none if it was not reached yet.
    pub fn auditor_key_of(&self, epoch: u32) -> Option<[u8; 32]> {
        match epoch == self.auditor_epoch() {
            true => Some(self.auditor_key),
            false => self.former_auditor_keys.get(epoch as usize).copied(),
        }
    }
}

/// What a study may make the chain keep, over its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Devices enrolled.
    pub devices: u32,
    /// Entries registered.
    pub entries: u64,
    /// Bytes of the runs that are registered.
    pub bytes: u64,
    /// Accounts that get their first role on the chain as a server of the study.
    pub admissions: u32,
    /// Most entries of one device.
    pub device_entries: u64,
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
