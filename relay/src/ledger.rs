// SPDX-License-Identifier: Apache-2.0

//! The chain as the relay needs it, so that tests can put another in its place.

use std::sync::OnceLock;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use hashchain::{DeviceId, Run, StudyId};
use mhealth_api::{BlockRef, Code, Hash};
use mhealth_chain_client::{
    calls, Account, ChainClient, DeviceView, EntryView, Error, FinalisedBlock, PoolAnswer,
    SignedTransaction, StudyView, H256,
};
use mhealth_server::ApiError;
use tokio::sync::{Semaphore, SemaphorePermit};

/// For how many blocks a transaction of the relay is valid: two minutes with blocks of two seconds. After that time
/// without it the relay knows for sure that it never will be included.
const ERA: u64 = 64;
/// Questions to the node at a time that devices can bring about.
pub(crate) const READS: usize = 32;

/// Why the chain gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The node has not been reached since the relay started.
    #[error("There is no connection to the node yet.")]
    NotConnected,
    /// The connection ended while something was on its way, which the node may have received or not.
    #[error("The connection to the node broke.")]
    Interrupted,
    /// The node does not have the block of this number.
    #[error("The node has no block {0}.")]
    NoBlock(u64),
    /// What the client says.
    #[error(transparent)]
    Client(#[from] Error),
}

impl LedgerError {
    /// A stable name for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotConnected | Self::Interrupted => "node_unreachable",
            Self::NoBlock(_) => "unknown_block",
            Self::Client(error) => error.code(),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NotConnected | LedgerError::Interrupted => {
                tracing::warn!(%error, code = error.code(), "the chain is not available");
                Code::ChainUnavailable.into()
            }
            LedgerError::NoBlock(_) => Self::internal(error),
            LedgerError::Client(error) => error.into(),
        }
    }
}

/// What somebody knows of the chain who asks for a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// The number of the set of authorities; none when it is the first block's hash only.
    pub set: Option<u64>,
    /// Blocks that are trusted, and may have changed the authorities by force.
    pub checkpoints: Vec<Hash>,
}

/// What the chain answers, in a while.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// The chain, and the relay's account there. Everything that is read is finalised.
pub trait Ledger: Send + Sync + 'static {
    /// Hash of the genesis block.
    fn genesis(&self) -> Hash;
    /// The relay's account.
    fn account(&self) -> [u8; 32];
    /// A device and the block that has it so.
    fn device(&self, device: DeviceId) -> Answer<'_, Option<(DeviceView, BlockRef)>>;
    /// The device that enrolled with a key.
    fn device_by_key(&self, key: [u8; 32]) -> Answer<'_, Option<DeviceId>>;
    /// Up to so many entries of a device from a sequence on.
    fn entries(&self, device: DeviceId, from: u64, count: u32) -> Answer<'_, Vec<EntryView>>;
    /// The proof of a device's head for somebody who knows this much, and of its record if so wanted. None if the chain has no
    /// such device.
    fn proof(&self, device: DeviceId, known: Known, record: bool) -> Answer<'_, Option<Vec<u8>>>;
    /// A study.
    fn study(&self, study: StudyId) -> Answer<'_, Option<StudyView>>;
    /// The accounts of a study that were given up, each with the one that took its place.
    fn rotations(&self, study: StudyId) -> Answer<'_, Vec<([u8; 32], [u8; 32])>>;
    /// The latest finalised block.
    fn finalised(&self) -> Answer<'_, BlockRef>;
    /// The seconds since 1970 that the latest finalised block names; none where that says nothing.
    fn finalised_time(&self) -> Answer<'_, Option<u64>>;
    /// Hash of the best block of that number.
    fn block_hash(&self, number: u64) -> Answer<'_, Option<Hash>>;
    /// The account's next nonce after a block.
    fn nonce_after(&self, block: Hash) -> Answer<'_, u64>;
    /// The account's next nonce after the best block, which may not be final.
    fn best_nonce(&self) -> Answer<'_, u64>;
    /// Signs the hash of something that the relay's account says off chain.
    fn sign_statement(&self, statement: &[u8; 32]) -> [u8; 64];
    /// Signs a batch, and sends nothing.
    fn sign(&self, runs: Vec<Run>, nonce: u64) -> Answer<'_, SignedTransaction>;
    /// Hands a transaction to the node.
    fn send<'a>(&'a self, transaction: &'a [u8]) -> Answer<'a, PoolAnswer>;
    /// Finalised blocks from a number on.
    fn follow(&self, from: u64) -> BoxStream<'static, Result<FinalisedBlock, LedgerError>>;
}

