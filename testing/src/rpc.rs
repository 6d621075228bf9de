// SPDX-License-Identifier: Apache-2.0

//! JSON-RPC to a node without the chain client, for what no program of ours asks.

use std::sync::Arc;

use anyhow::Result;
use jsonrpsee::core::client::{ClientT, Error, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

const FOLLOW: &str = "chainHead_v1_follow";
const UNFOLLOW: &str = "chainHead_v1_unfollow";

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

    /// What the node tells of its blocks from now on, in the order in which it happened.
    pub async fn follow(&self) -> Result<Subscription<Value>> {
        let mut list = ArrayParams::new();
        // Nothing of runtimes.
        list.insert(false)?;
        let events = self.0.subscribe(FOLLOW, list, UNFOLLOW).await?;
        Ok(events)
    }
}
