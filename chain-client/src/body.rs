// SPDX-License-Identifier: Apache-2.0

//! Blocks as a node hands them out, for those who do not believe it: they check header and extrinsics by themselves, and bring the
//! proved events of the block. How both read, a runtime's metadata says: that which they have from its code, or at worst the node's.

use subxt::utils::H256;

use crate::block::{attach, bare, FinalisedBlock};
use crate::brought::{read, BroughtRun};
use crate::client::ChainClient;
use crate::error::Error;
use crate::rpc::RawBlock;
use crate::runtime::Runtime;

/// A block, as a node says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockBody {
    /// The hash that it was asked for by.
    pub hash: H256,
    /// Its header, SCALE encoded.
    pub header: Vec<u8>,
    /// Its number, as the header has it.
    pub number: u64,
    /// The block before it, as the header has it.
    pub parent_hash: H256,
    /// Its extrinsics, as the block's body has them.
    pub extrinsics: Vec<Vec<u8>>,
}

/// What a block brought and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContents {
    /// What became of its extrinsics, by the events.
    pub block: FinalisedBlock,
    /// The runs that signed extrinsics brought, in order, also those in calls within calls.
    pub brought: Vec<BroughtRun>,
}

/// Reads blocks of one runtime, by its metadata and without a node.
#[derive(Clone)]
pub struct BlockReader(Runtime);

impl BlockReader {
    /// By metadata as a runtime's code gives it.
    pub fn by_metadata(metadata: &[u8], genesis: H256) -> Result<Self, Error> {
        Runtime::by_metadata(metadata, genesis).map(Self)
    }

    /// The version of the runtime's rules.
    pub fn spec_version(&self) -> u32 {
        self.0.spec_version()
    }

    /// Whether an item of the state, by its pallet and its name, has the form that this program was built for.
    pub fn stores_as_known(&self, pallet: &str, item: &str) -> bool {
        self.0.stores_as_known(pallet, item)
    }

    /// What a block brought and did. `events` is what stands in its state under `System.Events`.
    pub fn read(&self, body: &BlockBody, events: Vec<u8>) -> Result<BlockContents, Error> {
        let brought = read(&self.0, &body.extrinsics)?;
        let raw = RawBlock {
            number: body.number,
            hash: body.hash,
            parent_hash: body.parent_hash,
            extrinsics: body.extrinsics.clone(),
        };
        let mut block = bare(&raw);
        attach(&mut block, &self.0, events)?;
        Ok(BlockContents { block, brought })
    }
}

impl ChainClient {
    /// The block of this hash.
    pub async fn block_body(&self, hash: H256) -> Result<BlockBody, Error> {
        let (raw, header) = self.connection().rpc().block_and_header(hash).await?;
        Ok(BlockBody {
            hash,
            header,
            number: raw.number,
            parent_hash: raw.parent_hash,
            extrinsics: raw.extrinsics,
        })
    }

    /// What reads the block after this one, by the metadata that the node gives: its word, and no proof.
    pub async fn block_reader(&self, parent: H256) -> Result<BlockReader, Error> {
        self.connection().runtime(parent).await.map(BlockReader)
    }

    /// All keys of a block's state that begin so, as the node says.
    pub async fn keys_under(&self, prefix: &[u8], block: H256) -> Result<Vec<Vec<u8>>, Error> {
        self.connection().rpc().keys_under(prefix, block).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &[u8] = include_bytes!("../metadata/mhealth.scale");

    fn by(metadata: &[u8]) -> Result<BlockReader, Error> {
        BlockReader::by_metadata(metadata, H256::zero())
    }

    #[test]
    fn metadata_alone_says_how_blocks_and_state_read() {
        let reader = by(METADATA).unwrap();
        assert!(reader.spec_version() >= 100);
        assert!(reader.stores_as_known("ClientHashchain", "JournalLength"));
        assert!(!reader.stores_as_known("ClientHashchain", "NoSuchItem"));
        assert!(by(&METADATA[..METADATA.len() / 2]).is_err());
    }

    #[test]
    fn an_item_that_is_stored_otherwise_is_seen() {
        let mut metadata = METADATA.to_vec();
        let name = b"JournalLength";
        let mut places = metadata.windows(name.len());
        let place = places.position(|bytes| bytes == name).unwrap();
        metadata[place] = b'X';
        let reader = by(&metadata).unwrap();
        assert!(!reader.stores_as_known("ClientHashchain", "JournalLength"));
        assert!(reader.stores_as_known("ClientHashchain", "JournalPages"));
    }
}
