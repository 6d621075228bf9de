// SPDX-License-Identifier: Apache-2.0

//! The connection to one node of one chain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use serde::de::DeserializeOwned;
use serde_json::Value;
use subxt::rpcs::client::RpcClient;
use subxt::utils::{AccountId32, H256};

use crate::nonce::Line;
use crate::rpc::{Handed, Rpc, Version};
use crate::runtime::Runtime;
use crate::submitter::sign;
use crate::tracker::{Checkpoint, Tracker};
use crate::transport::{Generation, Patience, Transport};
use crate::types::{BlockId, ConflictView, DeviceView, EntryView, HeadView, StudyView};
use crate::view::ChainView;
use crate::{Account, Call, Error, Follower, SignedTransaction, Submitter, SubmitterOptions};

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
    inner: Arc<Inner>,
}

struct Inner {
    rpc: Rpc,
    genesis: H256,
    generation: Generation,
    runtimes: Mutex<HashMap<Version, Runtime>>,
    lines: Mutex<HashMap<[u8; 32], Weak<Line>>>,
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
        connection: RpcClient,
        generation: Generation,
        expected: Option<H256>,
    ) -> Result<Self, Error> {
        let rpc = Rpc::new(url, connection);
        let genesis = rpc.genesis_hash().await?;
        let client = ChainClient {
            inner: Arc::new(Inner {
                rpc,
                genesis,
                generation,
                runtimes: Mutex::default(),
                lines: Mutex::default(),
                tracker: OnceLock::new(),
            }),
        };
        match expected {
            Some(expected) if expected != genesis => Err(client.wrong_chain(expected, genesis)),
            _ => Ok(client),
        }
    }

    /// Hash of the chain's first block, by which chains are told apart.
    pub fn genesis_hash(&self) -> H256 {
        self.inner.genesis
    }

    /// The address that was connected to.
    pub fn url(&self) -> &str {
        self.inner.rpc.url()
    }

    /// The latest finalised block.
    pub async fn finalised(&self) -> Result<BlockId, Error> {
        let hash = self.inner.rpc.finalised_head().await?;
        let number = self.inner.rpc.header(hash).await?.number;
        Ok(BlockId { number, hash })
    }

    /// The chain as it stood at a block, for several reads that fit together.
    pub async fn at(&self, block: H256) -> Result<ChainView, Error> {
        let runtime = self.runtime(block).await?;
        Ok(ChainView::new(self.inner.rpc.clone(), runtime, block))
    }

    /// The chain as it stands at the latest finalised block.
    pub async fn at_finalised(&self) -> Result<ChainView, Error> {
        let block = self.inner.rpc.finalised_head().await?;
        self.at(block).await
    }

    /// All that stands on chain about a device; none if the number was never given out.
    pub async fn device(&self, device: u32) -> Result<Option<DeviceView>, Error> {
        self.at_finalised().await?.device(device).await
    }

    /// The device that enrolled with this Ed25519 key.
    pub async fn device_by_key(&self, key: [u8; 32]) -> Result<Option<u32>, Error> {
        self.at_finalised().await?.device_by_key(key).await
    }

    /// The head that the device's next run must follow.
    pub async fn head(&self, device: u32) -> Result<Option<HeadView>, Error> {
        self.at_finalised().await?.head(device).await
    }

    /// Up to `count` entries of a device from sequence `from` on, oldest first, at most 1,024 at a time.
    pub async fn entries(
        &self,
        device: u32,
        from: u64,
        count: u32,
    ) -> Result<Vec<EntryView>, Error> {
        self.at_finalised()
            .await?
            .entries(device, from, count)
            .await
    }

    /// Up to `count` entries of the whole chain from journal index `from` on, at most 1,024 at a time.
    pub async fn journal(&self, from: u64, count: u32) -> Result<Vec<EntryView>, Error> {
        self.at_finalised().await?.journal(from, count).await
    }

    /// Number of entries ever registered on this chain.
    pub async fn journal_length(&self) -> Result<u64, Error> {
        self.at_finalised().await?.journal_length().await
    }

    /// The rival histories that were brought for a device, oldest first.
    pub async fn conflicts(&self, device: u32) -> Result<Vec<ConflictView>, Error> {
        self.at_finalised().await?.conflicts(device).await
    }

    /// A study and its rules.
    pub async fn study(&self, study: u32) -> Result<Option<StudyView>, Error> {
        self.at_finalised().await?.study(study).await
    }

    /// Whether the account may send transactions to this chain at all.
    pub async fn has_role(&self, account: &AccountId32) -> Result<bool, Error> {
        self.at_finalised().await?.has_role(account).await
    }

    /// Follows the finalised chain from this block on, those included that are finalised already.
    pub fn follow_from(&self, number: u64) -> Follower {
        Follower::new(self.clone(), number)
    }

    /// Submits transactions of one account. Submitters of the same account share its nonces.
    ///
    /// Must be called within a Tokio runtime.
    pub fn submitter(&self, account: Account) -> Submitter {
        self.submitter_with(account, SubmitterOptions::default())
    }

    /// The same, with the options given.
    pub fn submitter_with(&self, account: Account, options: SubmitterOptions) -> Submitter {
        let line = self.line(&account, options);
        let tracker = self.inner.tracker.get_or_init(|| Tracker::start(self));
        Submitter::new(self.clone(), account, line, tracker.clone())
    }

    /// The account's next nonce, transactions in the node's pool counted in.
    pub async fn next_nonce(&self, account: &AccountId32) -> Result<u64, Error> {
        self.inner.rpc.next_index(account).await
    }

    /// The bytes of a signed transaction that is valid for the next 64 blocks, for those who send it by other means.
    ///
    /// Programs that write use a [`Submitter`], which also keeps the nonces.
    pub async fn signed(
        &self,
        account: &Account,
        call: &Call,
        nonce: u64,
    ) -> Result<Vec<u8>, Error> {
        let era = SubmitterOptions::default().era;
        Ok(self.sign(account, call, nonce, era).await?.bytes.to_vec())
    }

    /// Signs a transaction that is valid for so many blocks, a power of two from 4 to 4,096, and tells when it expires.
    ///
    /// For programs that store a transaction before they send it, and look after it by themselves.
    pub async fn sign(
        &self,
        account: &Account,
        call: &Call,
        nonce: u64,
        era: u64,
    ) -> Result<SignedTransaction, Error> {
        let checkpoint = Checkpoint::fetch(self).await?;
        sign(call, account, nonce, era, &checkpoint)
    }

    /// Hands the bytes of a signed transaction to the node, once. The same bytes may be handed over as often as need be.
    pub async fn send(&self, transaction: &[u8]) -> Result<Handed, Error> {
        self.inner.rpc.submit(transaction).await
    }

    /// Hash of the node's best block of that number; none if the node has no such block.
    pub async fn block_hash(&self, number: u64) -> Result<Option<H256>, Error> {
        self.inner.rpc.block_hash(number).await
    }

    /// Any other JSON-RPC method of the node.
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, Error> {
        self.inner.rpc.request(method, params).await
    }

    /// Fails if the node follows another chain by now, as after a restart with another database.
    pub(crate) async fn check_chain(&self) -> Result<(), Error> {
        let found = self.inner.rpc.genesis_hash().await?;
        match found == self.inner.genesis {
            true => Ok(()),
            false => Err(self.wrong_chain(self.inner.genesis, found)),
        }
    }

    fn wrong_chain(&self, expected: H256, found: H256) -> Error {
        Error::WrongChain {
            url: self.url().to_string(),
            expected,
            found,
        }
    }

    /// The runtime in force after a block, which is also the one that works off the next block.
    pub(crate) async fn runtime(&self, block: H256) -> Result<Runtime, Error> {
        let version = self.inner.rpc.version(block).await?;
        if let Some(runtime) = self.runtimes().get(&version) {
            return Ok(runtime.clone());
        }
        let runtime = Runtime::fetch(&self.inner.rpc, block, version, self.inner.genesis).await?;
        self.runtimes().insert(version, runtime.clone());
        Ok(runtime)
    }

    fn runtimes(&self) -> std::sync::MutexGuard<'_, HashMap<Version, Runtime>> {
        self.inner
            .runtimes
            .lock()
            .expect("no holder of this lock panics; qed")
    }

    fn line(&self, account: &Account, options: SubmitterOptions) -> Arc<Line> {
        let mut lines = self
            .inner
            .lines
            .lock()
            .expect("no holder of this lock panics; qed");
        let known = lines.get(&account.public_key()).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            lines.retain(|_, line| line.strong_count() > 0);
            let line = Arc::new(Line::new(account.id(), options));
            lines.insert(account.public_key(), Arc::downgrade(&line));
            line
        })
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.inner.generation
    }

    pub(crate) fn downgrade(&self) -> WeakClient {
        WeakClient(Arc::downgrade(&self.inner))
    }
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient")
            .field("url", &self.url())
            .field("genesis", &self.inner.genesis)
            .finish()
    }
}

/// Lets the tracker's task end when nobody uses the client any more.
pub(crate) struct WeakClient(Weak<Inner>);

impl WeakClient {
    pub(crate) fn upgrade(&self) -> Option<ChainClient> {
        self.0.upgrade().map(|inner| ChainClient { inner })
    }
}
