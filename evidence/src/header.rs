// SPDX-License-Identifier: Apache-2.0

//! Block headers.

use alloc::vec::Vec;

use codec::{Compact, Decode, Encode, EncodeLike, Error, Input, Output};

use crate::bytes::{append_counted, count, length, malformed, take, take_counted, Malformed};
use crate::hash::blake2_256;

/// The name of `ClientHashchain` in headers.
pub const JOURNAL_ENGINE: [u8; 4] = *b"HCHN";

/// A block's header, as Substrate has it with numbers of 32 bits and BLAKE2b-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Hash of the block before.
    pub parent_hash: [u8; 32],
    /// Number of the block; the first has 0.
    pub number: u32,
    /// Root of the trie of the state after the block.
    pub state_root: [u8; 32],
    /// Root of the trie of the block's extrinsics, see [`ordered_root`](crate::ordered_root).
    pub extrinsics_root: [u8; 32],
    /// What consensus says in the header.
    pub digest: Digest,
}

/// What consensus says in a header, as it is encoded: items of several kinds, with their number before them.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(Vec<u8>);

/// An item of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestItem<'a> {
    /// From the engine of consensus with this name to the runtime.
    PreRuntime([u8; 4], &'a [u8]),
    /// From the runtime to the engine.
    Consensus([u8; 4], &'a [u8]),
    /// The author's signature.
    Seal([u8; 4], &'a [u8]),
    /// Anything else.
    Other(&'a [u8]),
    /// The runtime has changed.
    RuntimeEnvironmentUpdated,
}

impl Header {
    /// Bytes that every encoded header takes.
    pub(crate) const LEAST_BYTES: usize = 32 + 1 + 32 + 32 + 1;

    /// The hash of the block.
    pub fn hash(&self) -> [u8; 32] {
        blake2_256(&self.encode())
    }

    /// How many entries the chain's journal has after the block, as the runtime says in the header; none if it does not. An entry
    /// at a place of the journal was registered by the first block whose journal is longer than that place.
    pub fn journal_length(&self) -> Option<u64> {
        let mut items = self.digest.items();
        let length = items.find_map(|item| match item {
            DigestItem::Consensus(JOURNAL_ENGINE, length) => Some(length),
            _ => None,
        });
        Some(u64::from_le_bytes(length?.try_into().ok()?))
    }

    /// Whether this header is of the block after that one.
    pub fn follows(&self, before: &Header) -> bool {
        before.number.checked_add(1) == Some(self.number) && self.parent_hash == before.hash()
    }
}

impl Digest {
    /// A digest of these items.
    pub fn new<'a>(items: impl IntoIterator<Item = DigestItem<'a>>) -> Self {
        let (mut count, mut encoded) = (0u32, Vec::new());
        for item in items {
            count += 1;
            item.write(&mut encoded);
        }
        let mut bytes = Compact(count).encode();
        bytes.extend(encoded);
        Digest(bytes)
    }

    /// Its items, in their order.
    pub fn items(&self) -> impl Iterator<Item = DigestItem<'_>> {
        let mut rest = &self.0[..];
        // Nothing gets in that is not encoded so.
        let count = length(&mut rest).unwrap_or(0);
        (0..count).map_while(move |_| DigestItem::take(&mut rest).ok())
    }
}

impl Default for Digest {
    fn default() -> Self {
        Digest::new([])
    }
}

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.items()).finish()
    }
}

// The numbers that Substrate gives to kinds of items.
const OTHER: u8 = 0;
const CONSENSUS: u8 = 4;
const SEAL: u8 = 5;
const PRE_RUNTIME: u8 = 6;
const RUNTIME_ENVIRONMENT_UPDATED: u8 = 8;

impl<'a> DigestItem<'a> {
    fn take(input: &mut &'a [u8]) -> Result<Self, Malformed> {
        let kind = take(input, 1)?[0];
        let mut named = |make: fn([u8; 4], &'a [u8]) -> Self| {
            let mut engine = [0; 4];
            engine.copy_from_slice(take(input, 4)?);
            Ok(make(engine, take_counted(input)?))
        };
        match kind {
            OTHER => Ok(DigestItem::Other(take_counted(input)?)),
            CONSENSUS => named(DigestItem::Consensus),
            SEAL => named(DigestItem::Seal),
            PRE_RUNTIME => named(DigestItem::PreRuntime),
            RUNTIME_ENVIRONMENT_UPDATED => Ok(DigestItem::RuntimeEnvironmentUpdated),
            _ => Err(malformed("has an item of an unknown kind")),
        }
    }

    fn write(&self, output: &mut Vec<u8>) {
        match self {
            DigestItem::PreRuntime(engine, data) => (PRE_RUNTIME, engine, data).encode_to(output),
            DigestItem::Consensus(engine, data) => (CONSENSUS, engine, data).encode_to(output),
            DigestItem::Seal(engine, data) => (SEAL, engine, data).encode_to(output),
            DigestItem::Other(data) => (OTHER, data).encode_to(output),
            DigestItem::RuntimeEnvironmentUpdated => output.push(RUNTIME_ENVIRONMENT_UPDATED),
        }
    }
}

impl Encode for Header {
    fn size_hint(&self) -> usize {
        32 + 5 + 32 + 32 + self.digest.0.len()
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        output.write(&self.parent_hash);
        Compact(self.number).encode_to(output);
        output.write(&self.state_root);
        output.write(&self.extrinsics_root);
        output.write(&self.digest.0);
    }
}

impl EncodeLike for Header {}

impl Decode for Header {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(Header {
            parent_hash: Decode::decode(input)?,
            number: Compact::<u32>::decode(input)?.0,
            state_root: Decode::decode(input)?,
            extrinsics_root: Decode::decode(input)?,
            digest: Decode::decode(input)?,
        })
    }
}

impl Encode for Digest {
    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        output.write(&self.0);
    }
}

impl EncodeLike for Digest {}

impl Decode for Digest {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let items = count(input, 1, u32::MAX as usize)?;
        let mut bytes = Compact(items as u32).encode();
        for _ in 0..items {
            let kind = input.read_byte()?;
            bytes.push(kind);
            match kind {
                CONSENSUS | SEAL | PRE_RUNTIME => bytes.extend(<[u8; 4]>::decode(input)?),
                OTHER => {}
                RUNTIME_ENVIRONMENT_UPDATED => continue,
                _ => return Err(malformed("has an item of an unknown kind")),
            }
            let length = count(input, 1, usize::MAX)?;
            append_counted(input, length, &mut bytes)?;
        }
        bytes.shrink_to_fit();
        Ok(Digest(bytes))
    }
}
