// SPDX-License-Identifier: Apache-2.0

//! Evidence: one file about a device, or about all devices of a study, that anybody can check offline, who knows the genesis
//! hash of the chain, and perhaps a checkpoint, and trusts nobody else. `docs/protocol/evidence.md` fixes its format and says
//! what it proves.
//!
//! Nothing in this module talks to a node or a server, and it uses no client of one.

mod device;
mod verify;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use codec::{Decode, Encode, Error, Input, Output};
use hashchain::{DeviceId, Native, RunEntry, Sha256, StudyId};
use mhealth_evidence::{bounded_list, decode_exactly, DeviceRecord};
use sha2::Digest as _;

pub use mhealth_evidence::{
    Blobs, Checkpoint, CheckpointAuthorities, FinalityProof, Handover, Header,
};

pub use device::{ClaimedConflict, DeviceClaims, Fault};
pub use verify::{verify, Claims, Refusal, Trust};

/// First bytes of every evidence file.
pub const MAGIC: [u8; 16] = *b"mhealth-evidence";
/// The version of the format that this crate reads and writes.
pub const VERSION: u16 = 2;
/// Largest file that is read.
pub const LARGEST: usize = 256 << 20;

/// What stands in the file, after magic and version.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Evidence {
    /// The first block of the chain.
    pub genesis: Header,
    /// The block whose state names the authorities to begin with.
    pub start: Start,
    /// That the block is final whose state is proved, and nodes of that state.
    pub finality: FinalityProof,
    /// The study that the devices are all of; none when the file does not say so.
    pub study: Option<StudyId>,
    /// The devices, in order of their numbers.
    pub devices: Vec<DeviceEvidence>,
}

/// The block whose state names the authorities that the file begins with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Start {
    /// The first block of the chain. Holds the nodes of its state trie that lead to the first GRANDPA authorities.
    Genesis(Blobs),
    /// A later block, which the reader has to trust.
    Checkpoint(CheckpointAuthorities),
}

/// A device in the file.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct DeviceEvidence {
    /// Its number.
    pub device: DeviceId,
    /// Digest and tag of its entries, from the first on.
    pub entries: Vec<RunEntry>,
    /// The device's signature over the last link, if there is one.
    pub signature: Option<[u8; 64]>,
    /// The envelopes of all entries, if they are part of the file.
    pub envelopes: Option<Blobs>,
    /// The device's secret, if it is part of the file. Who has it can make tags as well as check them.
    pub secret: Option<[u8; 32]>,
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
    /// The file, as [`Evidence::write_to`] writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.write_to(&mut bytes);
        written.expect("a vector takes every byte; qed");
        bytes
    }

    /// Writes the file: magic, version, contents, and the SHA-256 of all before. Nothing of it is kept in memory. Returns how many
    /// bytes it has.
    pub fn write_to(&self, out: impl Write) -> io::Result<u64> {
        let mut file = Written {
            out,
            bytes: 0,
            hash: sha2::Sha256::new(),
            failed: None,
        };
        file.write(&MAGIC);
        file.write(&VERSION.to_le_bytes());
        self.encode_to(&mut file);
        let checksum: [u8; 32] = file.hash.clone().finalize().into();
        file.write(&checksum);
        match file.failed {
            Some(error) => Err(error),
            None => Ok(file.bytes),
        }
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
        // There is one encoding of everything, so no two files say the same.
        decode_exactly(contents).map_err(|_| FormatError::Damaged)
    }
}

/// A file that is being written.
struct Written<W> {
    out: W,
    bytes: u64,
    hash: sha2::Sha256,
    /// What encodes itself hears nothing of an error.
    failed: Option<io::Error>,
}

impl<W: Write> Output for Written<W> {
    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.bytes += bytes.len() as u64;
            self.hash.update(bytes);
            self.failed = self.out.write_all(bytes).err();
        }
    }
}

// What is read is no larger in memory than in the file, whatever is in it: every count is compared with the bytes that are there.

impl Decode for Evidence {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let genesis = Header::decode(input)?;
        let start = Start::decode(input)?;
        let finality = FinalityProof::decode(input)?;
        let study = Decode::decode(input)?;
        // Of every device the state's proof has the record, which is much longer than a device without entries.
        let most = finality.nodes.size() / DeviceRecord::LEAST_BYTES;
        Ok(Evidence {
            genesis,
            start,
            finality,
            study,
            devices: bounded_list(input, DeviceEvidence::LEAST_BYTES, most)?,
        })
    }
}

impl DeviceEvidence {
    /// Bytes that every encoded device takes.
    const LEAST_BYTES: usize = 4 + 1 + 1 + 1 + 1;
    /// Bytes that every entry takes.
    const ENTRY_BYTES: usize = 32 + 32;
}

impl Decode for DeviceEvidence {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(DeviceEvidence {
            device: Decode::decode(input)?,
            entries: bounded_list(input, Self::ENTRY_BYTES, usize::MAX)?,
            signature: Decode::decode(input)?,
            envelopes: Decode::decode(input)?,
            secret: Decode::decode(input)?,
        })
    }
}
