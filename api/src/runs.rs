// SPDX-License-Identifier: Apache-2.0

//! Runs on their way through a relay, and what a relay tells of the chain.

use alloc::vec::Vec;
use hashchain::{DataDigest, DeviceId, LinkHash, Run, StudyId, Tag};
use serde::{Deserialize, Serialize};

use crate::{Base64, DeviceStatus, Hash, Key, Refusal, RunState, SignatureBytes};

/// Bytes of an envelope that every relay takes, and that no phone exceeds. What is longer would be refused, and every later
/// entry of its device with it; so phone and relay know the same bound before anything is sealed.
pub const MAX_ENVELOPE_LENGTH: usize = 256 * 1024;

/// `POST /v1/runs`: consecutive entries of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunUpload {
    /// The device's number on the chain.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// Sequence of the first entry, from 1.
    pub sequence: u64,
    /// Link of the entry before the first, or link 0.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub previous: LinkHash,
    /// The entries, oldest first; at most 256.
    pub entries: Vec<RunEntry>,
    /// The device's signature over `enc("head", link of the last entry)`; may be absent in studies that do not ask for
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureBytes>,
}

/// One entry with its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunEntry {
    /// `H("data", envelope)`.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub digest: DataDigest,
    /// The tag that only a holder of the device's secret can make.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub tag: Tag,
    /// The sealed data.
    pub envelope: Base64,
}

/// `POST /v1/records`: data that the relay is to chain on the device's behalf, in the topologies of Figures 2a and 2b
/// only. Nothing protects such data on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BareRecord {
    /// The device's number on the chain.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// The device's own count, from 1: the same record sent again is stored once.
    pub sequence: u64,
    /// The data.
    pub envelope: Base64,
}

/// A run's state and receipt: the answer to an upload and to `GET /v1/runs/{run}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunStatus {
    /// Names the run by its content: [`run_id`].
    pub run: Hash,
    /// The device whose entries these are.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// Sequence of the first entry.
    pub sequence: u64,
    /// How many entries.
    pub entries: u32,
    /// Link of the last entry.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub head: LinkHash,
    /// Where it stands.
    pub state: RunState,
    /// The finalised block that settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockRef>,
    /// The extrinsic of that block that brought it. None when somebody else's had registered it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extrinsic_index: Option<u32>,
    /// Why the chain refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockRef {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

/// The end of a device's hashchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Head {
    /// Number of entries.
    pub length: u64,
    /// Link of the latest entry, or link 0.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub hash: LinkHash,
}

/// A head as it stands in a finalised block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainHead {
    /// The head.
    pub head: Head,
    /// The finalised block.
    pub block: BlockRef,
}

/// `GET /v1/devices/{device}/head`: a device's head as the relay and as the chain see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceHeads {
    /// The device.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// With everything that the relay has accepted.
    pub relay: Head,
    /// Finalised.
    pub chain: ChainHead,
}

/// `GET /v1/keys/{key}` and `GET /v1/devices/{device}`: a device as it stands finalised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceOnChain {
    /// Its number.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// The study that it belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// Its Ed25519 public key.
    pub key: Key,
    /// Link 0 of its hashchain.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub genesis: LinkHash,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// Its head and the block that has it.
    pub chain: ChainHead,
}

/// A registered entry: an element of the answer to `GET /v1/devices/{device}/entries?from=&count=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredEntry {
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// `H("data", envelope)`.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub digest: DataDigest,
    /// Its link.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub hash: LinkHash,
}

impl RunUpload {
    /// The run without its data, as the chain gets it.
    pub fn run(&self) -> Run {
        Run {
            device: self.device,
            first_sequence: self.sequence,
            previous: self.previous,
            entries: self.entries.iter().map(hashchain::RunEntry::from).collect(),
            signature: self.signature.map(|signature| signature.0),
        }
    }
}

impl From<&RunEntry> for hashchain::RunEntry {
    fn from(entry: &RunEntry) -> Self {
        Self {
            digest: entry.digest,
            tag: entry.tag,
        }
    }
}

/// Names a run by its content: `H("run", u32 device, u64 sequence, previous, link of the last entry)`. The last link
/// binds every entry, and a digest binds each envelope.
pub fn run_id(device: DeviceId, sequence: u64, previous: &LinkHash, head: &LinkHash) -> Hash {
    Hash(hashchain::encoding::hash::<hashchain::Native>(
        "run",
        &[
            &device.0.to_be_bytes(),
            &sequence.to_be_bytes(),
            &previous.0,
            &head.0,
        ],
    ))
}
