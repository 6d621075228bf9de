// SPDX-License-Identifier: Apache-2.0

//! JSON-RPC to a node without the chain client, for what no program of ours asks.

use std::sync::Arc;

use anyhow::Result;
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A connection of its own to one node.
#[derive(Clone)]
pub struct JsonRpc(Arc<WsClient>);

impl JsonRpc {
    /// Connects to the node at a WebSocket address.
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Arc::new(WsClientBuilder::new().build(url).await?)))
    }

    /// Calls a method; on refusal, the node's answer as it is on the wire.
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, Error> {
        let mut list = ArrayParams::new();
        for param in params {
            list.insert(param)?;
        }
        self.0.request(method, list).await
    }
}
