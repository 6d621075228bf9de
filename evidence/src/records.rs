// SPDX-License-Identifier: Apache-2.0

//! What the values are that the chain's state keeps.

use alloc::vec::Vec;

use codec::{Compact, Decode, Encode, Error, Input, Output};
use hashchain::{DataDigest, DeviceId, LinkHash, StudyId, HEADS_PER_PAGE};

use crate::bytes::{bounded_bytes, bounded_list};
use crate::finality::{Authority, AuthoritySet};
use crate::keys::{
    conflicts_key, device_key, erasure_receipt_key, genesis_hash_key, head_page_key,
    journal_length_key, journal_page_key, last_runtime_upgrade_key, next_device_key, relays_prefix,
    rotations_prefix, set_key, study_key, AUTHORITIES_KEY, ENTRIES_PER_PAGE,
};
use crate::trie::{NotProved, State};

/// What the chain keeps of a device from its enrolment on.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct DeviceRecord {
    /// The device's Ed25519 key.
    pub key: [u8; 32],
    /// Commitment to its secret.
    pub secret_commitment: [u8; 32],
    /// The secret, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// Which of the study's auditor keys that was, from 0 on.
    pub auditor_epoch: u32,
    /// Digest of the key to which the device seals its data.
    pub participant: [u8; 32],
    /// Link 0.
    pub genesis: LinkHash,
    /// The device that it goes on from.
    pub predecessor: Option<DeviceId>,
    /// The device that goes on from it.
    pub successor: Option<DeviceId>,
    /// The last entry that is trusted, when it is retired.
    pub trusted: Option<TrustedHead>,
    /// The block of its enrolment.
    pub enrolled_at: u32,
    /// Block from which on it is retired, unless the sponsor vetoes it.
    pub retires_at: Option<u32>,
}

impl DeviceRecord {
    /// Bytes that every record takes in a state.
    pub const LEAST_BYTES: usize = 32 + 32 + 1 + 4 + 32 + 32 + 1 + 1 + 1 + 4 + 1;

    /// Whether the device is retired in this block because that was asked for before, without a word in the state.
    pub fn is_retired_at(&self, block: u32) -> bool {
        self.retires_at.is_some_and(|from| from <= block)
    }
}

/// Up to where the entries of a retired device are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TrustedHead {
    /// How many entries.
    pub length: u64,
    /// The link of the last.
    pub hash: LinkHash,
}

/// Whether a device may register entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceStatus {
    /// It may.
    Active,
    /// It may not at present.
    Suspended(SuspensionReason),
    /// Its hashchain has ended.
    Retired,
}

/// Why a device may not register entries at present.
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
    /// The device's key signed two histories.
    Fork,
}

/// A status is one byte: 0 and 1 without, and from 2 on with the reason.
impl Encode for DeviceStatus {
    fn size_hint(&self) -> usize {
        1
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        output.push_byte(match self {
            Self::Active => 0,
            Self::Retired => 1,
            Self::Suspended(SuspensionReason::Lost) => 2,
            Self::Suspended(SuspensionReason::Compromised) => 3,
            Self::Suspended(SuspensionReason::Withdrawn) => 4,
            Self::Suspended(SuspensionReason::Administrative) => 5,
            Self::Suspended(SuspensionReason::Fork) => 6,
        });
    }
}

impl Decode for DeviceStatus {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(Self::Suspended(match input.read_byte()? {
            0 => return Ok(Self::Active),
            1 => return Ok(Self::Retired),
            2 => SuspensionReason::Lost,
            3 => SuspensionReason::Compromised,
            4 => SuspensionReason::Withdrawn,
            5 => SuspensionReason::Administrative,
            6 => SuspensionReason::Fork,
            _ => return Err("there is no such status".into()),
        }))
    }
}

/// The last registered entry of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceHead {
    /// The study that the device belongs to.
    pub study: StudyId,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// How many entries are registered.
    pub length: u64,
    /// The last entry's place in the journal of the whole chain; none while there is no entry.
    pub latest: Option<u64>,
    /// Its link, or link 0.
    pub hash: LinkHash,
}

impl DeviceHead {
    const BYTES: usize = 8 + 8 + 32 + 4 + 1;
}

/// All heads have the same length: where there is no entry, the last one's place is 0.
impl Encode for DeviceHead {
    fn size_hint(&self) -> usize {
        Self::BYTES
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        let latest = self.latest.unwrap_or(0);
        (self.length, latest, self.hash, self.study, self.status).encode_to(output);
    }
}

impl Decode for DeviceHead {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let (length, latest): (u64, u64) = Decode::decode(input)?;
        Ok(DeviceHead {
            length,
            latest: (length > 0).then_some(latest),
            hash: Decode::decode(input)?,
            study: Decode::decode(input)?,
            status: Decode::decode(input)?,
        })
    }
}

