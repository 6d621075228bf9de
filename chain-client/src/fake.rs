// SPDX-License-Identifier: Apache-2.0

//! A node in memory, for tests: it answers the JSON-RPC methods that this crate uses, and does the unpleasant things that
//! real nodes do only sometimes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::StreamExt;
use serde_json::value::RawValue;
use serde_json::{json, Value};
use subxt::ext::codec::{Compact, Decode, Encode};
use subxt::rpcs::client::{RawRpcFuture, RawRpcSubscription, RpcClient, RpcClientT};
use subxt::rpcs::{Error as RpcError, UserError};
use subxt::utils::{strip_compact_prefix, AccountId32, H256};
use tokio::sync::mpsc;

use crate::block::extrinsic_hash;
use crate::client::ChainClient;
use crate::error::Error;
use crate::transport::{Generation, NoConnection, SUBMIT};

const METADATA: &[u8] = include_bytes!("../metadata/mhealth.scale");
const URL: &str = "ws://fake";

/// What the node does with the next transaction that it is handed.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// Refuses it with this code and data.
    Refuse(i32, &'static str),
    /// Takes it, and the connection breaks before the answer.
    TakeAndBreak,
    /// The connection breaks before it arrives.
    Break,
    /// Says that it took it, and drops it.
    Drop,
}

#[derive(Clone, Default)]
pub(crate) struct FakeNode {
    state: Arc<Mutex<State>>,
    pub(crate) generation: Generation,
}

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    finalised: usize,
    /// Distinguishes blocks of the same number on two histories.
    history: u8,
    pool: BTreeMap<([u8; 32], u64), Vec<u8>>,
    nonces: HashMap<[u8; 32], u64>,
    tricks: VecDeque<Trick>,
    handed: Vec<Vec<u8>>,
    heads: Vec<mpsc::UnboundedSender<Value>>,
    down: bool,
    parts: VecDeque<Vec<u8>>,
    asked: Vec<Vec<u8>>,
    storage: HashMap<Vec<u8>, Vec<u8>>,
    /// What headers say of the journal, by the numbers of their blocks.
    journal: HashMap<usize, u64>,
    pruned: bool,
}

#[derive(Clone)]
struct Block {
    hash: H256,
    parent: H256,
    extrinsics: Vec<Vec<u8>>,
}

impl FakeNode {
    /// A chain with its genesis block.
    pub(crate) fn new() -> Self {
        let node = FakeNode::default();
        let genesis = Block {
            hash: block_hash(0, 0),
            parent: H256::zero(),
            extrinsics: Vec::new(),
        };
        node.state().blocks.push(genesis);
        node.generation.advance();
        node
    }

    pub(crate) async fn client(&self) -> ChainClient {
        let client = self.try_client(None).await;
        client.expect("the fake node answers")
    }

    pub(crate) async fn try_client(&self, genesis: Option<H256>) -> Result<ChainClient, Error> {
        let connection = RpcClient::new(self.clone());
        ChainClient::over(URL, connection, self.generation.clone(), genesis).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no holder of this lock panics; qed")
    }

    pub(crate) fn play(&self, trick: Trick) {
        self.state().tricks.push_back(trick);
    }

    /// Answers the next question for a part of something with these bytes.
    pub(crate) fn answer_part(&self, answer: Vec<u8>) {
        self.state().parts.push_back(answer);
    }

    /// Drops the states of all blocks but the last.
    pub(crate) fn prune(&self) {
        self.state().pruned = true;
    }

    /// Says in the header of this block how many entries there are after it.
    pub(crate) fn count_journal(&self, block: usize, length: u64) {
        self.state().journal.insert(block, length);
    }

    /// Has the same value in the state after every block.
    pub(crate) fn store(&self, key: Vec<u8>, value: Vec<u8>) {
        self.state().storage.insert(key, value);
    }

    /// The arguments of every question for a part, in order.
    pub(crate) fn asked_for_parts(&self) -> Vec<Vec<u8>> {
        self.state().asked.clone()
    }

    /// Every transaction that was handed over, in order, the same as often as it was.
    pub(crate) fn handed(&self) -> Vec<Vec<u8>> {
        self.state().handed.clone()
    }

    /// Makes and finalises a block of all transactions that are ready.
    pub(crate) fn make_block(&self) {
        let mut state = self.state();
        state.build();
        state.announce();
    }

    /// Makes a block of all transactions that are ready, and finalises none.
    pub(crate) fn make_block_that_is_not_final(&self) {
        let mut state = self.state();
        let finalised = state.finalised;
        state.build();
        state.finalised = finalised;
    }

    /// Makes and finalises a block that leaves the pool alone.
    pub(crate) fn make_empty_block(&self) {
        let mut state = self.state();
        state.append(Vec::new());
        state.announce();
    }

    /// The account signs something elsewhere.
    pub(crate) fn use_nonce_elsewhere(&self, account: &AccountId32) {
        *self.state().nonces.entry(account.0).or_default() += 1;
    }

