// SPDX-License-Identifier: Apache-2.0

//! What programs do with one node of one chain: read it, follow it, write to it.

use std::sync::{Arc, OnceLock};

use hashchain::{DeviceId, StudyId};
use subxt::rpcs::client::RpcClient;
use subxt::utils::{AccountId32, H256};

use crate::account::Account;
use crate::block::block_time;
use crate::brought::{runs_brought, BroughtRun};
use crate::call::Call;
use crate::connection::Connection;
use crate::error::Error;
use crate::follower::Follower;
use crate::nonce::NonceQueues;
use crate::pool::PoolAnswer;
use crate::signing::{Checkpoint, SignedTransaction};
use crate::submitter::{Submitter, SubmitterOptions};
use crate::tracker::Tracker;
use crate::transport::{Generation, Patience, Transport};
use crate::types::{
    BlockId, BlockProof, ChainType, ConflictsView, DeviceView, EntryView, HeadView, ProvedHead,
    StudyView,
};
use crate::view::ChainView;

/// How to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectOptions {
    /// Genesis hash of the chain that the node must follow. None: any chain.
    pub genesis: Option<H256>,
    /// How long to wait for the node.
    pub patience: Patience,
}

/// A node's view of one chain. Cheap to clone; all clones share one connection, which is opened again when it is lost.
#[derive(Clone)]
pub struct ChainClient {
    connection: Connection,
    submitting: Arc<Submitting>,
}

/// What a client's submitters share.
#[derive(Default)]
struct Submitting {
    queues: NonceQueues,
    tracker: OnceLock<Tracker>,
}

