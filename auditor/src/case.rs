// SPDX-License-Identifier: Apache-2.0

//! Everything that is known of one device, laid before the judge.

use hashchain::{
    data_digest, open_envelope, DataDigest, DeviceId, Envelope, LinkHash, Native, OpeningKey, Run,
    RunEntry, Secret, StudyId,
};
use mhealth_api::{run_id, DeviceStatus, ExportedRun, Hash, Key, Refusal, RunState};
use serde::{Deserialize, Serialize};

use crate::export::Holder;
use crate::verdict::{Content, Uncovered};

/// A device and all that chain, relays and escrow say about it.
#[derive(Debug)]
pub struct Case {
    /// Genesis hash of the chain.
    pub chain: [u8; 32],
    /// Whether the study asks for the device's signature over every run.
    pub device_signed: bool,
    /// The device's record on chain.
    pub record: DeviceRecord,
    /// Its registered entries, oldest first, as in the chain's state. What has left the state is left out.
    pub registered: Vec<RegisteredEntry>,
    /// The runs of this device that blocks brought, in the chain's order, whatever became of them.
    pub brought: Vec<BroughtRun>,
    /// Whether every block was read from the device's enrolment on.
    pub blocks_complete: bool,
    /// The rival histories that the chain recorded.
    pub conflicts: Vec<Conflict>,
    /// How many rivals the chain did not record, for want of a place. The blocks have them.
    pub conflicts_not_stored: u32,
    /// The relays whose exports have to be read: those that the chain names, and those that brought runs of the study, each by
    /// its present account.
    pub relays: Vec<[u8; 32]>,
    /// Those of them that are relays of the study by the state at the block of the audit. What others send, the chain turns away.
    pub appointed: Vec<[u8; 32]>,
    /// What each export shows of this device.
    pub stores: Vec<RelayStore>,
    /// The device's secret, or why there is none.
    pub secret: SecretAccess,
    /// Whether the device seals to the key that the holder of the participants' keys lists for it; none without such a list.
    pub participant_key_fits: Option<bool>,
    /// What may be gone because it was erased.
    pub erased: Erased,
    /// The block of the audit.
    pub block: u64,
    /// For how many blocks a run may be on its way to the chain.
    pub patience: u64,
    /// Whether each signature is checked by itself. Otherwise those are passed over that a later one covers.
    pub every_signature: bool,
}

/// What may be gone because it was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The block with the receipt that all data of the device were erased.
    pub receipt: Option<u64>,
    /// The study has a record of an erasure, and there is no receipt on the chain.
    pub only_on_file: bool,
    /// Who wrote the receipt, if no order that the study has on file is behind it: relays may never have been told to erase anything.
    pub unordered: Option<Key>,
    /// By the study's rule of retention, what was registered in this block or before may have been erased.
    pub expired: Option<u64>,
}

impl Erased {
    /// Whether a relay may hold nothing any more of what was registered in this block.
    pub fn covers(&self, block: Option<u64>) -> bool {
        let expired = self.expired.zip(block);
        self.receipt.is_some() || expired.is_some_and(|(expired, block)| block <= expired)
    }
}

/// The receipt of an erasure, as the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureReceipt {
    /// Digest of the order that the holder of the participants' keys signed.
    pub receipt: Hash,
    /// The sponsor that wrote it down.
    pub submitter: Key,
    /// In which block.
    pub block: u64,
}

/// What the chain has about a device beside its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its number.
    pub device: DeviceId,
    /// The study that it belongs to.
    pub study: StudyId,
    /// Its Ed25519 public key, which is also its account.
    pub key: [u8; 32],
    /// `H("secret", S)`.
    pub secret_commitment: [u8; 32],
    /// The secret, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// Which of the study's auditor keys that was, from 0 on.
    pub auditor_epoch: u32,
    /// Digest of the participant's key, to which the device seals its data.
    pub participant: [u8; 32],
    /// Link 0, as the chain gives it. The judge computes its own.
    pub genesis: LinkHash,
    /// Number of registered entries.
    pub length: u64,
    /// Link of the latest.
    pub head: LinkHash,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// The device that it goes on from.
    pub predecessor: Option<Predecessor>,
    /// The device that goes on from it.
    pub successor: Option<DeviceId>,
    /// How many of its entries the study trusts, when it is retired.
    pub trusted_length: Option<u64>,
    /// The block in which it was enrolled.
    pub enrolled_at: u64,
}

/// The device that another one goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its number.
    pub device: DeviceId,
    /// Its last trusted link, when that could be read.
    pub trusted_head: Option<LinkHash>,
}

