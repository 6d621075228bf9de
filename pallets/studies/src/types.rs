// SPDX-License-Identifier: Apache-2.0

//! What the pallet keeps of a study.

use alloc::{string::String, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_core::H256;

use crate::Config;

/// Number of a study: dense, given by the chain from 0 upwards, never used twice.
pub type StudyId = u32;

/// A [`Study`] as the pallet stores it.
pub type StudyOf<T> =
    Study<<T as frame_system::Config>::AccountId, BoundedVec<u8, <T as Config>::MaxTitleLength>>;

/// A clinical study: who answers for it and by which rule its devices write.
#[derive(
    Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Study<AccountId, Title> {
    /// The account that appoints the study's servers, opens it and closes it.
    pub sponsor: AccountId,
    /// What the chain demands of a run before it records it. Fixed when the study is created.
    pub policy: StudyPolicy,
    /// Whether the study takes entries.
    pub status: StudyStatus,
    /// X25519 public key of the study's auditor; every device seals its secret to it when it enrols.
    pub auditor_key: [u8; 32],
    /// The study's name for people, in UTF-8. Never empty.
    pub title: Title,
    /// The auditor keys before the present one, oldest first. A key's place here is its epoch, and the number of
    /// former keys is the epoch of the present one. The secret of a device is sealed to the key of the device's epoch.
    pub former_auditor_keys: BoundedVec<[u8; 32], ConstU32<{ MAX_AUDITOR_KEYS - 1 }>>,
}

impl<AccountId, Title> Study<AccountId, Title> {
    /// The epoch of the present auditor key.
    pub fn auditor_epoch(&self) -> u32 {
        self.former_auditor_keys.len() as u32
    }

    /// The auditor key of an epoch; `None` if it was not reached yet.
    pub fn auditor_key_of(&self, epoch: u32) -> Option<[u8; 32]> {
        match epoch == self.auditor_epoch() {
            true => Some(self.auditor_key),
            false => self.former_auditor_keys.get(epoch as usize).copied(),
        }
    }
}

/// Most auditor keys that a study may have had, the present one among them.
pub const MAX_AUDITOR_KEYS: u32 = 64;

/// What the chain demands of a run of entries before it records it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub enum StudyPolicy {
    /// Entries must follow the device's head. Whether the device itself made them shows in the
    /// audit only: forged entries are detected, not prevented.
    HashchainOnly,
    /// Entries must follow the device's head and carry the device's signature over it: forged
    /// entries are refused, and a signed fork is proof that suspends the device.
    #[default]
    DeviceSigned,
}

/// Whether a study takes entries.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum StudyStatus {
    /// Devices may enrol and write.
    Open,
    /// Nothing is enrolled or written; what is recorded stays.
    Closed,
}

/// How many accounts hold the appointed roles of a study.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct ServerCount {
    /// Number of authentication servers.
    pub authentication_servers: u32,
    /// Number of relays.
    pub relays: u32,
}

/// How many roles of each kind an account holds over all studies.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Debug,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct RoleCounts {
    /// Studies that it sponsors.
    pub sponsor: u32,
    /// Studies in which it is an authentication server.
    pub authentication_server: u32,
    /// Studies in which it is a relay.
    pub relay: u32,
}

/// A role in a study.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Sponsor,
    AuthenticationServer,
    Relay,
}

impl RoleCounts {
    /// The count of a role.
    pub(crate) fn of(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::Sponsor => &mut self.sponsor,
            Role::AuthenticationServer => &mut self.authentication_server,
            Role::Relay => &mut self.relay,
        }
    }
}

/// A study that exists from the first block on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisStudy<AccountId> {
    /// The study's name for people. Neither empty nor longer than `MaxTitleLength` bytes.
    pub title: String,
    /// The account that answers for the study.
    pub sponsor: AccountId,
    /// What the chain demands of a run before it records it.
    #[serde(default)]
    pub policy: StudyPolicy,
    /// X25519 public key of the study's auditor, in hexadecimal. Not zero.
    pub auditor_key: H256,
    /// The accounts that may enrol devices.
    #[serde(default = "Vec::new")]
    pub authentication_servers: Vec<AccountId>,
    /// The accounts that may submit on behalf of devices.
    #[serde(default = "Vec::new")]
    pub relays: Vec<AccountId>,
}
