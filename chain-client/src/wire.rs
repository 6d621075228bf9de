// SPDX-License-Identifier: Apache-2.0

//! From the types that the metadata gives to those of this crate, value by value.

use hashchain::{DataDigest, DeviceId, LinkHash, Run, RunEntry, StudyId, Tag};
use mhealth_api::{DeviceStatus, Policy, Refusal};
use subxt::utils::{AccountId32, H256};

use crate::runtime::api::runtime_types::bounded_collections::bounded_vec::BoundedVec;
use crate::runtime::api::runtime_types::pallet_client_hashchain::types as wire;
use crate::runtime::api::runtime_types::pallet_client_hashchain_runtime_api::DeviceState;
use crate::runtime::api::runtime_types::pallet_studies::{quota, types::StudyPolicy};
use crate::types::{Allowance, LastTrusted, SuspensionReason};

/// A value of the metadata's type, read as one of ours.
pub(crate) trait Read<T> {
    fn read(self) -> T;
}

macro_rules! as_it_is {
    ($($type:ty),+) => {
        $(impl Read<$type> for $type {
            fn read(self) -> $type {
                self
            }
        })+
    };
}

as_it_is!(bool, u32, u64, [u8; 32], AccountId32);

macro_rules! newtypes {
    ($($from:ty => $($to:ident)+;)+) => {
        $($(impl Read<$to> for $from {
            fn read(self) -> $to {
                $to(self.into())
            }
        })+)+
    };
}

newtypes! {
    u32 => DeviceId StudyId;
    H256 => LinkHash DataDigest Tag;
}

impl Read<[u8; 32]> for H256 {
    fn read(self) -> [u8; 32] {
        self.0
    }
}

impl<T: Read<U>, U> Read<Option<U>> for Option<T> {
    fn read(self) -> Option<U> {
        self.map(T::read)
    }
}

macro_rules! same_names {
    ($($from:ty => $to:ident { $($variant:ident),+ })+) => {
        $(impl Read<$to> for $from {
            fn read(self) -> $to {
                match self {
                    $(<$from>::$variant => $to::$variant,)+
                }
            }
        })+
    };
}

same_names! {
    DeviceState => DeviceStatus { Active, Suspended, Retired }
    StudyPolicy => Policy { HashchainOnly, DeviceSigned }
    wire::SuspensionReason => SuspensionReason { Lost, Compromised, Withdrawn, Administrative, Fork }
}

impl Read<Refusal> for wire::RefusalReason {
    fn read(self) -> Refusal {
        self.into()
    }
}

impl Read<Run> for wire::Run {
    fn read(self) -> Run {
        let entry = |entry: wire::RunEntry| RunEntry {
            digest: entry.digest.read(),
            tag: entry.tag.read(),
        };
        Run {
            device: self.device.read(),
            first_sequence: self.sequence,
            previous: self.previous.read(),
            entries: self.entries.0.into_iter().map(entry).collect(),
            signature: self.signature,
        }
    }
}

impl Read<Allowance> for quota::Allowance {
    fn read(self) -> Allowance {
        Allowance {
            devices: self.study.devices,
            entries: self.study.entries,
            bytes: self.study.bytes,
            admissions: self.study.admissions,
            device_entries: self.device_entries,
        }
    }
}

impl From<Run> for wire::Run {
    fn from(run: Run) -> Self {
        let entry = |entry: RunEntry| wire::RunEntry {
            digest: H256(entry.digest.0),
            tag: H256(entry.tag.0),
        };
        wire::Run {
            device: run.device.0,
            sequence: run.first_sequence,
            previous: H256(run.previous.0),
            entries: BoundedVec(run.entries.into_iter().map(entry).collect()),
            signature: run.signature,
        }
    }
}

impl From<SuspensionReason> for wire::SuspensionReason {
    fn from(reason: SuspensionReason) -> Self {
        match reason {
            SuspensionReason::Lost => Self::Lost,
            SuspensionReason::Compromised => Self::Compromised,
            SuspensionReason::Withdrawn => Self::Withdrawn,
            SuspensionReason::Administrative => Self::Administrative,
            SuspensionReason::Fork => Self::Fork,
        }
    }
}

impl From<LastTrusted> for wire::LastTrusted {
    fn from(last_trusted: LastTrusted) -> Self {
        match last_trusted {
            LastTrusted::Latest => Self::Latest,
            LastTrusted::Entry(index) => Self::Entry(index),
            LastTrusted::Nothing => Self::Nothing,
        }
    }
}
