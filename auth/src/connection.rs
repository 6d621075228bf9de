// SPDX-License-Identifier: Apache-2.0

//! The connection to the node, which may be away when the server starts.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mhealth_api::Hash;
use mhealth_chain_client::{ChainClient, Error};
use mhealth_server::{CancellationToken, ChainOptions};

use crate::app::hash;

/// How long a server that knows its chain waits for the node before it serves without it.
const GRACE: Duration = Duration::from_secs(5);
/// Before the second attempt, each of which has patience of its own; twice as long before each further one, up to the longest pause.
const RECONNECT: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The node, once it was reached. From then on the client itself connects anew when it has to.
pub struct Connection {
    options: ChainOptions,
    genesis: Hash,
    client: OnceLock<ChainClient>,
    /// Why the last attempt failed, after the start.
    failure: Mutex<Option<String>>,
}

impl Connection {
    /// The node of the chain that is known, if it answers soon: a server that has its chain from the database serves what needs no
    /// node without one. A new server has to ask.
    pub(crate) async fn open(options: &ChainOptions, known: Option<Hash>) -> anyhow::Result<Self> {
        let Some(genesis) = known else {
            let client = options.connect().await?;
            return Ok(Self {
                options: options.clone(),
                genesis: hash(client.genesis_hash()),
                client: client.into(),
                failure: Mutex::default(),
            });
        };
        let options = options.of_chain(genesis)?;
        let soon = tokio::time::timeout(GRACE, options.connect());
        let client: OnceLock<ChainClient> = match soon.await {
            Ok(connected) => connected?.into(),
            Err(_) => {
                tracing::warn!(
                    node = options.node,
                    "the node does not answer; the server does without it until it does"
                );
                OnceLock::new()
            }
        };
        Ok(Self {
            options,
            genesis,
            client,
            failure: Mutex::default(),
        })
    }

    /// Hash of the chain's first block.
    pub(crate) fn genesis(&self) -> Hash {
        self.genesis
    }

    /// The chain, to ask.
    pub fn client(&self) -> Result<&ChainClient, Error> {
        self.client.get().ok_or_else(|| {
            let failure = self.failure.lock();
            let failure = failure.unwrap_or_else(PoisonError::into_inner).clone();
            Error::Unreachable {
                url: self.options.node.clone(),
                reason: failure.unwrap_or_else(|| {
                    "it has not answered since the server was started".to_owned()
                }),
            }
        })
    }

    /// The same when it is there; none if the server is told to stop before that, or the node is not one that a server is started with.
    pub(crate) async fn wait(&self, stop: &CancellationToken) -> Option<&ChainClient> {
        let mut pause = RECONNECT;
        while self.client.get().is_none() {
            let connected = tokio::select! {
                () = stop.cancelled() => return None,
                connected = self.options.connect() => connected,
            };
            match connected {
                Ok(client) => return Some(self.client.get_or_init(|| client)),
                Err(error) => {
                    tracing::error!(%error, "there is no connection to the chain");
                    if is_hopeless(&error) {
                        return None;
                    }
                    let failure = self.failure.lock();
                    *failure.unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(2 * pause);
        }
        self.client.get()
    }
}

/// Whether waiting helps nothing: somebody has to give the server another node, or another program.
fn is_hopeless(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<Error>(),
        Some(Error::WrongChain { .. } | Error::IncompatibleRuntime { .. })
    )
}
