// SPDX-License-Identifier: Apache-2.0

//! A front before a node: JSON-RPC over WebSocket, of which it may change every question and every answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures::{SinkExt, StreamExt};
use serde_json::{json, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

use crate::handset::now;

/// What a node says that lies. Both are told the method.
pub trait Lies: Send + Sync + 'static {
    /// Changes the parameters of a question before the real node sees it.
    fn ask(&self, _method: &str, _parameters: &mut Value) {}

    /// Changes what the real node answered. Messages of subscriptions are answers, too.
    fn answer(&self, _method: &str, _asked: &Value, _answer: &mut Value) {}
}

/// An honest one.
impl Lies for () {}

/// Where the state has the time of a block: `Timestamp.Now`.
const NOW: &str = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";

/// A chain in use whose blocks are older than this machine's clock, by no second at first.
#[derive(Clone, Default)]
pub struct Aged(Arc<AtomicI64>);

impl Aged {
    /// From now on by so many seconds; below 0 they are younger.
    pub fn by(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Lies for Aged {
    fn answer(&self, method: &str, asked: &Value, answer: &mut Value) {
        match method {
            "system_chainType" => *answer = json!("Live"),
            "state_getStorage" if asked[0] == NOW => {
                let time = now() as i64 - self.0.load(Ordering::SeqCst);
                let bytes = (time as u64 * 1_000).to_le_bytes();
                *answer = json!(format!("0x{}", hex::encode(bytes)));
            }
            _ => {}
        }
    }
}

/// The front. Dropping it ends it.
pub struct NodeFront {
    address: SocketAddr,
    serves: JoinHandle<()>,
}

impl NodeFront {
    /// Listens on a free port of 127.0.0.1, before the node at this WebSocket address.
    pub async fn before(node: &str, lies: impl Lies) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (node, lies) = (node.to_owned(), Arc::new(lies));
        let serves = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (node, lies) = (node.clone(), lies.clone());
                // A connection that breaks is the caller's to notice.
                tokio::spawn(async move {
                    let _ = carry(stream, &node, lies).await;
                });
            }
        });
        Ok(NodeFront { address, serves })
    }

    /// Its WebSocket address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for NodeFront {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

/// Questions that are open, by their numbers: method and parameters.
type Open = Arc<Mutex<HashMap<String, (String, Value)>>>;

async fn carry(stream: TcpStream, node: &str, lies: Arc<impl Lies>) -> Result<()> {
    // Without the node there is no answer, as where nobody listens.
    let (mut to_node, mut from_node) = connect_async(node).await?.0.split();
    let (mut to_client, mut from_client) = accept_async(stream).await?.split();
    let open: Open = Arc::default();
    let questions = async {
        while let Some(message) = from_client.next().await {
            let message = match message? {
                Message::Text(text) => Message::text(asked(&text, &*lies, &open)?),
                Message::Close(_) => break,
                message => message,
            };
            to_node.send(message).await?;
        }
        anyhow::Ok(())
    };
    let answers = async {
        while let Some(message) = from_node.next().await {
            let message = match message? {
                Message::Text(text) => Message::text(answered(&text, &*lies, &open)?),
                Message::Close(_) => break,
                message => message,
            };
            to_client.send(message).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = questions => ended,
        ended = answers => ended,
    }
}

fn each(text: &str, mut change: impl FnMut(&mut Value)) -> Result<String> {
    let mut message: Value = serde_json::from_str(text)?;
    match &mut message {
        Value::Array(batch) => batch.iter_mut().for_each(change),
        single => change(single),
    }
    Ok(message.to_string())
}

fn asked(text: &str, lies: &impl Lies, open: &Open) -> Result<String> {
    each(text, |question| {
        let method = question["method"].as_str().unwrap_or_default().to_owned();
        let asked = question["params"].clone();
        lies.ask(&method, &mut question["params"]);
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(question["id"].to_string(), (method, asked));
    })
}

fn answered(text: &str, lies: &impl Lies, open: &Open) -> Result<String> {
    each(text, |answer| {
        if let Some(method) = answer["method"].as_str().map(str::to_owned) {
            return lies.answer(&method, &Value::Null, &mut answer["params"]["result"]);
        }
        let question = {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&answer["id"].to_string())
        };
        if let (Some((method, asked)), Some(result)) = (question, answer.get_mut("result")) {
            lies.answer(&method, &asked, result);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Launch;
    use crate::rpc::JsonRpc;
    use serde_json::json;

    struct Older;

    impl Lies for Older {
        fn ask(&self, method: &str, parameters: &mut Value) {
            if method == "chain_getBlockHash" {
                *parameters = json!([0]);
            }
        }

        fn answer(&self, method: &str, _: &Value, answer: &mut Value) {
            if method == "system_chain" {
                *answer = json!("another");
            }
        }
    }

    #[tokio::test]
    async fn questions_and_answers_are_changed_and_the_rest_passes() {
        let node = Launch::instant().start().expect("it starts");
        let honest = NodeFront::before(&node.url(), ()).await.expect("a front");
        let lying = NodeFront::before(&node.url(), Older)
            .await
            .expect("a front");
        let ask = async |url: String, method: &str, parameters: Value| {
            let rpc = JsonRpc::connect(&url).await.expect("it answers");
            let answer: Result<Value, _> = rpc.request(method, &[parameters]).await;
            answer.expect("an answer")
        };
        let first = ask(node.url(), "chain_getBlockHash", json!(0)).await;
        assert!(first.is_string());
        assert_eq!(
            ask(honest.url(), "chain_getBlockHash", json!(0)).await,
            first
        );
        assert_eq!(
            ask(lying.url(), "chain_getBlockHash", json!(7)).await,
            first
        );
        let rpc = JsonRpc::connect(&lying.url()).await.expect("it answers");
        let name: String = rpc.request("system_chain", &[]).await.expect("an answer");
        assert_eq!(name, "another");
    }
}
