// SPDX-License-Identifier: Apache-2.0

//! One WebSocket to the node, opened again whenever it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use futures::StreamExt;
use jsonrpsee::core::client::{ClientT, Error as WireError, SubscriptionClientT, SubscriptionKind};
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::types::SubscriptionId;
use jsonrpsee::ws_client::{PingConfig, WsClient, WsClientBuilder};
use serde_json::value::RawValue;
use subxt::rpcs::client::{RawRpcFuture, RawRpcSubscription, RpcClientT};
use subxt::rpcs::{Error as RpcError, UserError};
use tokio::time::Instant;

use crate::error::{without_full_stop, Error};
use crate::machine::is_on_this_machine;

/// Requests and answers above this size are refused on both sides. A full batch of 1,024 runs takes under 2 MB, a full block of
/// 15 MiB twice as much in hexadecimal.
const MAX_MESSAGE_BYTES: u32 = 32 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The one request that must not be repeated unseen: after a lost connection the caller has to know that the first may
/// have arrived.
pub(crate) const SUBMIT: &str = "author_submitExtrinsic";

/// How long to wait for a node.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the first connection may take, counted over all attempts. Zero: one attempt.
    pub connect: Duration,
    /// How long a lost connection may stay lost before requests fail with [`Error::Unreachable`].
    pub reconnect: Duration,
    /// How long one request may go unanswered.
    pub request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::ZERO,
            reconnect: Duration::from_secs(60),
            request: Duration::from_secs(30),
        }
    }
}

/// Counts the connections that were made, so that others notice a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation(Arc<AtomicU64>);

impl Generation {
    pub(crate) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Why no connection to the node could be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoConnection(pub(crate) String);

/// A JSON-RPC client that reconnects when it is next used.
///
/// Reads are repeated over a new connection until `patience.reconnect` has passed. A submission whose connection breaks
/// fails with [`RpcError::DisconnectedWillReconnect`], because nobody knows whether it arrived.
pub(crate) struct Transport {
    url: String,
    patience: Patience,
    generation: Generation,
    latest: Mutex<Option<Opening>>,
}

/// An attempt to connect, for all who wait for it.
type Opening = Shared<BoxFuture<'static, Result<Arc<WsClient>, NoConnection>>>;

impl Transport {
    /// Connects, or says why that is not possible.
    pub(crate) async fn connect(
        url: &str,
        patience: Patience,
        generation: Generation,
    ) -> Result<Self, Error> {
        check_node_address(url)?;
        let transport = Transport {
            url: url.to_string(),
            patience,
            generation,
            latest: Mutex::new(None),
        };
        let deadline = Instant::now() + patience.connect;
        match transport.client(deadline).await {
            Ok(_) => Ok(transport),
            Err(NoConnection(reason)) => Err(Error::Unreachable {
                url: url.to_string(),
                reason,
            }),
        }
    }

    /// The open connection, or a new one; waits for at least one attempt, and for more until the deadline.
    async fn client(&self, deadline: Instant) -> Result<Arc<WsClient>, NoConnection> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connection().await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() + pause > deadline => return Err(error),
                Err(error) => {
                    tracing::debug!(url = %self.url, %error, "the node cannot be reached yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The latest attempt to connect, or a new one if that failed or its connection was lost.
    fn connection(&self) -> Opening {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = latest.as_ref() {
            match connection.peek() {
                None => return connection.clone(),
                Some(Ok(client)) if client.is_connected() => return connection.clone(),
                Some(Ok(_)) => {
                    tracing::warn!(url = %self.url, "lost the connection to the node; connecting again");
                }
                Some(Err(_)) => {}
            }
        }
        latest.insert(self.attempt()).clone()
    }

    /// Connects in a task of its own: whoever asked may not be polled for a while, and others wait for the same attempt.
    fn attempt(&self) -> Opening {
        let opening = open(self.url.clone(), self.patience.request);
        let generation = self.generation.clone();
        let url = self.url.clone();
        let task = tokio::spawn(async move {
            let client = Arc::new(opening.await?);
            generation.advance();
            tracing::info!(url, "connected to the node");
            Ok(client)
        });
        async {
            task.await
                .unwrap_or_else(|error| Err(NoConnection(without_full_stop(error))))
        }
        .boxed()
        .shared()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience.reconnect
    }
}

/// One attempt, within a time limit: a node that is starting or stopping may take a connection and say nothing.
async fn open(url: String, patience: Duration) -> Result<WsClient, NoConnection> {
    let ping = PingConfig::new()
        .ping_interval(Duration::from_secs(10))
        .inactive_limit(Duration::from_secs(30));
    let opening = WsClientBuilder::new()
        .max_request_size(MAX_MESSAGE_BYTES)
        .max_response_size(MAX_MESSAGE_BYTES)
        .max_buffer_capacity_per_subscription(4096)
        .request_timeout(patience)
        .enable_ws_ping(ping)
        .build(&url);
    match tokio::time::timeout(patience, opening).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(NoConnection(without_full_stop(root_cause(&error)))),
        Err(_) => Err(NoConnection("it did not answer in time".to_string())),
    }
}

impl RpcClientT for Transport {
    fn request_raw<'a>(
        &'a self,
        method: &'a str,
        params: Option<Box<RawValue>>,
    ) -> RawRpcFuture<'a, Box<RawValue>> {
        Box::pin(async move {
            let deadline = self.deadline();
            loop {
                let client = self.client(deadline).await.map_err(no_connection)?;
                match client.request(method, Params(params.clone())).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if method == SUBMIT && may_have_arrived(&error) => {
                        return Err(RpcError::DisconnectedWillReconnect(error.to_string()))
                    }
                    Err(error) if !is_connection_loss(&error) => return Err(rpc_error(error)),
                    Err(error) if Instant::now() > deadline => {
                        return Err(no_connection(NoConnection(without_full_stop(error))))
                    }
                    Err(error) => tracing::debug!(method, %error, "asking again"),
                }
            }
        })
    }

    fn subscribe_raw<'a>(
        &'a self,
        subscribe: &'a str,
        params: Option<Box<RawValue>>,
        unsubscribe: &'a str,
    ) -> RawRpcFuture<'a, RawRpcSubscription> {
        Box::pin(async move {
            let deadline = self.deadline();
            loop {
                let client = self.client(deadline).await.map_err(no_connection)?;
                let opened = SubscriptionClientT::subscribe::<Box<RawValue>, _>(
                    &*client,
                    subscribe,
                    Params(params.clone()),
                    unsubscribe,
                )
                .await;
                let subscription = match opened {
                    Ok(subscription) => subscription,
                    Err(error) if !is_connection_loss(&error) => return Err(rpc_error(error)),
                    Err(error) if Instant::now() > deadline => {
                        return Err(no_connection(NoConnection(without_full_stop(error))))
                    }
                    Err(_) => continue,
                };
                let id = match subscription.kind() {
                    SubscriptionKind::Subscription(SubscriptionId::Str(id)) => Some(id.to_string()),
                    _ => None,
                };
                // The client goes with the stream: dropping the last handle would close the connection under it.
                let stream = subscription
                    .map(move |item| {
                        let _open = &client;
                        item.map_err(|error| RpcError::Client(Box::new(error)))
                    })
                    .boxed();
                return Ok(RawRpcSubscription { stream, id });
            }
        })
    }
}

