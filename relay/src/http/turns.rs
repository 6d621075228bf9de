// SPDX-License-Identifier: Apache-2.0

//! Whose question to the node is next.
//!
//! What anybody may ask costs the node work. An address has a few questions under way at a time, and all of them together leave
//! half of the node's attention to uploads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mhealth_api::Code;
use mhealth_server::shares::{Shares, Source};
use mhealth_server::{ApiError, Peer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use crate::ledger::READS;

/// Questions of everybody that are under way at a time.
const ALL: usize = READS / 2;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives turns.
pub struct Turns {
    all: Arc<Semaphore>,
    each: Shares<Source>,
}

impl Turns {
    /// An address may have so many percent of them.
    pub fn new(address_share: u32) -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            each: Shares::of(ALL * address_share as usize / 100),
        }
    }
}

/// A question's turn, until it is dropped. A handler that takes it asks when it has come; `overloaded` when it does not come.
pub(super) struct Turn {
    _each: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<App>> for Turn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Peer(address) = Peer::from_request_parts(parts, app).await?;
        let waiting = app.turns.wait(Source::from(address));
        let turn = tokio::time::timeout(PATIENCE, waiting).await;
        turn.map_err(|_| Code::Overloaded.into())
    }
}

impl Turns {
    async fn wait(&self, source: Source) -> Turn {
        const OPEN: &str = "nobody closes this semaphore; qed";
        // First the turn among those of the same address: no address has more than a few in the line of all.
        let each = self.each.share(source).acquire_owned().await.expect(OPEN);
        let all = self.all.clone().acquire_owned().await.expect(OPEN);
        Turn {
            _each: each,
            _all: all,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(number: u8) -> Source {
        Source::from(IpAddr::from([192, 0, 2, number]))
    }

    #[tokio::test]
    async fn whoever_asks_much_waits_for_itself_and_not_others_for_it() {
        let turns = Turns::new(25);
        let mut flood: Vec<_> = (0..300).map(|_| Box::pin(turns.wait(source(1)))).collect();
        let mut had = Vec::new();
        for waiting in &mut flood {
            if let Some(turn) = futures::FutureExt::now_or_never(waiting) {
                had.push(turn);
            }
        }
        assert_eq!(had.len(), ALL / 4);
        let other = futures::FutureExt::now_or_never(turns.wait(source(2)));
        assert!(other.is_some());
    }
}
