// SPDX-License-Identifier: Apache-2.0

//! Evidence: one file about a device, or about all devices of a study, that anybody can check offline, who knows the genesis
//! hash of the chain, and perhaps a checkpoint, and trusts nobody else. `docs/protocol/evidence.md` fixes its format and says
//! what it proves.
//!
//! Nothing in this module talks to a node or a server, and it uses no client of one.

mod checkpoint;
mod device;
mod finality;
mod state;
mod verify;

#[cfg(test)]
mod tests;

use codec::{Decode, DecodeAll, Encode};
use hashchain::{DeviceId, Native, RunEntry, Sha256, StudyId};
use sp_runtime::{generic, traits::BlakeTwo256};

pub use checkpoint::{Checkpoint, NotACheckpoint};
pub use device::{ClaimedConflict, DeviceClaims, Fault};
pub(crate) use finality::{forces_authorities, next_authorities};
pub use state::{
    checkpoint_keys, conflicts_key, device_key, head_page_key, next_device_key, AUTHORITIES_KEY,
    HEADS_PER_PAGE,
};
pub use verify::{verify, Claims, Refusal, Trust};

/// A block header of the chain.
pub type Header = generic::Header<u32, BlakeTwo256>;

/// First bytes of every evidence file.
pub const MAGIC: [u8; 16] = *b"mhealth-evidence";
/// The version of the format that this crate reads and writes.
pub const VERSION: u16 = 2;
/// Largest file that is read.
pub const LARGEST: usize = 256 << 20;

/// What stands in the file, after magic and version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Evidence {
    /// The first block of the chain.
    pub genesis: Header,
    /// The block whose state names the authorities to begin with.
    pub start: Start,
    /// Blocks after it in which one set of authorities handed over to the next, oldest first.
    pub handovers: Vec<Handover>,
    /// The block whose state is proved.
    pub block: Header,
    /// The headers after it, up to the block that the justification is for.
    pub descendants: Vec<Header>,
    /// GRANDPA's justification for the last of them, or for the block itself.
    pub justification: Vec<u8>,
    /// Nodes of the block's state trie.
    pub state_proof: Vec<Vec<u8>>,
    /// The study that the devices are all of; none when the file does not say so.
    pub study: Option<StudyId>,
    /// The devices, in order of their numbers.
    pub devices: Vec<DeviceEvidence>,
}

/// The block whose state names the authorities that the file begins with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Start {
    /// The first block of the chain. Holds the nodes of its state trie that lead to the first GRANDPA authorities.
    Genesis(Vec<Vec<u8>>),
    /// A later block, which the reader has to trust.
    Checkpoint {
        /// The block.
        header: Header,
        /// Nodes of its state trie that lead to the values under [`checkpoint_keys()`].
        proof: Vec<Vec<u8>>,
    },
}

/// A device in the file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeviceEvidence {
    /// Its number.
    pub device: DeviceId,
    /// Digest and tag of its entries, from the first on.
    pub entries: Vec<RunEntry>,
    /// The device's signature over the last link, if there is one.
    pub signature: Option<[u8; 64]>,
    /// The envelopes of all entries, if they are part of the file.
    pub envelopes: Option<Vec<Vec<u8>>>,
    /// The device's secret, if it is part of the file. Who has it can make tags as well as check them.
    pub secret: Option<[u8; 32]>,
}

/// A block that names the next authorities, and the present ones' justification for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Handover {
    /// The block.
    pub header: Header,
    /// Its justification.
    pub justification: Vec<u8>,
}

/// Why a file is no evidence of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as evidence does.
    #[error("this is no evidence file")]
    NotEvidence,
    /// It is of a version that this program does not know.
    #[error("this evidence is of version {0}; this program knows version {VERSION}, in which it can be made anew with `mhealth-auditor prove`")]
    UnknownVersion(u16),
    /// It ends too early, goes on after its end, or is not encoded as it should be.
    #[error("this evidence is damaged: it is not encoded as version {VERSION} asks")]
    Damaged,
    /// Its checksum is not that of its bytes.
    #[error("this evidence is damaged: its checksum is another")]
    Checksum,
    /// Larger than [`LARGEST`].
    #[error("this file is larger than any evidence that is read")]
    TooLarge,
}

impl Evidence {
    /// The file: magic, version, contents, and the SHA-256 of all before.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &self.encode()].concat();
        let checksum = Native::sha256(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// Reads a file. Takes exactly what [`Evidence::to_bytes`] writes. The checksum finds accidents; against intent
    /// [`verify()`] does not need it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > LARGEST {
            return Err(FormatError::TooLarge);
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(FormatError::NotEvidence)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(FormatError::Damaged)?;
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        let (contents, checksum) = rest.split_last_chunk::<32>().ok_or(FormatError::Damaged)?;
        if Native::sha256(&bytes[..bytes.len() - 32]) != *checksum {
            return Err(FormatError::Checksum);
        }
        let mut input = contents;
        let evidence = Self::decode_all(&mut input).map_err(|_| FormatError::Damaged)?;
        // There is one encoding of everything, so no two files say the same.
        match evidence.encode() == contents {
            true => Ok(evidence),
            false => Err(FormatError::Damaged),
        }
    }
}