    /// Forgets all transactions that are in no block yet.
    pub(crate) fn empty_pool(&self) {
        self.state().pool.clear();
    }

    /// Breaks all connections; nothing answers until [`FakeNode::come_back`].
    pub(crate) fn go_down(&self) {
        let mut state = self.state();
        state.down = true;
        state.heads.clear();
    }

    pub(crate) fn come_back(&self) {
        self.state().down = false;
        self.generation.advance();
    }

    /// Comes back with another history from block 1 on, as from a restored database.
    pub(crate) fn come_back_with_another_history(&self) {
        {
            let mut state = self.state();
            let blocks = state.blocks.len();
            state.history += 1;
            state.blocks.truncate(1);
            for _ in 1..blocks {
                state.append(Vec::new());
            }
        }
        self.come_back();
    }

    pub(crate) fn genesis(&self) -> H256 {
        self.state().blocks[0].hash
    }

    fn answer(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let mut state = self.state();
        if state.down {
            return Err(RpcError::Client(Box::new(NoConnection(
                "it is down".into(),
            ))));
        }
        if method == SUBMIT {
            return state.submit(&bytes(&params[0]));
        }
        Ok(match method {
            "chain_getBlockHash" => match params[0].as_u64() {
                Some(number) => json!(state.blocks.get(number as usize).map(|block| block.hash)),
                None => json!(state.best().hash),
            },
            "chain_getFinalizedHead" => json!(state.blocks[state.finalised].hash),
            "chain_getHeader" => match params[0].as_str() {
                Some(_) => state
                    .find(&params[0])
                    .map(|number| state.header(number))
                    .into(),
                None => state.header(state.blocks.len() - 1),
            },
            "chain_getBlock" => {
                let number = state
                    .find(&params[0])
                    .expect("a test asks for a block that exists");
                let extrinsics = state.blocks[number].extrinsics.iter();
                let extrinsics: Vec<_> = extrinsics.map(hex_of).collect();
                json!({
                    "block": { "header": state.header(number), "extrinsics": extrinsics },
                    "justifications": [[[70, 82, 78, 75], [1, 2, 3]]],
                })
            }
            "state_getRuntimeVersion" if state.pruned && params[0] != json!(state.best().hash) => {
                return Err(refusal(4003, "State already discarded"));
            }
            "state_getRuntimeVersion" => json!({ "specVersion": 100, "transactionVersion": 1 }),
            "state_getStorage" => {
                let value = state.storage.get(&bytes(&params[0]));
                json!(value.map(hex_of))
            }
            "state_call" => {
                let answer = state.call(&params[0], &bytes(&params[1]));
                json!(hex_of(answer))
            }
            "system_accountNextIndex" => {
                let account = params[0].as_str().expect("an address");
                let account: AccountId32 = account.parse().expect("an address");
                json!(state.next_index(account.0))
            }
            other => panic!("the fake node does not know {other}"),
        })
    }
}

impl State {
    fn best(&self) -> &Block {
        self.blocks.last().expect("there is a genesis block; qed")
    }

    fn find(&self, hash: &Value) -> Option<usize> {
        self.blocks
            .iter()
            .position(|block| json!(block.hash) == *hash)
    }

    fn header(&self, number: usize) -> Value {
        let journal = self.journal.get(&number).map(|length| {
            const CONSENSUS: u8 = 4;
            let item = (CONSENSUS, *b"HCHN", length.to_le_bytes().to_vec());
            hex_of(item.encode())
        });
        let logs = Vec::from_iter(journal);
        json!({
            "parentHash": self.blocks[number].parent,
            "number": format!("{number:#x}"),
            "stateRoot": H256::zero(),
            "extrinsicsRoot": H256::zero(),
            "digest": { "logs": logs },
        })
    }

    fn build(&mut self) {
        let mut extrinsics = Vec::new();
        for ((account, nonce), bytes) in std::mem::take(&mut self.pool) {
            let next = self.nonces.entry(account).or_default();
            match nonce.cmp(next) {
                std::cmp::Ordering::Equal => {
                    *next += 1;
                    extrinsics.push(bytes);
                }
                std::cmp::Ordering::Greater => {
                    self.pool.insert((account, nonce), bytes);
                }
                std::cmp::Ordering::Less => {}
            }
        }
        self.append(extrinsics);
    }

    fn append(&mut self, extrinsics: Vec<Vec<u8>>) {
        let number = self.blocks.len();
        let block = Block {
            hash: block_hash(number, self.history),
            parent: self.best().hash,
            extrinsics,
        };
        self.blocks.push(block);
        self.finalised = number;
    }

    fn announce(&mut self) {
        let header = self.header(self.finalised);
        self.heads
            .retain(|heads| heads.send(header.clone()).is_ok());
    }

    fn next_index(&self, account: [u8; 32]) -> u64 {
        let mut index = self.nonces.get(&account).copied().unwrap_or_default();
        while self.pool.contains_key(&(account, index)) {
            index += 1;
        }
        index
    }