/// A history beside the registered one, which somebody brought.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Conflict {
    /// First sequence at which it was seen to differ.
    pub sequence: u64,
    /// The registered link.
    pub recorded: LinkHash,
    /// The rival's.
    pub rival: LinkHash,
    /// The rival's digest, where it was shown.
    pub rival_digest: Option<DataDigest>,
    /// Whether the device's key signed the rival.
    pub signed: bool,
    /// Who brought it.
    pub submitter: [u8; 32],
    /// In which block.
    pub block: u32,
}

impl Conflict {
    const LEAST_BYTES: usize = 8 + 32 + 32 + 1 + 1 + 32 + 4;
}

/// All that the chain keeps of a device's conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub struct DeviceConflicts {
    /// Those that had a place.
    pub stored: Vec<Conflict>,
    /// How many had none.
    pub not_stored: u32,
}

/// That the data of a device were erased everywhere, on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ErasureReceipt {
    /// Digest of the order that the holder of the participants' keys signed.
    pub receipt: [u8; 32],
    /// The sponsor that wrote it down.
    pub submitter: [u8; 32],
    /// In which block.
    pub block: u32,
}

/// An entry in the journal of the whole chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JournalEntry {
    /// The device that it belongs to.
    pub device: DeviceId,
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// Its data digest.
    pub digest: DataDigest,
    /// Its link.
    pub hash: LinkHash,
    /// Where the device's entry before it is in the journal.
    pub previous: Option<u64>,
}

impl JournalEntry {
    const LEAST_BYTES: usize = 4 + 8 + 32 + 32 + 1;
}

/// What the chain keeps of a study.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct StudyRecord {
    /// The account that appoints the study's servers.
    pub sponsor: [u8; 32],
    /// What the chain asks of a run before it records it.
    pub policy: StudyPolicy,
    /// Whether the study takes entries.
    pub status: StudyStatus,
    /// The X25519 key that devices seal their secrets to.
    pub auditor_key: [u8; 32],
    /// The study's name for people, in UTF-8.
    pub title: Vec<u8>,
    /// The keys that devices sealed their secrets to before, in the order of their epochs.
    pub former_auditor_keys: Vec<[u8; 32]>,
}

impl StudyRecord {
    /// Most keys before the present one.
    const MOST_FORMER_KEYS: usize = 63;
}

/// What the chain asks of a run before it records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum StudyPolicy {
    /// It follows the device's head.
    HashchainOnly,
    /// It is signed by the device, too.
    DeviceSigned,
}

/// Whether a study takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum StudyStatus {
    /// It does.
    Open,
    /// It does not.
    Closed,
}

impl Decode for StudyRecord {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(StudyRecord {
            sponsor: Decode::decode(input)?,
            policy: Decode::decode(input)?,
            status: Decode::decode(input)?,
            auditor_key: Decode::decode(input)?,
            title: bounded_bytes(input)?,
            former_auditor_keys: bounded_list(input, 32, StudyRecord::MOST_FORMER_KEYS)?,
        })
    }
}

/// An account that was given up, and the one that took its place.
pub type Rotated = ([u8; 32], [u8; 32]);

/// What became of an account that a study's servers gave up, or that came in another's place.
#[derive(Decode)]
struct Rotation {
    successor: Option<[u8; 32]>,
    #[expect(dead_code, reason = "all of the value is read")]
    generation: u32,
}

/// The entries of a page of the journal.
struct JournalPage(Vec<JournalEntry>);

impl Decode for JournalPage {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        bounded_list(input, JournalEntry::LEAST_BYTES, ENTRIES_PER_PAGE as usize).map(JournalPage)
    }
}

/// Which runtime worked last: the version of its rules, and its name.
#[derive(Decode)]
struct LastRuntimeUpgrade(Compact<u32>, NameOfRuntime);

struct NameOfRuntime;

impl Decode for NameOfRuntime {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        bounded_bytes(input).map(|_| NameOfRuntime)
    }
}

impl Decode for DeviceRecord {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(DeviceRecord {
            key: Decode::decode(input)?,
            secret_commitment: Decode::decode(input)?,
            escrow: bounded_bytes(input)?,
            auditor_epoch: Decode::decode(input)?,
            participant: Decode::decode(input)?,
            genesis: Decode::decode(input)?,
            predecessor: Decode::decode(input)?,
            successor: Decode::decode(input)?,
            trusted: Decode::decode(input)?,
            enrolled_at: Decode::decode(input)?,
            retires_at: Decode::decode(input)?,
        })
    }
}

impl Decode for DeviceConflicts {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(DeviceConflicts {
            stored: bounded_list(input, Conflict::LEAST_BYTES, usize::MAX)?,
            not_stored: Decode::decode(input)?,
        })
    }
}

/// The heads of a page.
struct Page(Vec<DeviceHead>);

