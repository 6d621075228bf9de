// SPDX-License-Identifier: Apache-2.0

//! A block that the reader trusts to be the chain's, from a source outside the file.

use std::fmt;
use std::str::FromStr;

use mhealth_api::Hash;
use serde::Serialize;
use sp_runtime::traits::Header as _;

use super::Header;

/// A block that its user trusts to be of the chain and final: hash and number, written `0x…@NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The block's hash.
    pub hash: Hash,
    /// Its number.
    pub number: u32,
}

/// A text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a checkpoint as HASH@NUMBER: a block's hash in hexadecimal, an @, and the block's number")]
pub struct NotACheckpoint;

impl Checkpoint {
    /// The checkpoint that this block would be.
    pub fn of(header: &Header) -> Self {
        Checkpoint {
            hash: Hash(header.hash().0),
            number: *header.number(),
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
        write!(f, "{}@{}", self.hash, self.number)
    }
}

impl FromStr for Checkpoint {
    type Err = NotACheckpoint;

    fn from_str(text: &str) -> Result<Self, NotACheckpoint> {
        let (hash, number) = text.split_once('@').ok_or(NotACheckpoint)?;
        Ok(Checkpoint {
            hash: hash.parse().map_err(|_| NotACheckpoint)?,
            number: number.parse().map_err(|_| NotACheckpoint)?,
        })
    }
}