/// A real node.
pub struct NodeLedger {
    client: OnceLock<ChainClient>,
    genesis: Hash,
    account: Account,
    reads: Semaphore,
}

impl NodeLedger {
    /// The chain with this genesis block, to which there is no connection yet. Until there is, everything that is asked
    /// ends with [`LedgerError::NotConnected`].
    pub fn unconnected(genesis: Hash, account: Account) -> Self {
        Self {
            client: OnceLock::new(),
            genesis,
            account,
            reads: Semaphore::new(READS),
        }
    }

    /// The connection is there. The first one stays.
    pub fn connected(&self, client: ChainClient) {
        // A second connection is dropped.
        let _ = self.client.set(client);
    }

    fn client(&self) -> Result<&ChainClient, LedgerError> {
        self.client.get().ok_or(LedgerError::NotConnected)
    }

    async fn read(&self) -> Result<(&ChainClient, SemaphorePermit<'_>), LedgerError> {
        let client = self.client()?;
        let permit = self.reads.acquire().await;
        Ok((client, permit.expect("nobody closes this semaphore; qed")))
    }
}

impl Ledger for NodeLedger {
    fn genesis(&self) -> Hash {
        self.genesis
    }

    fn account(&self) -> [u8; 32] {
        self.account.public_key()
    }

    fn device(&self, device: DeviceId) -> Answer<'_, Option<(DeviceView, BlockRef)>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            let (block, view) = client.at_finalised().await?;
            let view = view.device(device).await?;
            let block = BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            };
            Ok(view.map(|view| (view, block)))
        })
    }

    fn device_by_key(&self, key: [u8; 32]) -> Answer<'_, Option<DeviceId>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            Ok(client.device_by_key(key).await?)
        })
    }

    fn entries(&self, device: DeviceId, from: u64, count: u32) -> Answer<'_, Vec<EntryView>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            Ok(client.entries(device, from, count).await?)
        })
    }

    fn proof(&self, device: DeviceId, known: Known, record: bool) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            let checkpoints: Vec<_> = known.checkpoints.iter().map(|hash| H256(hash.0)).collect();
            let proved = client.prove_head(device, known.set, record, &checkpoints);
            let proved = proved.await?;
            Ok(proved.map(|proved| proved.proof))
        })
    }

    fn study(&self, study: StudyId) -> Answer<'_, Option<StudyView>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            Ok(client.study(study).await?)
        })
    }

    fn rotations(&self, study: StudyId) -> Answer<'_, Vec<([u8; 32], [u8; 32])>> {
        Box::pin(async move {
            let (client, _read) = self.read().await?;
            let (_, view) = client.at_finalised().await?;
            let rotations = view.rotations(study).await?;
            let pairs = rotations.into_iter();
            Ok(pairs
                .map(|(former, successor)| (former.0, successor.0))
                .collect())
        })
    }

    fn finalised(&self) -> Answer<'_, BlockRef> {
        Box::pin(async move {
            let block = self.client()?.finalised().await?;
            Ok(BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            })
        })
    }

    fn finalised_time(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async move { Ok(self.client()?.finalised_time().await?) })
    }

    fn block_hash(&self, number: u64) -> Answer<'_, Option<Hash>> {
        Box::pin(async move {
            let hash = self.client()?.block_hash(number).await?;
            Ok(hash.map(|hash| Hash(hash.0)))
        })
    }

    fn nonce_after(&self, block: Hash) -> Answer<'_, u64> {
        Box::pin(async move {
            let view = self.client()?.at(H256(block.0)).await?;
            Ok(view.nonce(&self.account.id()).await?)
        })
    }

    fn best_nonce(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let best = self.client()?.best_block().await?;
            self.nonce_after(Hash(best.hash.0)).await
        })
    }

    fn sign_statement(&self, statement: &[u8; 32]) -> [u8; 64] {
        self.account.sign_statement(statement)
    }

    fn sign(&self, runs: Vec<Run>, nonce: u64) -> Answer<'_, SignedTransaction> {
        Box::pin(async move {
            let call = calls::submit_batch(runs);
            let client = self.client()?;
            Ok(client.sign(&self.account, &call, nonce, ERA).await?)
        })
    }

    fn send<'a>(&'a self, transaction: &'a [u8]) -> Answer<'a, PoolAnswer> {
        Box::pin(async move { Ok(self.client()?.send(transaction).await?) })
    }

    fn follow(&self, from: u64) -> BoxStream<'static, Result<FinalisedBlock, LedgerError>> {
        match self.client() {
            Ok(client) => client.follow_from(from).into_stream().err_into().boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}
