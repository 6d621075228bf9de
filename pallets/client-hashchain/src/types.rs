// SPDX-License-Identifier: Apache-2.0

//! What the pallet stores, and what is submitted to it.

use codec::{Decode, DecodeWithMemTracking, Encode, EncodeLike, Input, MaxEncodedLen, Output};
use frame_support::{
    traits::{ConstU32, Get},
    BoundedVec,
};
use scale_info::{Type, TypeInfo};
use sp_core::H256;

use pallet_studies::StudyId;

/// Number of a device, given by the chain at enrolment: dense, from 0.
pub type DeviceId = u32;

/// Place of an entry in the journal of the whole chain: dense, from 0.
pub type EntryIndex = u64;

/// Heads in one storage value.
///
/// A changed trie key costs about three times as much as everything else that an entry needs, so neighbours share one.
pub use hashchain::HEADS_PER_PAGE;

/// Journal entries in one storage value.
pub const ENTRIES_PER_PAGE: u32 = 64;

/// By this name every block's header says how many entries the journal has after it, as a SCALE encoded `u64`. So whoever knows an
/// entry's place in the journal finds the block that registered it in a few headers, and no block's state is needed.
pub const JOURNAL_ENGINE: sp_runtime::ConsensusEngineId = *b"HCHN";

/// Most entries in one run.
pub const MAX_RUN_LENGTH: u32 = hashchain::MAX_RUN_LENGTH as u32;

/// Most runs in one batch.
pub const MAX_BATCH_LENGTH: u32 = 1_024;

/// Bytes of an escrow: form, encapsulated key, sealed secret, authentication tag. `hashchain` has the same constant
/// beside its sealing, without which the runtime builds.
pub const ESCROW_LENGTH: u32 = 1 + 32 + 32 + 16;

/// One entry as a device uploads it: everything but its data.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct RunEntry {
    /// `H("data", envelope)`: binds the data without showing it.
    pub digest: H256,
    /// The tag that only a holder of the device's secret can make or check.
    pub tag: H256,
}

/// Consecutive entries of one device, as it uploads them.
#[derive(
    Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Debug,
)]
pub struct Run {
    /// The device whose entries these are.
    pub device: DeviceId,
    /// Sequence of the first entry, from 1.
    #[codec(compact)]
    pub sequence: u64,
    /// Link of the entry before the first, or link 0.
    pub previous: H256,
    /// The entries, oldest first.
    pub entries: BoundedVec<RunEntry, ConstU32<MAX_RUN_LENGTH>>,
    /// The device's Ed25519 signature over `enc("head", link of the last entry)`. Studies with the policy
    /// `DeviceSigned` ask for it.
    pub signature: Option<[u8; 64]>,
}

/// Why a device may not register entries at present.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub enum SuspensionReason {
    /// The device was lost.
    Lost,
    /// Key or secret may be in other hands.
    Compromised,
    /// The participant has left the study or paused.
    Withdrawn,
    /// Another reason, which the study keeps on file.
    Administrative,
    /// The device's key signed two different histories. Set by the chain itself; only a re-enrolment leads out of it.
    Fork,
}

/// Whether a device may register entries. Stored as [`StoredStatus`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceStatus {
    /// Its runs are accepted.
    Active,
    /// Its runs are refused until the study lifts the suspension. If the record names a block in `retires_at`, the device is
    /// retired from that block on.
    Suspended(SuspensionReason),
    /// Its hashchain has ended.
    Retired,
}

/// A [`DeviceStatus`] in one byte, so that all heads have the same length.
#[derive(Clone, Copy, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Debug)]
pub enum StoredStatus {
    /// Its runs are accepted.
    Active,
    /// It is retired.
    Retired,
    /// It is suspended because it was lost.
    SuspendedLost,
    /// It is suspended because key or secret may be in other hands.
    SuspendedCompromised,
    /// It is suspended because the participant has left the study or paused.
    SuspendedWithdrawn,
    /// It is suspended for another reason.
    SuspendedAdministrative,
    /// It is suspended because its key signed two different histories.
    SuspendedFork,
}

impl From<DeviceStatus> for StoredStatus {
    fn from(status: DeviceStatus) -> Self {
        match status {
            DeviceStatus::Active => Self::Active,
            DeviceStatus::Retired => Self::Retired,
            DeviceStatus::Suspended(reason) => match reason {
                SuspensionReason::Lost => Self::SuspendedLost,
                SuspensionReason::Compromised => Self::SuspendedCompromised,
                SuspensionReason::Withdrawn => Self::SuspendedWithdrawn,
                SuspensionReason::Administrative => Self::SuspendedAdministrative,
                SuspensionReason::Fork => Self::SuspendedFork,
            },
        }
    }
}