    fn submit(&mut self, transaction: &[u8]) -> Result<Value, RpcError> {
        self.handed.push(transaction.to_vec());
        let broken = || Err(RpcError::DisconnectedWillReconnect("broken".into()));
        match self.tricks.pop_front() {
            Some(Trick::Refuse(code, data)) => return Err(refusal(code, data)),
            Some(Trick::Break) => return broken(),
            Some(Trick::TakeAndBreak) => {
                self.take(transaction)?;
                return broken();
            }
            Some(Trick::Drop) => {}
            None => self.take(transaction)?,
        }
        Ok(json!(extrinsic_hash(transaction)))
    }

    fn take(&mut self, transaction: &[u8]) -> Result<(), RpcError> {
        let (account, nonce) = signer_of(transaction);
        if nonce < self.nonces.get(&account).copied().unwrap_or_default() {
            return Err(refusal(1010, "Transaction is outdated"));
        }
        match self.pool.insert((account, nonce), transaction.to_vec()) {
            None => Ok(()),
            Some(before) if before == transaction => Err(refusal(1013, "")),
            Some(before) => {
                self.pool.insert((account, nonce), before);
                Err(refusal(1014, ""))
            }
        }
    }

    fn call(&mut self, function: &Value, arguments: &[u8]) -> Vec<u8> {
        match function.as_str() {
            Some("Metadata_metadata_at_version") => Some(METADATA.to_vec()).encode(),
            Some("AccountNonceApi_account_nonce") => {
                let account: [u8; 32] = arguments.try_into().expect("an account");
                let nonce = self.nonces.get(&account).copied().unwrap_or_default();
                (nonce as u32).encode()
            }
            Some("HashchainApi_entries" | "HashchainApi_rotations") => {
                self.asked.push(arguments.to_vec());
                let answer = self.parts.pop_front();
                answer.expect("a test that asks for a part has an answer")
            }
            other => panic!("the fake runtime does not know {other:?}"),
        }
    }
}

impl RpcClientT for FakeNode {
    fn request_raw<'a>(
        &'a self,
        method: &'a str,
        params: Option<Box<RawValue>>,
    ) -> RawRpcFuture<'a, Box<RawValue>> {
        Box::pin(async move {
            // Requests and answers take a moment, in which other tasks run.
            tokio::task::yield_now().await;
            let params = match &params {
                Some(params) => serde_json::from_str(params.get()).expect("valid JSON"),
                None => json!([]),
            };
            let answer = self.answer(method, &params);
            tokio::task::yield_now().await;
            let answer = answer?;
            Ok(serde_json::value::to_raw_value(&answer).expect("valid JSON"))
        })
    }

    fn subscribe_raw<'a>(
        &'a self,
        subscribe: &'a str,
        _: Option<Box<RawValue>>,
        _: &'a str,
    ) -> RawRpcFuture<'a, RawRpcSubscription> {
        Box::pin(async move {
            assert_eq!(subscribe, "chain_subscribeFinalizedHeads");
            let mut state = self.state();
            if state.down {
                return Err(RpcError::Client(Box::new(NoConnection(
                    "it is down".into(),
                ))));
            }
            let (sender, receiver) = mpsc::unbounded_channel();
            let header = state.header(state.finalised);
            sender.send(header).expect("the receiver is here; qed");
            state.heads.push(sender);
            let stream = futures::stream::unfold(receiver, |mut receiver| async {
                let header = receiver.recv().await?;
                let header = serde_json::value::to_raw_value(&header).expect("valid JSON");
                Some((Ok(header), receiver))
            });
            Ok(RawRpcSubscription {
                stream: stream.boxed(),
                id: Some("heads".into()),
            })
        })
    }
}

/// Account and nonce of a signed extrinsic of version 4 with a mortal era, as this chain's are.
pub(crate) fn signer_of(transaction: &[u8]) -> ([u8; 32], u64) {
    const ADDRESS: usize = 2;
    const SIGNATURE: usize = ADDRESS + 32;
    const NONCE: usize = SIGNATURE + 65 + 2;
    let (_, body) = strip_compact_prefix(transaction).expect("an extrinsic");
    let account = body[ADDRESS..SIGNATURE].try_into().expect("32 bytes");
    let nonce = Compact::<u64>::decode(&mut &body[NONCE..]).expect("a nonce");
    (account, nonce.0)
}

fn refusal(code: i32, data: &str) -> RpcError {
    RpcError::User(UserError {
        code,
        message: "Invalid Transaction".into(),
        data: Some(serde_json::value::to_raw_value(data).expect("valid JSON")),
    })
}

fn block_hash(number: usize, history: u8) -> H256 {
    extrinsic_hash(&(number as u64, history).encode())
}

fn hex_of(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a string");
    hex::decode(text.trim_start_matches("0x")).expect("hexadecimal")
}
