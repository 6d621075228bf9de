// SPDX-License-Identifier: Apache-2.0

//! What is not final: transactions in blocks of the node's best chain, for when nothing becomes final any more.

use std::time::Duration;

use subxt::utils::H256;
use tokio::time::{sleep, timeout};

use crate::block::read_block;
use crate::client::ChainClient;
use crate::error::Error;
use crate::runtime::api;
use crate::submission::Inclusion;
use crate::view::ChainView;

/// Between two looks at the best chain.
const PAUSE: Duration = Duration::from_millis(500);
/// So many blocks before those that were read are read again: others may have taken their places.
const AGAIN: u64 = 8;

impl ChainClient {
    /// Waits until a block of the node's best chain includes this transaction, from the block of this number on, and tells what it
    /// did there. **Such a block can still be undone.** Where blocks become final, wait with
    /// [`Submission::finalised`](crate::Submission::finalised).
    ///
    /// Fails with [`Error::Unreachable`] when it is in no block after this time.
    pub async fn included(
        &self,
        transaction: H256,
        from: u64,
        patience: Duration,
    ) -> Result<Inclusion, Error> {
        let search = async {
            let mut next = from;
            loop {
                let best = self.best_block().await?.number;
                for number in next.saturating_sub(AGAIN).max(from)..=best {
                    let block = read_block(self.connection(), number).await?;
                    let mut extrinsics = block.extrinsics.iter();
                    if let Some(found) = extrinsics.find(|one| one.hash == transaction) {
                        return Inclusion::of(&block, found);
                    }
                }
                next = best + 1;
                sleep(PAUSE).await;
            }
        };
        let late = |_| Error::Unreachable {
            url: self.url().to_owned(),
            reason: format!(
                "no block included the transaction {transaction:#x} within {patience:?}"
            ),
        };
        timeout(patience, search).await.map_err(late)?
    }
}

impl ChainView {
    /// The number of the set of authorities that the chain expects proofs of finality from.
    pub async fn latest_set(&self) -> Result<u64, Error> {
        let set = api::storage().finality().latest_set();
        Ok(self.value(set, ()).await?.unwrap_or_default())
    }
}