impl From<StoredStatus> for DeviceStatus {
    fn from(stored: StoredStatus) -> Self {
        Self::Suspended(match stored {
            StoredStatus::Active => return Self::Active,
            StoredStatus::Retired => return Self::Retired,
            StoredStatus::SuspendedLost => SuspensionReason::Lost,
            StoredStatus::SuspendedCompromised => SuspensionReason::Compromised,
            StoredStatus::SuspendedWithdrawn => SuspensionReason::Withdrawn,
            StoredStatus::SuspendedAdministrative => SuspensionReason::Administrative,
            StoredStatus::SuspendedFork => SuspensionReason::Fork,
        })
    }
}

impl Encode for DeviceStatus {
    fn size_hint(&self) -> usize {
        StoredStatus::max_encoded_len()
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        StoredStatus::from(*self).encode_to(output);
    }
}

impl EncodeLike for DeviceStatus {}

impl Decode for DeviceStatus {
    fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
        StoredStatus::decode(input).map(Self::from)
    }
}

impl DecodeWithMemTracking for DeviceStatus {}

impl MaxEncodedLen for DeviceStatus {
    fn max_encoded_len() -> usize {
        StoredStatus::max_encoded_len()
    }
}

impl TypeInfo for DeviceStatus {
    type Identity = StoredStatus;

    fn type_info() -> Type {
        StoredStatus::type_info()
    }
}

/// What every registered run reads and writes of a device: the hot part, kept apart from [`DeviceRecord`] and paged. Nothing
/// else belongs here: a block hashes and stores anew every page of which it changes a head.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct DeviceHead {
    /// Number of registered entries, which is also the sequence of the latest.
    pub length: u64,
    /// Where in the journal the latest entry is; 0 while there is no entry.
    pub latest: EntryIndex,
    /// Link of the latest entry; link 0 while there is no entry.
    pub hash: H256,
    /// The study that the device belongs to.
    pub study: StudyId,
    /// Whether its runs are accepted.
    pub status: DeviceStatus,
}

impl DeviceHead {
    /// Bytes of every head.
    pub const BYTES: usize = 8 + 8 + 32 + 4 + 1;

    /// Where in the journal the latest entry is; none while there is no entry.
    pub fn latest(&self) -> Option<EntryIndex> {
        (self.length > 0).then_some(self.latest)
    }
}

/// The heads of [`HEADS_PER_PAGE`] devices with neighbouring numbers.
pub type HeadPage = BoundedVec<DeviceHead, ConstU32<HEADS_PER_PAGE>>;

/// The Ed25519 keys of the same devices, which never change.
///
/// They are those of the records once more: whoever checks a signature finds the keys of neighbours together, and a record lies
/// far from all others.
pub type KeyPage = BoundedVec<[u8; 32], ConstU32<HEADS_PER_PAGE>>;

/// The last head of a retired device that the study trusts.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct TrustedHead {
    /// How many entries are trusted.
    pub length: u64,
    /// Link of the last trusted entry; link 0 when none is.
    pub hash: H256,
}

/// How the study names the last entry that it trusts of a device it retires.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub enum LastTrusted {
    /// The latest entry: nothing is held against the device.
    Latest,
    /// The entry at this place of the journal, which must be the device's and still be in state.
    Entry(EntryIndex),
    /// Not one entry is trusted.
    Nothing,
}

/// What the chain knows about a device beside its head.
#[derive(
    Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Debug,
)]
#[scale_info(skip_type_params(MaxEscrowLength))]
pub struct DeviceRecord<BlockNumber, MaxEscrowLength: Get<u32>> {
    /// Its Ed25519 public key, which is also its account.
    pub key: [u8; 32],
    /// `H("secret", S)`: binds the device to its secure string without showing it.
    pub secret_commitment: H256,
    /// The secure string, sealed to the study's auditor key of the device's epoch.
    pub escrow: BoundedVec<u8, MaxEscrowLength>,
    /// The epoch of that key, counted from 0: its place in the study's `formerAuditorKeys`, or after them.
    pub auditor_epoch: u32,
    /// `H("participant", key)` of the participant's X25519 key, to which the device seals its data; of an empty part where
    /// it seals to nobody. The device's own key agreed to it.
    pub participant: H256,
    /// Link 0 of its hashchain.
    pub genesis: H256,
    /// The device that it goes on from, if it was enrolled again.
    pub predecessor: Option<DeviceId>,
    /// The device that goes on from it.
    pub successor: Option<DeviceId>,
    /// The last head that the study trusts; none while the device is not retired.
    pub trusted: Option<TrustedHead>,
    /// Block in which it was enrolled.
    pub enrolled_at: BlockNumber,
    /// Block from which on it is retired with its latest entry trusted, because an authentication server asked for that.
    /// Until then the sponsor can veto it. None otherwise, and none when the retirement is written down.
    pub retires_at: Option<BlockNumber>,
}

