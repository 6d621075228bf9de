// SPDX-License-Identifier: Apache-2.0

//! Blocks as a node hands them out, for those who do not believe it: they check header and extrinsics by themselves, and bring the
//! proved events of the block. What is read here is read by the runtime's metadata, which the node gives, too; whether it is the one
//! that this program was built with can be asked.

use subxt::utils::H256;

use crate::block::{attach, bare, FinalisedBlock};
use crate::brought::{read, BroughtRun};
use crate::client::ChainClient;
use crate::error::Error;
use crate::rpc::RawBlock;
use crate::runtime::known_spec_version;

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
    /// Whether extrinsics and events were read by the metadata that this program was built with. Otherwise the node says how they
    /// read.
    pub known_runtime: bool,
}

impl ChainClient {
    /// The version of the rules that this program was built with.
    pub fn known_spec_version() -> Option<u32> {
        known_spec_version()
    }

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

    /// What a block brought and did. `events` is what stands in its state under `System.Events`; without it nothing is said of what
    /// became of its extrinsics.
    pub async fn read_body(
        &self,
        body: &BlockBody,
        events: Option<Vec<u8>>,
    ) -> Result<BlockContents, Error> {
        let runtime = self.connection().runtime(body.parent_hash).await?;
        let brought = read(&runtime, &body.extrinsics)?;
        let raw = RawBlock {
            number: body.number,
            hash: body.hash,
            parent_hash: body.parent_hash,
            extrinsics: body.extrinsics.clone(),
        };
        let mut block = bare(&raw);
        if let Some(events) = events {
            attach(&mut block, &runtime, events)?;
        }
        Ok(BlockContents {
            block,
            brought,
            known_runtime: runtime.is_known(),
        })
    }

    /// All keys of a block's state that begin so, as the node says.
    pub async fn keys_under(&self, prefix: &[u8], block: H256) -> Result<Vec<Vec<u8>>, Error> {
        self.connection().rpc().keys_under(prefix, block).await
    }
}
