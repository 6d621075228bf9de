// SPDX-License-Identifier: Apache-2.0

//! The node's JSON-RPC methods that this client uses, and the one place where their errors get a meaning.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::Deserialize;
use serde_json::json;
use subxt::config::substrate::{SubstrateConfig, SubstrateHeader};
use subxt::config::RpcConfigFor;
use subxt::ext::codec::{Compact, Decode, Encode};
use subxt::rpcs::client::{rpc_params, RpcClient, RpcParams, RpcSubscription};
use subxt::rpcs::methods::legacy::Bytes;
use subxt::rpcs::methods::LegacyRpcMethods;
use subxt::rpcs::Error as RpcError;
use subxt::utils::{AccountId32, H256};

use crate::error::{without_full_stop, Error};
use crate::pool::{PoolAnswer, PoolRefusal};
use crate::transport::NoConnection;
use crate::types::{BlockId, ChainType, HeadProof, ProvedHead};

/// The chain uses Substrate's standard accounts, addresses, signatures and headers.
pub(crate) type Config = SubstrateConfig;

pub(crate) type Header = SubstrateHeader<H256>;

/// The method that proves heads, and what its errors mean.
pub(crate) const PROVE_HEAD: &str = "hashchain_proveHead";
pub(crate) const NO_SUCH_DEVICE: i32 = 9_101;
/// Not final yet, no proof of finality, no state any more, or of a later set of authorities than the node knows.
pub(crate) const NOT_PROVABLE: [i32; 4] = [9_103, 9_104, 9_105, 9_107];
const SET_NOT_BRIDGED: i32 = 9_106;

/// A block as the node stores it.
pub(crate) struct RawBlock {
    pub(crate) number: u64,
    pub(crate) hash: H256,
    pub(crate) parent_hash: H256,
    pub(crate) extrinsics: Vec<Vec<u8>>,
}

/// The version of the runtime at some block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) spec: u32,
    pub(crate) transaction: u32,
}

#[derive(Clone)]
pub(crate) struct Rpc {
    url: Arc<str>,
    client: RpcClient,
    methods: LegacyRpcMethods<RpcConfigFor<Config>>,
}

impl Rpc {
    pub(crate) fn new(url: &str, client: RpcClient) -> Self {
        Rpc {
            url: url.into(),
            methods: LegacyRpcMethods::new(client.clone()),
            client,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn genesis_hash(&self) -> Result<H256, Error> {
        self.block_hash(0)
            .await?
            .ok_or_else(|| Error::protocol("chain_getBlockHash", "there is no genesis block"))
    }

    /// The hash of the node's best block of that number.
    pub(crate) async fn block_hash(&self, number: u64) -> Result<Option<H256>, Error> {
        let answer = self.methods.chain_get_block_hash(Some(number.into())).await;
        answer.map_err(|error| self.error("chain_getBlockHash", &number, error))
    }

    pub(crate) async fn finalised_head(&self) -> Result<H256, Error> {
        let answer = self.methods.chain_get_finalized_head().await;
        answer.map_err(|error| self.error("chain_getFinalizedHead", &"", error))
    }

    pub(crate) async fn header(&self, hash: H256) -> Result<Header, Error> {
        let answer = self.methods.chain_get_header(Some(hash)).await;
        answer
            .map_err(|error| self.error("chain_getHeader", &hash, error))?
            .ok_or_else(|| unknown_block(&hash))
    }

    pub(crate) async fn best_hash(&self) -> Result<H256, Error> {
        let answer = self.methods.chain_get_block_hash(None).await;
        answer
            .map_err(|error| self.error("chain_getBlockHash", &"", error))?
            .ok_or_else(|| Error::protocol("chain_getBlockHash", "there is no best block"))
    }

    /// A block. Its justification is not read: the node's answer has it in another form than subxt's type for it.
    pub(crate) async fn block(&self, hash: H256) -> Result<RawBlock, Error> {
        Ok(self.block_and_header(hash).await?.0)
    }

    /// The same, with its header, SCALE encoded.
    pub(crate) async fn block_and_header(&self, hash: H256) -> Result<(RawBlock, Vec<u8>), Error> {
        #[derive(Deserialize)]
        struct Signed {
            block: Block,
        }
        #[derive(Deserialize)]
        struct Block {
            header: Header,
            extrinsics: Vec<Bytes>,
        }
        let answer = self
            .client
            .request("chain_getBlock", rpc_params![hash])
            .await;
        let Signed { block } = answer
            .map_err(|error| self.error("chain_getBlock", &hash, error))
            .and_then(|answer: Option<Signed>| answer.ok_or_else(|| unknown_block(&hash)))?;
        let raw = RawBlock {
            number: block.header.number,
            hash,
            parent_hash: block.header.parent_hash,
            extrinsics: block.extrinsics.into_iter().map(|bytes| bytes.0).collect(),
        };
        Ok((raw, block.header.encode()))
    }

    /// All keys of a block's state that begin so.
    pub(crate) async fn keys_under(&self, prefix: &[u8], at: H256) -> Result<Vec<Vec<u8>>, Error> {
        const METHOD: &str = "state_getKeysPaged";
        /// Keys an answer.
        const PAGE: u32 = 512;
        /// Whoever gives more does not speak of this chain.
        const MOST: usize = 65_536;
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let last = keys.last().map(Vec::as_slice);
            let page = self
                .methods
                .state_get_keys_paged(prefix, PAGE, last, Some(at));
            let page = page.await.map_err(|error| self.error(METHOD, &at, error))?;
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(page);
            // Keys grow, so this ends.
            if keys.len() > MOST || !keys.is_sorted_by(|one, next| one < next) {
                return Err(Error::protocol(METHOD, "the answer does not lead on"));
            }
        }
    }

    pub(crate) async fn storage(&self, key: &[u8], at: H256) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.methods.state_get_storage(key, Some(at)).await;
        answer.map_err(|error| self.error("state_getStorage", &at, error))
    }

