// SPDX-License-Identifier: Apache-2.0

//! What becomes of the transactions of one measurement: which finalised block has them, and when a client could know.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use mhealth_chain_client::{ChainClient, ChainEvent, H256};
use tokio::sync::mpsc;

/// What became of a transaction: its hash, and how many entries it registered; none if it failed.
type Settled = (H256, Option<usize>);

/// A transaction that was submitted.
pub(crate) struct Sent {
    pub(crate) hash: H256,
    pub(crate) at: Instant,
    /// Its length.
    pub(crate) bytes: usize,
}

/// A finalised block, as soon as a client could know of it.
pub(crate) struct Block {
    at: Instant,
    settled: Vec<Settled>,
}

/// Tells of every finalised block from one on, until nobody listens.
pub(crate) async fn follow(
    client: ChainClient,
    from: u64,
    seen: mpsc::UnboundedSender<Block>,
) -> Result<()> {
    let mut follower = client.follow_from(from);
    loop {
        let block = follower.next().await?;
        let settled = block.extrinsics.iter().map(|extrinsic| {
            let effect = extrinsic
                .effect
                .as_ref()
                .filter(|effect| effect.result.is_ok());
            let counted = effect.map(|effect| {
                let counts = effect.events.iter().map(|event| match event {
                    ChainEvent::BatchProcessed { entries, .. } => *entries as usize,
                    _ => 0,
                });
                counts.sum()
            });
            (extrinsic.hash, counted)
        });
        let block = Block {
            settled: settled.collect(),
            at: Instant::now(),
        };
        if seen.send(block).is_err() {
            return Ok(());
        }
    }
}

/// What is known of the transactions of one measurement.
pub(crate) struct Tally {
    under_way: HashMap<H256, Sent>,
    /// How long batches took from submission until a client could know that they were final, in seconds.
    pub(crate) waits: Vec<f64>,
    /// When a block with some of them was seen to be final, and how many entries it registered.
    pub(crate) blocks: Vec<(Instant, usize)>,
    /// Entries registered.
    pub(crate) entries: usize,
    /// Bytes of the transactions.
    pub(crate) bytes: usize,
    /// Batches that failed as a whole.
    pub(crate) failed: usize,
    /// When the last block with some of them was seen.
    pub(crate) last_news: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            under_way: HashMap::new(),
            waits: Vec::new(),
            blocks: Vec::new(),
            entries: 0,
            bytes: 0,
            failed: 0,
            last_news: Instant::now(),
        }
    }
}

impl Tally {
    /// Notes that a transaction was submitted.
    pub(crate) fn sent(&mut self, sent: Sent) {
        self.under_way.insert(sent.hash, sent);
    }

    /// Batches that are final.
    pub(crate) fn settled(&self) -> usize {
        self.waits.len()
    }

    /// Counts what a block has of them.
    pub(crate) fn take(&mut self, block: Block) {
        let mut registered = 0;
        let mut batches = 0;
        for (hash, counted) in block.settled {
            let Some(sent) = self.under_way.remove(&hash) else {
                continue;
            };
            batches += 1;
            self.waits.push((block.at - sent.at).as_secs_f64());
            self.bytes += sent.bytes;
            match counted {
                None => self.failed += 1,
                Some(entries) => registered += entries,
            }
        }
        if batches > 0 {
            self.entries += registered;
            self.blocks.push((block.at, registered));
            self.last_news = block.at;
        }
    }

    /// Entries and seconds from the first of the blocks that became final to the last: without the time that the first
    /// batches take until they are final, which is latency. The entries of whatever became final with the first block do not
    /// count.
    pub(crate) fn steady(&self) -> Option<(usize, f64)> {
        /// Blocks that become final together are delivered one right after the other.
        const TOGETHER: Duration = Duration::from_millis(500);
        let (first, _) = self.blocks.first()?;
        let later = || self.blocks.iter().filter(|(at, _)| *at - *first > TOGETHER);
        let entries = later().map(|(_, entries)| entries).sum();
        let seconds = (later().next_back()?.0 - *first).as_secs_f64();
        Some((entries, seconds))
    }
}