struct Params(Option<Box<RawValue>>);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(self.0)
    }
}

/// Whether a node may be spoken to at this address: by `wss://`, or by `ws://` on this machine.
pub fn check_node_address(url: &str) -> Result<(), Error> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("wss://"));
    let reason = match rest {
        None => "it does not begin with ws:// or wss://",
        Some("") => "it names no host",
        Some(_) if url.starts_with("wss://") || is_on_this_machine(url) => return Ok(()),
        Some(_) => {
            return Err(Error::Unprotected {
                url: url.to_string(),
            })
        }
    };
    Err(Error::BadUrl {
        url: url.to_string(),
        reason: reason.to_string(),
    })
}

fn is_connection_loss(error: &WireError) -> bool {
    matches!(error, WireError::RestartNeeded(_) | WireError::Transport(_))
}

fn may_have_arrived(error: &WireError) -> bool {
    is_connection_loss(error) || matches!(error, WireError::RequestTimeout)
}

fn no_connection(reason: NoConnection) -> RpcError {
    RpcError::Client(Box::new(reason))
}

fn rpc_error(error: WireError) -> RpcError {
    match error {
        WireError::Call(answer) => RpcError::User(UserError {
            code: answer.code(),
            message: answer.message().to_string(),
            data: answer.data().map(ToOwned::to_owned),
        }),
        WireError::RequestTimeout => {
            no_connection(NoConnection("it did not answer in time".to_string()))
        }
        error => RpcError::Client(Box::new(error)),
    }
}

/// The innermost error says what happened; the layers around it only say where.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect(url: &str) -> Error {
        match Transport::connect(url, Patience::default(), Generation::default()).await {
            Ok(_) => panic!("{url} was reached"),
            Err(error) => error,
        }
    }

    #[tokio::test]
    async fn an_address_without_a_node_is_unreachable_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound; qed");
        drop(listener);
        let error = connect(&format!("ws://{address}")).await;
        assert!(error.is_unreachable(), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_kind_is_named_as_such() {
        for url in ["http://127.0.0.1:9944", "127.0.0.1:9944", "ws://", ""] {
            let error = connect(url).await;
            assert_eq!(error.code(), "bad_url", "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn a_node_on_another_machine_is_not_spoken_to_without_tls() {
        for url in [
            "ws://node.example:9944",
            "ws://10.0.0.7",
            "ws://127.0.0.1@node.example",
        ] {
            let error = connect(url).await;
            assert_eq!(error.code(), "node_without_tls", "{url}: {error}");
            assert!(error.to_string().contains("wss://"), "{error}");
        }
        // It gets as far as the network.
        let error = connect("wss://127.0.0.1:1").await;
        assert_eq!(error.code(), "node_unreachable", "{error}");
    }

    /// As a stream does that is polled in turn with other work on the same connection.
    #[tokio::test]
    async fn a_request_that_is_not_polled_any_more_holds_nobody_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("it is bound; qed"));
        let patience = Patience {
            reconnect: Duration::ZERO,
            request: Duration::from_millis(200),
            ..Patience::default()
        };
        let transport = Transport {
            url,
            patience,
            generation: Generation::default(),
            latest: Mutex::new(None),
        };
        let mut left_alone = transport.request_raw("system_chain", None);
        assert!(futures::poll!(&mut left_alone).is_pending());
        // Nobody ever answers the handshake.
        let other = transport.request_raw("system_chain", None);
        let answer = tokio::time::timeout(Duration::from_secs(10), other).await;
        assert!(answer.expect("it ends by itself").is_err());
        drop(left_alone);
    }
}