/// An entry in the chain's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredEntry {
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// Its data digest.
    pub digest: DataDigest,
    /// Its link.
    pub link: LinkHash,
}

/// A run in an extrinsic of a finalised block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtRun {
    /// The block.
    pub block: u64,
    /// Place of the extrinsic in the block.
    pub extrinsic: u32,
    /// The account that signed the extrinsic.
    pub submitter: [u8; 32],
    /// What the chain says that it made of it.
    pub fate: Fate,
    /// The run.
    pub run: Run,
}

/// What the events of a block say of a run in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was registered, or had been before.
    Registered,
    /// It was refused.
    Refused(Refusal),
    /// They do not say: they have left the node, or the run came in a call within another, where nothing tells whether that
    /// call was ever made.
    Untold,
}

impl Fate {
    /// Why the chain refused the run; none if it did not, or does not say.
    pub fn refused(&self) -> Option<&Refusal> {
        match self {
            Fate::Refused(why) => Some(why),
            Fate::Registered | Fate::Untold => None,
        }
    }

    /// Whether it shows that the account which brought the run was a relay of the device's study, or the device's own. The chain asks
    /// for that before it looks for what these reasons are about.
    pub fn shows_a_role(&self) -> bool {
        match self {
            Fate::Registered => true,
            Fate::Refused(why) => matches!(
                why,
                Refusal::StudyClosed
                    | Refusal::DeviceSuspended
                    | Refusal::DeviceRetired
                    | Refusal::Gap
                    | Refusal::PreviousIsNotHead
                    | Refusal::Fork
                    | Refusal::SignatureMissing
                    | Refusal::BadSignature
                    | Refusal::BeyondReach
                    | Refusal::StudyAllowanceUsed
                    | Refusal::DeviceAllowanceUsed
            ),
            Fate::Untold => false,
        }
    }
}

impl BroughtRun {
    /// Whether an account brought it that had no business with the device: neither its own, nor one of these relays of its study. What
    /// the chain made of such a run says nothing about its entries, and excuses nobody.
    pub fn is_a_strangers(&self, device: &[u8; 32], relays: &[[u8; 32]]) -> bool {
        match &self.fate {
            Fate::Refused(Refusal::NotARelayOfThisStudy) => true,
            fate if fate.shows_a_role() => false,
            _ => self.submitter != *device && !relays.contains(&self.submitter),
        }
    }
}

/// A rival history that the chain recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// First sequence at which it was seen to differ.
    pub sequence: u64,
    /// The registered link there.
    pub recorded: LinkHash,
    /// The rival's.
    pub rival: LinkHash,
    /// The rival's digest, when its run carried that entry.
    pub rival_digest: Option<DataDigest>,
    /// Whether the device's key signed the rival.
    pub signed: bool,
    /// The account that brought it.
    pub submitter: [u8; 32],
    /// The block in which it came.
    pub block: u64,
}

/// One export, as far as it concerns this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStore {
    /// The export's name, as the person who runs the audit gave it.
    pub name: String,
    /// Who shows it.
    pub holder: Holder,
    /// The relay's present account on chain, if it signed all of the export. Otherwise nobody answers for it.
    pub account: Option<[u8; 32]>,
    /// Whether the export was read to its end.
    pub complete: bool,
    /// The finalised block that the relay had seen, as it signed: what it brought up to there, it can show.
    pub block: Option<u64>,
    /// The device's runs.
    pub runs: Vec<HeldRun>,
}

/// A run in a relay's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRun {
    /// The run, without its data.
    pub run: Run,
    /// The data of each entry.
    pub envelopes: Vec<HeldEnvelope>,
    /// What the relay says became of it.
    pub state: RunState,
    /// Why the chain refused it, as the relay tells it.
    pub reason: Option<Refusal>,
    /// In which block that was, as the relay tells it.
    pub settled_at: Option<u64>,
    /// When the relay stored it, in seconds since 1970, as the relay tells it. Nothing is judged by it.
    pub received_at: u64,
    /// Whether its receipt fits what it holds.
    pub consistent: bool,
    /// The finalised block that the relay had seen when it signed that it holds the run. None: nobody signed that.
    pub signed_at: Option<u64>,
    /// The first block in which the relay's account brought a run, and signed that it did, that it stored no earlier than this
    /// one. None: there is none, or nobody signed the order.
    pub held_since: Option<u64>,
}

/// An envelope in a relay's store. Its digest is kept, not the bytes: two envelopes with one digest are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldEnvelope {
    /// The digest of the bytes that the relay holds, whatever the run names.
    pub digest: DataDigest,
    /// What is known of the content.
    pub content: Content,
}

