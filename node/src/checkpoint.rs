// SPDX-License-Identifier: Apache-2.0

//! A block that the operator trusts, from which a new node begins.
//!
//! Warp sync follows the handovers of authorities from the first block on, and so it ends where the authorities were changed by
//! force: those before did not sign for it. From a checkpoint after that it goes on: the node takes that block's state, which
//! its header proves, and the authorities from it.

use std::{path::Path, str::FromStr};

use mhealth_runtime::{BlockNumber, Hash, Header};
use serde_json::Value;

/// A block that the operator knows to be final, from a source other than the network: `HASH@NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    hash: Hash,
    number: BlockNumber,
}

impl FromStr for Checkpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('@').and_then(|(hash, number)| {
            Some(Checkpoint {
                hash: hash.parse().ok()?,
                number: number.parse().ok()?,
            })
        });
        parsed.ok_or(
            "expected HASH@NUMBER: a block's hash in hexadecimal, an @, and the block's number",
        )
    }
}

/// Why a node cannot begin at a checkpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The file cannot be read.
    #[error("the checkpoint's header cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is not an answer of `chain_getHeader`.
    #[error("the checkpoint's header is not what chain_getHeader answers: {0}")]
    NotAHeader(#[from] serde_json::Error),
    /// The header is another block's.
    #[error("the checkpoint's header is that of block {hash:?}@{number}, which is another; ask for the header of the checkpoint's hash")]
    AnotherBlock {
        /// That block's hash.
        hash: Hash,
        /// Its number.
        number: BlockNumber,
    },
}

impl Checkpoint {
    /// The checkpoint's header from a file, which need not be trusted: what `chain_getHeader` answers, with or without the JSON-RPC
    /// around it.
    pub(crate) fn header(self, file: &Path) -> Result<Header, CheckpointError> {
        let mut answer: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let header = match answer.get_mut("result") {
            Some(result) => result.take(),
            None => answer,
        };
        let header: Header = serde_json::from_value(header)?;
        let found = Checkpoint {
            hash: header.hash(),
            number: header.number,
        };
        match found == self {
            true => Ok(header),
            false => Err(CheckpointError::AnotherBlock {
                hash: found.hash,
                number: found.number,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sp_runtime::traits::Header as _;

    use super::*;

    #[test]
    fn the_header_in_the_file_must_be_the_checkpoints() {
        let none = Hash::default();
        let header = Header::new(7, none, none, none, Default::default());
        let checkpoint = Checkpoint {
            hash: header.hash(),
            number: 7,
        };
        let text = format!("{:?}@7", header.hash());
        assert_eq!(text.parse(), Ok(checkpoint));
        for wrong in ["7", "0x00@7", "@", &format!("{:?}", header.hash())] {
            assert!(wrong.parse::<Checkpoint>().is_err());
        }

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("header.json");
        assert!(matches!(
            checkpoint.header(&file),
            Err(CheckpointError::Unreadable(_))
        ));
        for answer in [json!(header), json!({ "id": 1, "result": header })] {
            std::fs::write(&file, answer.to_string()).unwrap();
            assert_eq!(checkpoint.header(&file).unwrap(), header);
            let other = Checkpoint {
                number: 8,
                ..checkpoint
            };
            assert!(matches!(
                other.header(&file),
                Err(CheckpointError::AnotherBlock { number: 7, .. })
            ));
        }
        std::fs::write(&file, "{}").unwrap();
        assert!(matches!(
            checkpoint.header(&file),
            Err(CheckpointError::NotAHeader(_))
        ));
    }
}