    pub(crate) async fn call(
        &self,
        function: &str,
        arguments: &[u8],
        at: H256,
    ) -> Result<Vec<u8>, Error> {
        let answer = self
            .methods
            .state_call(function, Some(arguments), Some(at))
            .await;
        answer.map_err(|error| self.error(function, &at, error))
    }

    pub(crate) async fn version(&self, at: H256) -> Result<Version, Error> {
        let answer = self.methods.state_get_runtime_version(Some(at)).await;
        let version = answer.map_err(|error| self.error("state_getRuntimeVersion", &at, error))?;
        Ok(Version {
            spec: version.spec_version,
            transaction: version.transaction_version,
        })
    }

    /// The account's next nonce, transactions in the pool counted in.
    pub(crate) async fn next_index(&self, account: &AccountId32) -> Result<u64, Error> {
        let answer = self.methods.system_account_next_index(account).await;
        answer.map_err(|error| self.error("system_accountNextIndex", &"", error))
    }

    /// Hands a signed transaction to the pool, once.
    pub(crate) async fn submit(&self, transaction: &[u8]) -> Result<PoolAnswer, Error> {
        match self.methods.author_submit_extrinsic(transaction).await {
            Ok(_) => Ok(PoolAnswer::Taken),
            Err(RpcError::User(answer)) => match PoolRefusal::from_answer(&answer) {
                PoolRefusal::AlreadyThere => Ok(PoolAnswer::Taken),
                refusal => Ok(PoolAnswer::Refused(refusal)),
            },
            Err(RpcError::DisconnectedWillReconnect(_)) => Ok(PoolAnswer::Unknown),
            Err(error) => Err(self.error("author_submitExtrinsic", &"", error)),
        }
    }

    /// Heads as they become finalised. Not every one: several may be finalised at once.
    pub(crate) async fn finalised_heads(&self) -> Result<RpcSubscription<Header>, Error> {
        let answer = self.methods.chain_subscribe_finalized_heads().await;
        answer.map_err(|error| self.error("chain_subscribeFinalizedHeads", &"", error))
    }

    /// A block's header, SCALE encoded.
    pub(crate) async fn encoded_header(&self, hash: H256) -> Result<Vec<u8>, Error> {
        Ok(self.header(hash).await?.encode())
    }

