// SPDX-License-Identifier: Apache-2.0

//! The lanes of a block.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::weights::Weight;
use scale_info::TypeInfo;
use sp_runtime::Perbill;

/// Whose work a transaction is. A higher lane goes first.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub enum Lane {
    /// Runs that relays bring: the bulk, which takes what the others leave.
    Relay,
    /// Runs that devices bring for themselves.
    Device,
    /// Decisions of a study: its servers, its devices.
    Study,
    /// Decisions of the consortium, and the work of validators.
    Consortium,
}

impl Lane {
    /// How many lanes there are.
    pub const COUNT: usize = 4;

    /// All of them, last first.
    pub const ALL: [Self; Self::COUNT] = [Self::Relay, Self::Device, Self::Study, Self::Consortium];
}

/// What a lane may take, and what an account may have refused and waiting in it.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct Limits {
    /// The share of a block's weight that the lane may fill, by what its transactions declare.
    pub weight: Perbill,
    /// The share of a block's bytes that the lane may fill.
    pub bytes: Perbill,
    /// Most bytes of one transaction.
    pub longest: u32,
    /// How many bytes an account may owe before its next transaction is refused.
    pub debt: u32,
    /// How many bytes of its debt a block forgives each account.
    pub forgiven: u32,
    /// Whether all bytes are owed, those that wait among them, not only those of refused work. For senders that have a share and no
    /// more.
    pub all_owed: bool,
    /// How many bytes of an account may wait, when the last of its transactions is of this lane and all are as long as that one.
    pub waiting_bytes: u32,
}

/// How many transactions of an account may wait in a node's pool, by what the last of them is.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo, Debug)]
pub struct Places {
    /// Runs that a relay brings.
    pub of_a_relay: u32,
    /// Runs that a device brings for itself.
    pub of_a_device: u32,
    /// What a relay sends in the lane of studies, behind its runs.
    pub behind_runs: u32,
    /// What an authentication server sends in the lane of studies.
    pub of_a_server: u32,
    /// What anybody else sends in the lanes of studies and of the consortium.
    pub of_others: u32,
}

/// What a lane has taken of a block.
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
pub struct LaneUse {
    /// Weight, in picoseconds: what was charged, and for the transaction at work what it declared.
    pub ref_time: u64,
    /// Bytes.
    pub bytes: u32,
}

impl LaneUse {
    /// With one transaction more; none if the lane may not take that much of a block of this weight and length.
    pub(crate) fn with(
        self,
        declared: Weight,
        length: u32,
        limits: &Limits,
        block_weight: Weight,
        block_length: u32,
    ) -> Option<Self> {
        let with = Self {
            ref_time: self.ref_time.saturating_add(declared.ref_time()),
            bytes: self.bytes.saturating_add(length),
        };
        let fits = with.ref_time <= limits.weight * block_weight.ref_time()
            && with.bytes <= limits.bytes * block_length;
        fits.then_some(with)
    }

    /// Corrects what a transaction declared to what it was charged.
    pub(crate) fn correct(&mut self, declared: Weight, charged: Weight) {
        self.ref_time = self
            .ref_time
            .saturating_sub(declared.saturating_sub(charged).ref_time());
    }
}
