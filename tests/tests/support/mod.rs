// SPDX-License-Identifier: Apache-2.0

//! A node with a client, and a second way to talk to it that shares no code with the client.

// Every test program compiles this and uses its part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

use std::collections::BTreeMap;

use codec::{Compact, Decode, Encode};
use jsonrpsee::core::client::Error as WireError;
use mhealth_chain_client::{Account, ChainClient, Submitter, H256};
use mhealth_runtime::{RuntimeCall, VERSION};
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::rpc::JsonRpc;
pub use mhealth_testing::topology::SIGNED_STUDY as STUDY;
use serde::de::DeserializeOwned;
use serde_json::{json, Value};
use sp_keyring::Sr25519Keyring;

/// What is stored under a key after a block, or after the best one, if anything is.
pub async fn stored<T: Decode>(node: &JsonRpc, key: &[u8], block: Option<H256>) -> Option<T> {
    let key = json!(format!("0x{}", hex::encode(key)));
    let value = node.request("state_getStorage", &[key, json!(block)]).await;
    let value: Option<String> = value.expect("the node answers");
    let bytes = hex::decode(&value?[2..]).expect("hexadecimal");
    Some(T::decode(&mut &bytes[..]).expect("it has this form"))
}

/// A running node and a client of it.
pub struct Setting {
    pub node: Node,
    pub chain: ChainClient,
}

impl Setting {
    /// On a chain that makes a block for every transaction.
    pub async fn instant() -> Self {
        Setting::start(Launch::instant()).await
    }

    pub async fn start(launch: Launch) -> Self {
        let node = launch.start().expect("the node starts");
        let chain = ChainClient::connect(&node.url())
            .await
            .expect("the node answers");
        Setting { node, chain }
    }

    pub fn submitter(&self, well_known: &str) -> Submitter {
        let account = Account::from_secret_uri(well_known).expect("it is well known");
        self.chain.submitter(account)
    }

    /// The study's authentication server.
    pub fn office(&self) -> Submitter {
        self.submitter("//Charlie")
    }

    pub fn relay_account(&self) -> Account {
        Account::from_secret_uri("//Dave").expect("it is well known")
    }

    /// One of the study's relays.
    pub fn relay(&self) -> Submitter {
        self.chain.submitter(self.relay_account())
    }

    pub async fn plain_json_rpc(&self) -> PlainJsonRpc {
        let client = JsonRpc::connect(&self.node.url()).await;
        PlainJsonRpc(client.expect("the node answers"))
    }
}

/// JSON-RPC without the chain client.
pub struct PlainJsonRpc(JsonRpc);

impl PlainJsonRpc {
    /// Calls any method.
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, WireError> {
        self.0.request(method, params).await
    }

    /// Hands a transaction to the pool; on refusal, the node's answer as it stands on the wire.
    pub async fn submit(&self, transaction: &[u8]) -> Result<String, String> {
        let transaction = format!("0x{}", hex::encode(transaction));
        let params = [json!(transaction)];
        let answer = self.request("author_submitExtrinsic", &params).await;
        answer.map_err(|error| match error {
            WireError::Call(error) => serde_json::to_string(&error).expect("it is JSON"),
            error => error.to_string(),
        })
    }

    /// All that these pallets store at the best block, by key.
    pub async fn storage_of(&self, pallets: &[&str]) -> BTreeMap<String, String> {
        let mut storage = BTreeMap::new();
        for pallet in pallets {
            let prefix = format!(
                "0x{}",
                hex::encode(sp_io::hashing::twox_128(pallet.as_bytes()))
            );
            let keys = self
                .request("state_getKeysPaged", &[json!(prefix), json!(1000)])
                .await;
            let keys: Vec<String> = keys.expect("the node answers");
            for key in keys {
                let value = self.request("state_getStorage", &[json!(key)]).await;
                storage.insert(key, value.expect("the node answers"));
            }
        }
        storage
    }
}

/// The block of this number is this one.
pub async fn finalised_within(chain: &ChainClient, number: u64, hash: H256) {
    let block = chain
        .follow_from(number)
        .next()
        .await
        .expect("it is finalised");
    assert_eq!(block.hash, hash);
}

/// The bytes of an immortal transaction, of calls that the client has no function for.
pub fn signed(setting: &Setting, who: Sr25519Keyring, nonce: u32, call: &RuntimeCall) -> Vec<u8> {
    let genesis = setting.chain.genesis_hash();
    let immortal = 0u8;
    let no_metadata_hash = 0u8;
    let extension = (immortal, Compact(nonce), no_metadata_hash).encode();
    let call = call.encode();
    let beside = (
        VERSION.spec_version,
        VERSION.transaction_version,
        genesis.0,
        genesis.0,
        None::<[u8; 32]>,
    );
    let payload = [call.clone(), extension.clone(), beside.encode()].concat();
    let signature = match payload.len() > 256 {
        true => who.sign(&sp_io::hashing::blake2_256(&payload)),
        false => who.sign(&payload),
    };
    let (signed_4, address, sr25519) = (0x84u8, 0u8, 1u8);
    let begin = (signed_4, address, who.to_account_id(), sr25519, signature);
    [begin.encode(), extension, call].concat().encode()
}
