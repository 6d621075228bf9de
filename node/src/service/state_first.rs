// SPDX-License-Identifier: Apache-2.0

//! Imports the blocks of a node that joins by `--sync fast`.
//!
//! Such a node takes blocks without executing them. Once a block near the end of the chain is final, it fetches that block's
//! state, with the proof that it is the one that the header names, and executes what comes after. The SDK leaves three things
//! to whoever checks blocks, and Aura's part does not do them:
//!
//! - No state says on the way who the authorities are, so Aura's seals are not checked. Finality stands in for them: without the
//!   votes of the authorities no block becomes final. A header that changes the authorities by force would lead around that,
//!   because nobody votes on such a change, so it is refused.
//! - The state is that of a block that is final already. Aura's part makes it the best block all the same, and the database
//!   refuses to go back behind what is final. So the best block stays what it is, as in BABE's import.
//! - Blocks after it that were taken before the state was there are executed when they come again. They are known, but have no
//!   state, and would be passed over, and the node would never get any further.

use std::sync::Arc;

use async_trait::async_trait;
use mhealth_runtime::{opaque::Block, BlockNumber, Hash};
use sc_client_api::HeaderBackend;
use sc_consensus::{
    BlockCheckParams, BlockImport, BlockImportParams, ForkChoiceStrategy, ImportResult,
};
use sc_consensus_grandpa::find_forced_change;
use sc_network::config::SyncMode;
use sc_service::Configuration;
use sp_consensus::{BlockStatus, Error};

use super::{FullClient, GrandpaBlockImport};

/// Why a block is refused that is not executed.
const BY_FORCE: &str = "the block changes the authorities by force, which --sync fast cannot \
                        check; use --sync full, or --sync warp with --checkpoint";

/// GRANDPA's import, with what `--sync fast` needs beside it. Without that option it is GRANDPA's import.
pub(super) struct StateFirst {
    inner: GrandpaBlockImport,
    client: Arc<FullClient>,
    is_on: bool,
}

impl StateFirst {
    /// As the configuration says.
    pub(super) fn new(
        inner: GrandpaBlockImport,
        client: Arc<FullClient>,
        config: &Configuration,
    ) -> Self {
        let is_on = matches!(config.network.sync_mode, SyncMode::LightState { .. });
        Self {
            inner,
            client,
            is_on,
        }
    }

    /// Whether a block after the last state that is final is there without its own, which can be had: its parent's is there.
    fn lacks_state(&self, block: Hash, number: BlockNumber, parent: Hash) -> Result<bool, Error> {
        match self.client.info().finalized_state {
            Some((_, last)) if number > last => {}
            _ => return Ok(false),
        }
        Ok(self.status(block)? == BlockStatus::InChainPruned
            && self.status(parent)? == BlockStatus::InChainWithState)
    }

    fn status(&self, block: Hash) -> Result<BlockStatus, Error> {
        let status = self.client.block_status(block);
        status.map_err(|error| Error::ClientImport(error.to_string()))
    }
}

#[async_trait]
impl BlockImport<Block> for StateFirst {
    type Error = Error;

    async fn check_block(
        &self,
        mut block: BlockCheckParams<Block>,
    ) -> Result<ImportResult, Self::Error> {
        if self.is_on && self.lacks_state(block.hash, block.number, block.parent_hash)? {
            block.import_existing = true;
        }
        self.inner.check_block(block).await
    }

    async fn import_block(
        &self,
        mut block: BlockImportParams<Block>,
    ) -> Result<ImportResult, Self::Error> {
        if self.is_on {
            let (hash, number) = (block.post_hash(), block.header.number);
            if block.with_state() {
                if self.status(hash)? != BlockStatus::Unknown {
                    block.fork_choice = Some(ForkChoiceStrategy::Custom(false));
                }
            } else if block.state_action.skip_execution_checks() {
                if find_forced_change::<Block>(&block.header).is_some() {
                    return Err(Error::ClientImport(BY_FORCE.into()));
                }
            } else if self.lacks_state(hash, number, block.header.parent_hash)? {
                block.import_existing = true;
            }
        }
        self.inner.import_block(block).await
    }
}