impl ChainClient {
    /// Connects to the node at a WebSocket address such as `ws://127.0.0.1:9944`, whatever chain it follows.
    ///
    /// One attempt; [`ChainClient::connect_with`] can wait for a node that is still starting.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, ConnectOptions::default()).await
    }

    /// Connects to a node that must follow the chain with this genesis hash; fails with [`Error::WrongChain`] if it
    /// follows another.
    pub async fn connect_expecting(url: &str, genesis: H256) -> Result<Self, Error> {
        let options = ConnectOptions {
            genesis: Some(genesis),
            ..ConnectOptions::default()
        };
        Self::connect_with(url, options).await
    }

    /// Connects with the options given.
    pub async fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, Error> {
        let generation = Generation::default();
        let transport = Transport::connect(url, options.patience, generation.clone()).await?;
        Self::over(url, RpcClient::new(transport), generation, options.genesis).await
    }

    /// A client over any JSON-RPC connection.
    pub(crate) async fn over(
        url: &str,
        client: RpcClient,
        generation: Generation,
        expected: Option<H256>,
    ) -> Result<Self, Error> {
        Ok(ChainClient {
            connection: Connection::open(url, client, generation, expected).await?,
            submitting: Arc::default(),
        })
    }

    /// Hash of the chain's first block, by which chains are told apart.
    pub fn genesis_hash(&self) -> H256 {
        self.connection.genesis()
    }

    /// The address that was connected to.
    pub fn url(&self) -> &str {
        self.connection.rpc().url()
    }

    /// The latest finalised block.
    pub async fn finalised(&self) -> Result<BlockId, Error> {
        self.connection.finalised().await
    }

    /// The best block, which may not be final.
    pub async fn best_block(&self) -> Result<BlockId, Error> {
        self.connection.best().await
    }

    /// The chain as it stood at a block, for several reads that fit together.
    pub async fn at(&self, block: H256) -> Result<ChainView, Error> {
        let runtime = self.connection.runtime(block).await?;
        let rpc = self.connection.rpc().clone();
        Ok(ChainView::new(rpc, runtime, block))
    }

    /// The latest finalised block, and the chain as of it.
    pub async fn at_finalised(&self) -> Result<(BlockId, ChainView), Error> {
        let block = self.finalised().await?;
        Ok((block, self.at(block.hash).await?))
    }

    /// The same for one read, which saves to ask for the block's number.
    async fn latest(&self) -> Result<ChainView, Error> {
        self.at(self.connection.rpc().finalised_head().await?).await
    }

    /// All that the chain has about a device; none if the number was never given out.
    pub async fn device(&self, device: DeviceId) -> Result<Option<DeviceView>, Error> {
        self.latest().await?.device(device).await
    }

    /// The device that enrolled with this Ed25519 key.
    pub async fn device_by_key(&self, key: [u8; 32]) -> Result<Option<DeviceId>, Error> {
        self.latest().await?.device_by_key(key).await
    }

    /// The head that the device's next run must follow.
    pub async fn head(&self, device: DeviceId) -> Result<Option<HeadView>, Error> {
        self.latest().await?.head(device).await
    }

    /// Up to `count` entries of a device from sequence `from` on, oldest first.
    pub async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
    ) -> Result<Vec<EntryView>, Error> {
        self.latest().await?.entries(device, from, count).await
    }

    /// Up to `count` entries of the whole chain from journal index `from` on, at most 1,024 at a time.
    pub async fn journal(&self, from: u64, count: u32) -> Result<Vec<EntryView>, Error> {
        self.latest().await?.journal(from, count).await
    }

    /// Number of entries ever registered on this chain.
    pub async fn journal_length(&self) -> Result<u64, Error> {
        self.latest().await?.journal_length().await
    }

    /// The rival histories that were brought for a device, oldest first.
    pub async fn conflicts(&self, device: DeviceId) -> Result<ConflictsView, Error> {
        self.latest().await?.conflicts(device).await
    }

    /// A study and its rules.
    pub async fn study(&self, study: StudyId) -> Result<Option<StudyView>, Error> {
        self.latest().await?.study(study).await
    }

    /// Whether the account may send transactions to this chain at all.
    pub async fn has_role(&self, account: &AccountId32) -> Result<bool, Error> {
        self.latest().await?.has_role(account).await
    }

    /// Follows the finalised chain from this block on, those included that are finalised already.
    pub fn follow_from(&self, number: u64) -> Follower {
        Follower::new(self.connection.clone(), number)
    }

    /// Submits transactions of one account. Submitters of the same account share its nonces.
    ///
    /// Must be called within a Tokio runtime.
    pub fn submitter(&self, account: Account) -> Submitter {
        self.submitter_with(account, SubmitterOptions::default())
    }

    /// The same, with the options given.
    pub fn submitter_with(&self, account: Account, options: SubmitterOptions) -> Submitter {
        let Submitting { queues, tracker } = &*self.submitting;
        let queue = queues.of(account.id(), options.in_flight);
        let tracker = tracker.get_or_init(|| Tracker::start(self.connection.clone()));
        Submitter::new(
            self.connection.clone(),
            account,
            options,
            queue,
            tracker.clone(),
        )
    }

    /// The account's next nonce, transactions in the node's pool counted in.
    pub async fn next_nonce(&self, account: &AccountId32) -> Result<u64, Error> {
        self.connection.rpc().next_index(account).await
    }

    /// Signs a transaction that is valid for so many blocks, a power of two from 4 to 4,096, and tells when it expires.
    ///
    /// For programs that store a transaction before they send it, and look after it by themselves. Others use a
    /// [`Submitter`], which also keeps the nonces.
    pub async fn sign(
        &self,
        account: &Account,
        call: &Call,
        nonce: u64,
        era: u64,
    ) -> Result<SignedTransaction, Error> {
        let checkpoint = Checkpoint::fetch(&self.connection).await?;
        checkpoint.sign(account, call, nonce, era)
    }

    /// Hands the bytes of a signed transaction to the node, once. The same bytes may be handed over as often as need be.
    pub async fn send(&self, transaction: &[u8]) -> Result<PoolAnswer, Error> {
        self.connection.rpc().submit(transaction).await
    }

    /// Hash of the node's best block of that number; none if the node has no such block.
    pub async fn block_hash(&self, number: u64) -> Result<Option<H256>, Error> {
        self.connection.rpc().block_hash(number).await
    }

    /// The seconds since 1970 that a block names. None when the node has dropped its state.
    pub async fn block_time(&self, block: H256) -> Result<Option<u64>, Error> {
        block_time(&self.connection, block).await
    }

    /// The seconds since 1970 that the latest final block names, to compare a clock with. None where that says nothing: of a
    /// development chain, whose blocks may be made faster than their times allow; of the first block; and when the node has
    /// dropped the state.
    pub async fn finalised_time(&self) -> Result<Option<u64>, Error> {
        if self.chain_type().await? == ChainType::Development {
            return Ok(None);
        }
        let block = self.finalised().await?;
        match block.number {
            0 => Ok(None),
            _ => self.block_time(block.hash).await,
        }
    }

    /// The runs that signed extrinsics of this block brought, in order, also those in calls within calls.
    ///
    /// A node that has dropped the block's state does not say by which runtime its extrinsics are read. The present one is taken if
    /// what it reads accounts for all entries that the block registered, and otherwise it is [`Error::StatePruned`].
    pub async fn runs_brought(&self, block: H256) -> Result<Vec<BroughtRun>, Error> {
        runs_brought(&self.connection, block).await
    }

    /// A block's header, SCALE encoded.
    pub async fn header(&self, block: H256) -> Result<Vec<u8>, Error> {
        self.connection.rpc().encoded_header(block).await
    }

    /// The latest block whose finality the node can prove, and the proof. [`Error::NotProvable`] when it can prove that of none.
    pub async fn block_proof(&self) -> Result<BlockProof, Error> {
        self.connection.rpc().block_proof().await
    }

    /// The proof of a device's head about the latest block whose finality the node can prove. It begins at the set of
    /// authorities of the number given, or without one at the first block, and covers the device's record, too, if so wanted.
    /// It leads over changes by force where the asker trusts their blocks, `checkpoints`. None if no device has this number.
    pub async fn prove_head(
        &self,
        device: DeviceId,
        set: Option<u64>,
        record: bool,
        checkpoints: &[H256],
    ) -> Result<Option<ProvedHead>, Error> {
        self.connection
            .rpc()
            .prove_head(device.0, set, record, checkpoints)
            .await
    }

    /// GRANDPA's `FinalityProof` for the block of this number, SCALE encoded; none if the node has none.
    pub async fn finality_proof(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        self.connection.rpc().finality_proof(number).await
    }

    /// The nodes of a block's state trie that lead from its root to these storage keys.
    pub async fn read_proof(&self, keys: &[Vec<u8>], block: H256) -> Result<Vec<Vec<u8>>, Error> {
        self.connection.rpc().read_proof(keys, block).await
    }

    /// What the chain is for, as its specification says.
    pub async fn chain_type(&self) -> Result<ChainType, Error> {
        self.connection.rpc().chain_type().await
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient")
            .field("url", &self.url())
            .field("genesis", &self.genesis_hash())
            .finish()
    }
}