impl Decode for Page {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        bounded_list(input, DeviceHead::BYTES, HEADS_PER_PAGE as usize).map(Page)
    }
}

impl State<'_> {
    /// What the chain keeps of a device; none when there is no such device.
    pub fn device(&self, device: DeviceId) -> Result<Option<DeviceRecord>, NotProved> {
        self.value(&device_key(device))
    }

    /// The head of a device; none when there is no such device.
    pub fn head(&self, device: DeviceId) -> Result<Option<DeviceHead>, NotProved> {
        let place = (device.0 % HEADS_PER_PAGE) as usize;
        Ok(self.heads(device)?.get(place).copied())
    }

    /// The heads of a device and its neighbours, of which the first has a number that [`HEADS_PER_PAGE`] divides.
    pub fn heads(&self, device: DeviceId) -> Result<Vec<DeviceHead>, NotProved> {
        let page: Option<Page> = self.value(&head_page_key(device))?;
        Ok(page.map_or_else(Vec::new, |page| page.0))
    }

    /// The conflicts of a device.
    pub fn conflicts(&self, device: DeviceId) -> Result<DeviceConflicts, NotProved> {
        Ok(self.value(&conflicts_key(device))?.unwrap_or_default())
    }

    /// The receipt that a device's data were erased; none when there is none.
    pub fn erasure(&self, device: DeviceId) -> Result<Option<ErasureReceipt>, NotProved> {
        self.value(&erasure_receipt_key(device))
    }

    /// How many devices there are on the chain; the first has the number 0.
    pub fn devices(&self) -> Result<u32, NotProved> {
        Ok(self.value(&next_device_key())?.unwrap_or(0))
    }

    /// How many entries were ever registered on the chain.
    pub fn journal_length(&self) -> Result<u64, NotProved> {
        Ok(self.value(&journal_length_key())?.unwrap_or(0))
    }

    /// The entries of the journal from `64 page` on; none when they have left the state, or are not there yet.
    pub fn journal_page(&self, page: u64) -> Result<Vec<JournalEntry>, NotProved> {
        let page: Option<JournalPage> = self.value(&journal_page_key(page))?;
        Ok(page.map_or_else(Vec::new, |page| page.0))
    }

    /// A study; none when there is none of this number.
    pub fn study(&self, study: StudyId) -> Result<Option<StudyRecord>, NotProved> {
        self.value(&study_key(study))
    }

    /// The accounts of a study's relays. The nodes have to lead to all of them.
    pub fn relays(&self, study: StudyId) -> Result<Vec<[u8; 32]>, NotProved> {
        let relays = self.under(&relays_prefix(study))?;
        relays.iter().map(|(key, _)| account(key)).collect()
    }

    /// The accounts that servers of a study gave up, each with the one that took its place. The nodes have to lead to all of them.
    pub fn rotations(&self, study: StudyId) -> Result<Vec<Rotated>, NotProved> {
        let mut rotations = Vec::new();
        for (key, mut value) in self.under(&rotations_prefix(study))? {
            let rotation = Rotation::decode(&mut value).map_err(|_| NotProved)?;
            if let Some(successor) = rotation.successor {
                rotations.push((account(&key)?, successor));
            }
        }
        Ok(rotations)
    }

    /// The version of the runtime by whose rules the block was made.
    pub fn spec_version(&self) -> Result<u32, NotProved> {
        let last: Option<LastRuntimeUpgrade> = self.value(&last_runtime_upgrade_key())?;
        Ok(last.ok_or(NotProved)?.0 .0)
    }

    /// The first authorities, in the state of the chain's first block.
    pub(crate) fn first_authorities(&self) -> Result<AuthoritySet, NotProved> {
        self.authorities(0)
    }

    /// The authorities that vote on the blocks after this state, if it is of the chain with this first block.
    pub(crate) fn authorities_after(&self, genesis: [u8; 32]) -> Result<AuthoritySet, NotProved> {
        let first: Option<[u8; 32]> = self.value(&genesis_hash_key())?;
        if first != Some(genesis) {
            return Err(NotProved);
        }
        let id = self.value(&set_key())?.ok_or(NotProved)?;
        self.authorities(id)
    }

    fn authorities(&self, id: u64) -> Result<AuthoritySet, NotProved> {
        let list: Listed = self.value(&AUTHORITIES_KEY)?.ok_or(NotProved)?;
        AuthoritySet::new(id, list.0).ok_or(NotProved)
    }
}

/// Authorities as the state lists them.
struct Listed(Vec<Authority>);

impl Decode for Listed {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        AuthoritySet::decode_list(input).map(Listed)
    }
}

/// The account that a key ends with.
fn account(key: &[u8]) -> Result<[u8; 32], NotProved> {
    key.last_chunk().copied().ok_or(NotProved)
}