    /// The head of a device, proved in the latest block whose finality is proved.
    pub(crate) async fn head_proof(&self, device: u32) -> Result<HeadProof, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Proof {
            block_hash: H256,
            header: Bytes,
            finality_proof: Bytes,
        }
        let answer = self.client.request(PROVE_HEAD, rpc_params![device]).await;
        let proof: Proof = answer.map_err(|error| self.error(PROVE_HEAD, &"", error))?;
        Ok(HeadProof {
            block: proof.block_hash,
            header: proof.header.0,
            finality_proof: proof.finality_proof.0,
        })
    }

    /// The proof of a device's head from a set of authorities on; none if the node knows no such device.
    pub(crate) async fn prove_head(
        &self,
        device: u32,
        set: Option<u64>,
        record: bool,
        checkpoints: &[H256],
    ) -> Result<Option<ProvedHead>, Error> {
        let asker = json!({ "set": set, "record": record, "checkpoints": checkpoints });
        let answer = self
            .client
            .request(PROVE_HEAD, rpc_params![device, (), asker])
            .await;
        let parts: ProofParts = match answer {
            Ok(parts) => parts,
            Err(RpcError::User(answer)) if answer.code == NO_SUCH_DEVICE => return Ok(None),
            Err(error) => return Err(self.error(PROVE_HEAD, &"", error)),
        };
        let block = BlockId {
            number: parts.block_number,
            hash: parts.block_hash,
        };
        let proof = parts
            .encode()
            .ok_or_else(|| Error::protocol(PROVE_HEAD, "its finality proof cannot be read"))?;
        Ok(Some(ProvedHead { block, proof }))
    }

    /// GRANDPA's proof that the block of this number is final; none if the node has none.
    pub(crate) async fn finality_proof(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        const METHOD: &str = "grandpa_proveFinality";
        let answer = self.client.request(METHOD, rpc_params![number]).await;
        let proof: Option<Bytes> = answer.map_err(|error| self.error(METHOD, &number, error))?;
        Ok(proof.map(|proof| proof.0))
    }

    /// The nodes of a block's state trie that lead to these keys.
    pub(crate) async fn read_proof(
        &self,
        keys: &[Vec<u8>],
        at: H256,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let keys = keys.iter().map(Vec::as_slice);
        let answer = self.methods.state_get_read_proof(keys, Some(at)).await;
        let proof = answer.map_err(|error| self.error("state_getReadProof", &at, error))?;
        Ok(proof.proof.into_iter().map(|node| node.0).collect())
    }

    pub(crate) async fn chain_type(&self) -> Result<ChainType, Error> {
        const METHOD: &str = "system_chainType";
        let answer = self.client.request(METHOD, rpc_params![]).await;
        answer.map_err(|error| self.error(METHOD, &"", error))
    }

    /// Asks whatever the node answers in a form of its own.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: RpcParams,
    ) -> Result<T, RpcError> {
        self.client.request(method, params).await
    }

    pub(crate) fn error(&self, method: &str, block: &dyn BlockName, error: RpcError) -> Error {
        let unreachable = |reason: String| Error::Unreachable {
            url: self.url.to_string(),
            reason,
        };
        match error {
            RpcError::Client(error) => match error.downcast_ref::<NoConnection>() {
                Some(NoConnection(reason)) => unreachable(reason.clone()),
                None => unreachable(without_full_stop(error)),
            },
            RpcError::DisconnectedWillReconnect(reason) => unreachable(without_full_stop(reason)),
            RpcError::User(answer) => {
                let text = match &answer.data {
                    Some(data) => format!("{} {}", answer.message, data.get()),
                    None => answer.message.clone(),
                };
                if answer.code == SET_NOT_BRIDGED {
                    Error::SetNotBridged {
                        reason: without_full_stop(text),
                    }
                } else if NOT_PROVABLE.contains(&answer.code) {
                    Error::NotProvable {
                        reason: without_full_stop(text),
                    }
                } else if text.contains("State already discarded") {
                    Error::StatePruned {
                        block: block.name(),
                    }
                } else if text.contains("UnknownBlock") || text.contains("unknown Block") {
                    unknown_block(block)
                } else {
                    Error::protocol(method, format!("error {}, {text}", answer.code))
                }
            }
            error => Error::protocol(method, error),
        }
    }
}

/// The parts of a proof, as the node names them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProofParts {
    first: Option<First>,
    handovers: Vec<Handover>,
    block_number: u64,
    block_hash: H256,
    header: Bytes,
    proof: Vec<Bytes>,
    finality_proof: Bytes,
}

#[derive(Deserialize)]
struct First {
    header: Bytes,
    proof: Vec<Bytes>,
}

#[derive(Deserialize)]
struct Handover {
    header: Bytes,
    justification: Bytes,
}

impl ProofParts {
    /// The proof as it goes to devices; none if the node's answer is not what it should be. Headers are encoded already.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut finality = &self.finality_proof.0[..];
        let (_, justification) = <(H256, Vec<u8>)>::decode(&mut finality).ok()?;
        let descendants = finality;
        let mut proof = vec![VERSION];
        match &self.first {
            None => proof.push(0),
            Some(first) => {
                proof.push(1);
                proof.extend(&first.header.0);
                proof.extend(nodes(&first.proof).encode());
            }
        }
        proof.extend(Compact(self.handovers.len() as u32).encode());
        for handover in &self.handovers {
            proof.extend(&handover.header.0);
            proof.extend(handover.justification.0.encode());
        }
        proof.extend(&self.header.0);
        proof.extend(descendants);
        proof.extend(justification.encode());
        proof.extend(nodes(&self.proof).encode());
        Some(proof)
    }
}

/// Version of the encoding of proofs.
const VERSION: u8 = 1;

fn nodes(proof: &[Bytes]) -> Vec<&[u8]> {
    proof.iter().map(|node| &node.0[..]).collect()
}

/// Blocks go by number or by hash; messages name whichever was asked for.
pub(crate) trait BlockName {
    fn name(&self) -> String;
}

impl BlockName for u64 {
    fn name(&self) -> String {
        self.to_string()
    }
}

impl BlockName for H256 {
    fn name(&self) -> String {
        format!("{self:#x}")
    }
}

impl BlockName for &str {
    fn name(&self) -> String {
        (*self).to_string()
    }
}

fn unknown_block(block: &dyn BlockName) -> Error {
    Error::UnknownBlock {
        block: block.name(),
    }
}