/// How many times the authentication servers of a study have changed the status of a device, in a window of time.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct StatusChangeCount<BlockNumber> {
    /// The window, counted from the first block on.
    pub window: BlockNumber,
    /// Changes in it.
    pub count: u32,
}

/// One entry of the journal. Written once.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct JournalEntry {
    /// The device that it belongs to.
    pub device: DeviceId,
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// `H("data", envelope)`.
    pub digest: H256,
    /// Its link.
    pub hash: H256,
    /// Where the device's entry before it is; none for its first.
    pub previous: Option<EntryIndex>,
}

/// [`ENTRIES_PER_PAGE`] neighbouring entries of the journal.
pub type JournalPage = BoundedVec<JournalEntry, ConstU32<ENTRIES_PER_PAGE>>;

/// Evidence of a rival history: somebody brought a run that does not follow what is registered.
#[derive(
    Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Debug,
)]
pub struct HashchainConflict<AccountId, BlockNumber> {
    /// First sequence at which the rival was seen to differ.
    pub sequence: u64,
    /// The link that is registered there.
    pub recorded: H256,
    /// The rival's link.
    pub rival: H256,
    /// The rival's data digest; none when its run began only after this entry.
    pub rival_digest: Option<H256>,
    /// Whether the device's own key signed the rival: proof of two histories by one key.
    pub signed: bool,
    /// The account that brought the rival.
    pub submitter: AccountId,
    /// The block in which it came; its extrinsics hold the whole run.
    pub block: BlockNumber,
}

/// The rival histories of a device: those that have a place, and how many have none.
#[derive(
    Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Debug,
)]
#[scale_info(skip_type_params(MaxConflicts))]
pub struct DeviceConflicts<AccountId, BlockNumber, MaxConflicts: Get<u32>> {
    /// The stored ones, oldest first.
    pub stored: BoundedVec<HashchainConflict<AccountId, BlockNumber>, MaxConflicts>,
    /// How many times a rival was brought that is not among the stored, for want of a place. The blocks have it.
    pub not_stored: u32,
}

impl<AccountId, BlockNumber, MaxConflicts: Get<u32>> Default
    for DeviceConflicts<AccountId, BlockNumber, MaxConflicts>
{
    fn default() -> Self {
        Self {
            stored: BoundedVec::new(),
            not_stored: 0,
        }
    }
}

/// That the data of a device were erased everywhere, on record.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct ErasureReceipt<AccountId, BlockNumber> {
    /// Digest of the order to erase them, signed by the holder of the participants' keys, who keeps it on file.
    pub receipt: H256,
    /// The sponsor that wrote it down.
    pub submitter: AccountId,
    /// In which block.
    pub block: BlockNumber,
}

/// Why a run was refused. Each reason is an error of the same name, too.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub enum RefusalReason {
    /// The run has no entry.
    EmptyRun,
    /// Sequences start at 1 and end at 2⁶⁴ − 1.
    InvalidSequence,
    /// No device has this number.
    UnknownDevice,
    /// The account is neither a relay of the device's study nor the device itself.
    NotARelayOfThisStudy,
    /// The study takes no entries any more.
    StudyClosed,
    /// The device is suspended.
    DeviceSuspended,
    /// The device is retired.
    DeviceRetired,
    /// Entries before this run are missing.
    Gap,
    /// The run names a previous link that is not the stored head.
    PreviousIsNotHead,
    /// The run differs from what is registered at the same sequence.
    Fork,
    /// The study asks for the device's signature.
    SignatureMissing,
    /// The signature is not the device's over this run's last link.
    BadSignature,
    /// The run ends too far before the head to be compared within this call.
    BeyondReach,
    /// The study has registered as many entries, or bytes of runs, as it may.
    StudyAllowanceUsed,
    /// The device has as many entries as one may have in its study.
    DeviceAllowanceUsed,
}
