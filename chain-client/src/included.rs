// SPDX-License-Identifier: Apache-2.0

//! What is not final: transactions in blocks of the node's best chain, for when nothing becomes final any more.

use std::time::Duration;

use subxt::utils::H256;
use tokio::time::{sleep, Instant};

use crate::block::read_block;
use crate::client::ChainClient;
use crate::error::{without_full_stop, Error};
use crate::submission::{Inclusion, Submission};

/// Between two looks at the best chain.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// So many blocks before those that were read are read again: others may have taken their places.
const AGAIN: u64 = 8;

impl ChainClient {
    /// Waits until a block of the node's best chain includes this transaction, and tells what it did there. **Such a block can
    /// still be undone.** Where blocks become final, wait with [`Submission::finalised`].
    ///
    /// It waits for as long as blocks are made and the transaction is valid in the next, however long a block takes: validators
    /// make fewer when nothing becomes final. Fails with [`Error::Expired`] when no block has it and none can any more, and with
    /// [`Error::Undecided`] when the node made no block for as long as `patience`, or could not be asked: the transaction may
    /// still be included then.
    pub async fn included(
        &self,
        submission: &Submission,
        patience: Duration,
    ) -> Result<Inclusion, Error> {
        let undecided = |reason: String| Error::Undecided {
            hash: submission.hash(),
            death: submission.death(),
            reason,
        };
        let first = submission.birth() + 1;
        let last = submission.death() - 1;
        let mut next = first;
        let mut known = 0;
        let mut changed = Instant::now();
        loop {
            let looked = async {
                let best = self.best_block().await?.number;
                let from = match best >= last {
                    // It is for the last time.
                    true => first,
                    false => next.saturating_sub(AGAIN).max(first),
                };
                let found = self.find(submission.hash(), from, best.min(last)).await?;
                Ok::<_, Error>((best, found))
            };
            let (best, found) = match looked.await {
                Err(error) if error.is_unreachable() => {
                    return Err(undecided(without_full_stop(error)));
                }
                looked => looked?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
            if best >= last {
                return Err(Error::Expired {
                    hash: submission.hash(),
                    death: submission.death(),
                });
            }
            if best > known {
                (known, changed) = (best, Instant::now());
            }
            if changed.elapsed() >= patience {
                let reason = format!("the node has made no block after {best} for {patience:?}");
                return Err(undecided(reason));
            }
            next = best + 1;
            sleep(PAUSE).await;
        }
    }

    /// The transaction in one of these blocks of the best chain.
    async fn find(
        &self,
        transaction: H256,
        from: u64,
        to: u64,
    ) -> Result<Option<Inclusion>, Error> {
        for number in from..=to {
            let block = read_block(self.connection(), number).await?;
            let mut extrinsics = block.extrinsics.iter();
            if let Some(found) = extrinsics.find(|one| one.hash == transaction) {
                return Inclusion::of(&block, found).map(Some);
            }
        }
        Ok(None)
    }
}
