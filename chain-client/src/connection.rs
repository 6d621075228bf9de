// SPDX-License-Identifier: Apache-2.0

//! One node of one chain: what everything else in this crate rests on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use subxt::rpcs::client::RpcClient;
use subxt::utils::H256;

use crate::error::Error;
use crate::rpc::{Rpc, Version};
use crate::runtime::Runtime;
use crate::transport::Generation;
use crate::types::BlockId;

/// The requests to a node, and the runtimes by whose metadata its answers are read. All clones are one.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    rpc: Rpc,
    genesis: H256,
    generation: Generation,
    runtimes: Mutex<HashMap<Version, Runtime>>,
}

impl Connection {
    /// Asks the node which chain it follows; fails if another one was expected.
    pub(crate) async fn open(
        url: &str,
        client: RpcClient,
        generation: Generation,
        expected: Option<H256>,
    ) -> Result<Self, Error> {
        let rpc = Rpc::new(url, client);
        let genesis = expected_chain(&rpc, expected).await?;
        Ok(Connection(Arc::new(Inner {
            rpc,
            genesis,
            generation,
            runtimes: Mutex::default(),
        })))
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        &self.0.rpc
    }

    pub(crate) fn genesis(&self) -> H256 {
        self.0.genesis
    }

    /// Number of the WebSocket that is in use, counted from the first.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.current()
    }

    /// Fails if the node follows another chain by now, as after a restart with another database.
    pub(crate) async fn check_chain(&self) -> Result<(), Error> {
        expected_chain(&self.0.rpc, Some(self.0.genesis))
            .await
            .map(drop)
    }

    /// The latest finalised block.
    pub(crate) async fn finalised(&self) -> Result<BlockId, Error> {
        self.numbered(self.0.rpc.finalised_head().await?).await
    }

    /// The best block, which may not be final.
    pub(crate) async fn best(&self) -> Result<BlockId, Error> {
        self.numbered(self.0.rpc.best_hash().await?).await
    }

    async fn numbered(&self, hash: H256) -> Result<BlockId, Error> {
        let number = self.0.rpc.header(hash).await?.number;
        Ok(BlockId { number, hash })
    }

    /// The runtime in force after a block, which is also the one that works off the next block.
    pub(crate) async fn runtime(&self, block: H256) -> Result<Runtime, Error> {
        let version = self.0.rpc.version(block).await?;
        if let Some(runtime) = self.runtimes().get(&version) {
            return Ok(runtime.clone());
        }
        let runtime = Runtime::fetch(&self.0.rpc, block, version, self.0.genesis).await?;
        self.runtimes().insert(version, runtime.clone());
        Ok(runtime)
    }

    fn runtimes(&self) -> MutexGuard<'_, HashMap<Version, Runtime>> {
        let runtimes = self.0.runtimes.lock();
        runtimes.expect("no holder of this lock panics; qed")
    }
}

/// Hash of the genesis block of the node's chain, which must be the expected one.
async fn expected_chain(rpc: &Rpc, expected: Option<H256>) -> Result<H256, Error> {
    let found = rpc.genesis_hash().await?;
    match expected {
        Some(expected) if expected != found => Err(Error::WrongChain {
            url: rpc.url().to_string(),
            expected,
            found,
        }),
        _ => Ok(found),
    }
}