/// The device's secret, or why there is none.
#[derive(Debug)]
pub enum SecretAccess {
    /// Opened from the escrow, and compared with the commitment on chain.
    Opened(Secret),
    /// Not opened.
    Closed(Uncovered),
}

impl SecretAccess {
    /// Opens the escrow of a device with the auditor's key of the device's epoch, if it is among those that were given. The
    /// chain says which public key that epoch had.
    pub fn open(auditors: &[OpeningKey], of_epoch: &[u8; 32], record: &DeviceRecord) -> Self {
        if auditors.is_empty() {
            return SecretAccess::Closed(Uncovered::NoAuditorKey);
        }
        let mut auditors = auditors.iter();
        let Some(auditor) = auditors.find(|key| key.sealing_key().0 == *of_epoch) else {
            return SecretAccess::Closed(Uncovered::NoKeyOfEpoch {
                epoch: record.auditor_epoch,
                key: Key(*of_epoch),
            });
        };
        let opened = hashchain::open_escrow(
            auditor,
            &record.key,
            &record.secret_commitment,
            &record.escrow,
        );
        match opened {
            Ok(secret) => SecretAccess::Opened(secret),
            Err(hashchain::OpenError::NotTheSecret) => {
                SecretAccess::Closed(Uncovered::EscrowIsNotTheSecret)
            }
            Err(_) => SecretAccess::Closed(Uncovered::EscrowUndecipherable),
        }
    }
}

impl RelayStore {
    /// Whether the relay has signed that this is all that it held once it had seen a block.
    pub fn covers(&self, block: u64) -> bool {
        self.account.is_some() && self.complete && self.block.is_some_and(|seen| block <= seen)
    }

    /// The account that signed that it holds this run of the store.
    pub fn signer(&self, held: &HeldRun) -> Option<[u8; 32]> {
        self.account.filter(|_| held.signed_at.is_some())
    }
}

impl Case {
    /// The study's relays of which no export was read that their account signed, in order.
    pub fn unread(&self) -> Vec<[u8; 32]> {
        let signed = |account: &[u8; 32]| {
            let mut stores = self.stores.iter();
            stores.any(|store| store.account == Some(*account))
        };
        let unread = self.relays.iter().filter(|account| !signed(account));
        let mut unread: Vec<[u8; 32]> = unread.copied().collect();
        unread.sort_unstable();
        unread.dedup();
        unread
    }
}

impl HeldRun {
    /// Takes what the judge needs from a line of a relay's export.
    pub fn from_export(
        exported: &ExportedRun,
        device_key: &[u8; 32],
        participant: Option<&OpeningKey>,
    ) -> Self {
        let status = &exported.status;
        let run = Run {
            device: status.device,
            first_sequence: status.sequence,
            previous: exported.previous,
            entries: exported.entries.iter().map(RunEntry::from).collect(),
            signature: exported.signature.map(|signature| signature.0),
        };
        let envelopes = exported.entries.iter();
        let envelopes = envelopes.zip(status.sequence..=u64::MAX);
        let envelopes = envelopes.map(|(entry, sequence)| HeldEnvelope {
            digest: data_digest::<Native>(&entry.envelope.0),
            content: content(&entry.envelope.0, device_key, sequence, participant),
        });
        let head = run.last_link();
        let consistent = !run.entries.is_empty()
            && status.entries as usize == run.entries.len()
            && status.head == head
            && status.run == run_id(run.device, run.first_sequence, &run.previous, &head);
        HeldRun {
            envelopes: envelopes.collect(),
            run,
            state: status.state.clone(),
            reason: status.reason.clone(),
            settled_at: status
                .block
                .map(|block| block.number)
                .filter(|number| *number <= hashchain::MAX_INDEX),
            signed_at: None,
            held_since: None,
            received_at: exported.received_at,
            consistent,
        }
    }
}

fn content(
    envelope: &[u8],
    device_key: &[u8; 32],
    sequence: u64,
    participant: Option<&OpeningKey>,
) -> Content {
    match (Envelope::parse(envelope), participant) {
        (Err(_), _) => Content::Unreadable,
        (Ok(Envelope::Plain { .. }), _) => Content::Plain,
        (Ok(_), None) => Content::Sealed,
        (Ok(_), Some(key)) => match open_envelope(key, device_key, sequence, envelope) {
            Ok(_) => Content::Opened,
            Err(_) => Content::Unreadable,
        },
    }
}
