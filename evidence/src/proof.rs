// SPDX-License-Identifier: Apache-2.0

//! What somebody who asks is given: [`HeadProof`] and what is in it. Nothing here is checked but the encoding.

use alloc::vec::Vec;

use codec::{Decode, Encode, Error, Input};

use crate::bytes::{bounded_bytes, bounded_list, decode_exactly, Blobs};
use crate::finality::Handover;
use crate::header::Header;

/// The first block, and what its state says of the first authorities.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FirstAuthorities {
    /// The header of the first block.
    pub genesis: Header,
    /// Nodes of its state's trie that lead to [`AUTHORITIES_KEY`](crate::AUTHORITIES_KEY).
    pub nodes: Blobs,
}

/// A checkpoint's header, and what its state says of the authorities after it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointAuthorities {
    /// The header of the block.
    pub header: Header,
    /// Nodes of its state's trie that lead to [`checkpoint_keys`](crate::checkpoint_keys).
    pub nodes: Blobs,
}

/// That a block is final, and nodes of its state.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct FinalityProof {
    /// Blocks in which one set of authorities handed over to the next, from the set that the reader knows on.
    pub handovers: Vec<Handover>,
    /// The block whose state is proved.
    pub block: Header,
    /// The headers after it, up to the block that the justification is for.
    pub descendants: Vec<Header>,
    /// GRANDPA's justification for the last of them, or for the block itself.
    pub justification: Vec<u8>,
    /// Nodes of the block's state's trie. One value has to be among what they lead to: the hash of the first block, under
    /// [`genesis_hash_key`](crate::genesis_hash_key).
    pub nodes: Blobs,
}

/// What a relay hands to a phone: that a block is final, seen from the set of authorities that the phone knows, and nodes of its
/// state that lead to the device's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadProof {
    /// Only for somebody who knows no set yet.
    pub first: Option<FirstAuthorities>,
    /// The block and its state.
    pub finality: FinalityProof,
}

/// Why bytes are no [`HeadProof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// It has more than [`HeadProof::LARGEST`] bytes, or more handovers or headers than one may have.
    TooLarge,
    /// It is of a version that this program does not know.
    UnknownVersion(u8),
    /// It ends too early, goes on after its end, or is encoded in another way.
    Malformed,
}

impl FormatError {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "proof_too_large",
            Self::UnknownVersion(_) => "proof_version_unknown",
            Self::Malformed => "proof_malformed",
        }
    }
}

impl core::fmt::Display for FormatError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the proof is larger than any that is read"),
            Self::UnknownVersion(version) => {
                write!(f, "the proof is of version {version}, which is not known")
            }
            Self::Malformed => f.write_str("the proof is not encoded as it should be"),
        }
    }
}

impl core::error::Error for FormatError {}

impl Decode for FinalityProof {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(FinalityProof {
            handovers: bounded_list(input, Handover::LEAST_BYTES, usize::MAX)?,
            block: Header::decode(input)?,
            descendants: bounded_list(input, Header::LEAST_BYTES, usize::MAX)?,
            justification: bounded_bytes(input)?,
            nodes: Blobs::decode(input)?,
        })
    }
}

impl HeadProof {
    /// The version that this crate reads and writes.
    pub const VERSION: u8 = 1;
    /// Most bytes of a proof.
    pub const LARGEST: usize = 256 << 10;

    /// Most handovers in one. Who is further behind asks again, from the last of them on.
    pub const MOST_HANDOVERS: usize = 64;
    /// Most headers between the block and the one that the justification is for.
    pub const MOST_DESCENDANTS: usize = 256;

    /// Its bytes: the version, and the rest in SCALE.
    pub fn to_bytes(&self) -> Vec<u8> {
        (Self::VERSION, &self.first, &self.finality).encode()
    }

    /// Reads what [`HeadProof::to_bytes`] has written, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > Self::LARGEST {
            return Err(FormatError::TooLarge);
        }
        let (version, rest) = bytes.split_first().ok_or(FormatError::Malformed)?;
        if *version != Self::VERSION {
            return Err(FormatError::UnknownVersion(*version));
        }
        let (first, finality): (_, FinalityProof) =
            decode_exactly(rest).map_err(|_| FormatError::Malformed)?;
        if finality.handovers.len() > Self::MOST_HANDOVERS
            || finality.descendants.len() > Self::MOST_DESCENDANTS
        {
            return Err(FormatError::TooLarge);
        }
        Ok(HeadProof { first, finality })
    }
}
