// SPDX-License-Identifier: Apache-2.0

//! The chain as the relay needs it, so that tests can put another in its place.

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use mhealth_api::{BlockRef, Hash};
use mhealth_chain_client::{
    calls, Account, ChainClient, DeviceView, EntryView, Error, FinalisedBlock, Handed, Run,
    SignedTransaction, StudyView, H256,
};
use tokio::sync::Semaphore;

/// For how many blocks a transaction of the relay is valid: two minutes with blocks of two seconds. After that time
/// without it the relay knows for sure that it never will be included.
const ERA: u64 = 64;
/// Questions to the node at a time that devices can bring about.
const READS: usize = 32;

/// What an answer of the chain may be late or wrong with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The chain, and the relay's account there. Everything that is read is finalised.
pub trait Ledger: Send + Sync + 'static {
    /// Hash of the genesis block.
    fn genesis(&self) -> Hash;
    /// The relay's account.
    fn account(&self) -> [u8; 32];
    /// A device and the block that has it so.
    fn device(&self, device: u32) -> Answer<'_, Option<(DeviceView, BlockRef)>>;
    /// The device that enrolled with a key.
    fn device_by_key(&self, key: [u8; 32]) -> Answer<'_, Option<u32>>;
    /// Up to so many entries of a device from a sequence on.
    fn entries(&self, device: u32, from: u64, count: u32) -> Answer<'_, Vec<EntryView>>;
    /// A study.
    fn study(&self, study: u32) -> Answer<'_, Option<StudyView>>;
    /// The latest finalised block.
    fn finalised(&self) -> Answer<'_, BlockRef>;
    /// Hash of the best block of that number.
    fn block_hash(&self, number: u64) -> Answer<'_, Option<Hash>>;
    /// The account's next nonce after a block.
    fn nonce_after(&self, block: Hash) -> Answer<'_, u64>;
    /// The account's next nonce after the best block, which may not be final.
    fn best_nonce(&self) -> Answer<'_, u64>;
    /// Signs a batch, and sends nothing.
    fn sign(&self, runs: Vec<Run>, nonce: u64) -> Answer<'_, SignedTransaction>;
    /// Hands a transaction to the node.
    fn send<'a>(&'a self, transaction: &'a [u8]) -> Answer<'a, Handed>;
    /// Finalised blocks from a number on.
    fn follow(&self, from: u64) -> BoxStream<'static, Result<FinalisedBlock, Error>>;
}

/// A real node.
pub struct NodeLedger {
    client: ChainClient,
    account: Account,
    reads: Semaphore,
}

impl NodeLedger {
    /// The chain of a node, and the relay's account.
    pub fn new(client: ChainClient, account: Account) -> Self {
        Self {
            client,
            account,
            reads: Semaphore::new(READS),
        }
    }

    async fn read(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        self.reads.acquire().await.map_err(|_| Error::Closed)
    }
}

impl Ledger for NodeLedger {
    fn genesis(&self) -> Hash {
        Hash(self.client.genesis_hash().0)
    }

    fn account(&self) -> [u8; 32] {
        self.account.public_key()
    }

    fn device(&self, device: u32) -> Answer<'_, Option<(DeviceView, BlockRef)>> {
        Box::pin(async move {
            let _read = self.read().await?;
            let block = self.client.finalised().await?;
            let view = self.client.at(block.hash).await?.device(device).await?;
            let block = BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            };
            Ok(view.map(|view| (view, block)))
        })
    }

    fn device_by_key(&self, key: [u8; 32]) -> Answer<'_, Option<u32>> {
        Box::pin(async move {
            let _read = self.read().await?;
            self.client.device_by_key(key).await
        })
    }

    fn entries(&self, device: u32, from: u64, count: u32) -> Answer<'_, Vec<EntryView>> {
        Box::pin(async move {
            let _read = self.read().await?;
            self.client.entries(device, from, count).await
        })
    }

    fn study(&self, study: u32) -> Answer<'_, Option<StudyView>> {
        Box::pin(async move {
            let _read = self.read().await?;
            self.client.study(study).await
        })
    }

    fn finalised(&self) -> Answer<'_, BlockRef> {
        Box::pin(async move {
            let block = self.client.finalised().await?;
            Ok(BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            })
        })
    }

    fn block_hash(&self, number: u64) -> Answer<'_, Option<Hash>> {
        Box::pin(async move {
            let hash = self.client.block_hash(number).await?;
            Ok(hash.map(|hash| Hash(hash.0)))
        })
    }

    fn nonce_after(&self, block: Hash) -> Answer<'_, u64> {
        Box::pin(async move {
            let view = self.client.at(H256(block.0)).await?;
            view.nonce(&self.account.id()).await
        })
    }

    fn best_nonce(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let best: H256 = self.client.request("chain_getBlockHash", &[]).await?;
            self.nonce_after(Hash(best.0)).await
        })
    }

    fn sign(&self, runs: Vec<Run>, nonce: u64) -> Answer<'_, SignedTransaction> {
        Box::pin(async move {
            let call = calls::submit_batch(runs);
            self.client.sign(&self.account, &call, nonce, ERA).await
        })
    }

    fn send<'a>(&'a self, transaction: &'a [u8]) -> Answer<'a, Handed> {
        Box::pin(self.client.send(transaction))
    }

    fn follow(&self, from: u64) -> BoxStream<'static, Result<FinalisedBlock, Error>> {
        self.client.follow_from(from).into_stream().boxed()
    }
}
