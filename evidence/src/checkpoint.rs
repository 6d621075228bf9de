// SPDX-License-Identifier: Apache-2.0

//! A block that the reader trusts to be the chain's, from a source outside what is read.

use core::fmt;
use core::str::FromStr;

use hashchain::hex::{parse, Hex};

use crate::Header;

/// A block that its user trusts to be of the chain and final: hash and number, written `0x…@NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block's hash.
    pub hash: [u8; 32],
    /// Its number.
    pub number: u32,
}

/// A text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACheckpoint;

impl Checkpoint {
    /// The checkpoint that this block would be.
    pub fn of(header: &Header) -> Self {
        Checkpoint {
            hash: header.hash(),
            number: header.number,
        }
    }

    /// The latest of these that is before a block.
    pub fn newest_before(checkpoints: &[Checkpoint], block: u32) -> Option<Checkpoint> {
        let before = checkpoints.iter().filter(|it| it.number < block);
        before.max_by_key(|it| it.number).copied()
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Hex(&self.hash), self.number)
    }
}

impl FromStr for Checkpoint {
    type Err = NotACheckpoint;

    fn from_str(text: &str) -> Result<Self, NotACheckpoint> {
        let (hash, number) = text.split_once('@').ok_or(NotACheckpoint)?;
        Ok(Checkpoint {
            hash: parse(hash).map_err(|_| NotACheckpoint)?,
            number: number.parse().map_err(|_| NotACheckpoint)?,
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Checkpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Checkpoint", 2)?;
        fields.serialize_field("hash", &alloc::format!("{}", Hex(&self.hash)))?;
        fields.serialize_field("number", &self.number)?;
        fields.end()
    }
}

impl fmt::Display for NotACheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a checkpoint as HASH@NUMBER: a block's hash in hexadecimal, an @, and the block's number")
    }
}

impl core::error::Error for NotACheckpoint {}
