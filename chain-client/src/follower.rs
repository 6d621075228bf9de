// SPDX-License-Identifier: Apache-2.0

//! The finalised chain, block by block, without a gap.

use std::collections::VecDeque;

use futures::future::try_join_all;
use futures::stream::{self, Stream};
use subxt::rpcs::client::RpcSubscription;
use subxt::utils::H256;

use crate::block::{read_block, FinalisedBlock};
use crate::connection::Connection;
use crate::error::Error;
use crate::rpc::Header;

/// Blocks that are fetched at the same time when the follower has fallen back.
const BACK_FILL: u64 = 16;

/// Delivers every finalised block once, in order, from a given number on.
///
/// The node announces finalised heads, not all of them, and none while the connection is lost. The follower fetches
/// whatever lies between, so that nothing is missing after a reconnect or a restart of the node, and checks that each
/// block is the child of the one before.
///
/// After an error [`Follower::next`] can be called again and goes on where it stopped, except after
/// [`Error::Diverged`] and [`Error::WrongChain`], which a person has to look into.
pub struct Follower {
    connection: Connection,
    /// Number of the block to deliver next.
    next: u64,
    /// Hash of the block that was delivered last.
    last: Option<H256>,
    /// Number of the latest block that is known to be finalised.
    finalised: Option<u64>,
    heads: Option<RpcSubscription<Header>>,
    ready: VecDeque<FinalisedBlock>,
}

impl Follower {
    pub(crate) fn new(connection: Connection, from: u64) -> Self {
        Follower {
            connection,
            next: from,
            last: None,
            finalised: None,
            heads: None,
            ready: VecDeque::new(),
        }
    }

    /// Number of the block that will be delivered next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The next finalised block; waits until there is one.
    ///
    /// Fails with [`Error::Unreachable`] when the node stays away for longer than the client's patience.
    /// Safe to cancel: a block is never lost.
    pub async fn next(&mut self) -> Result<FinalisedBlock, Error> {
        loop {
            if let Some(block) = self.ready.front() {
                self.check_parent(block)?;
                if let Some(block) = self.ready.pop_front() {
                    self.next = block.number + 1;
                    self.last = Some(block.hash);
                    return Ok(block);
                }
            }
            match self.finalised {
                Some(finalised) if finalised >= self.next => self.fetch(finalised).await?,
                _ => self.wait_for_head().await?,
            }
        }
    }

    /// The blocks as a stream, which never ends and goes on after errors.
    pub fn into_stream(self) -> impl Stream<Item = Result<FinalisedBlock, Error>> {
        stream::unfold(self, |mut follower| async move {
            let block = follower.next().await;
            Some((block, follower))
        })
    }

    async fn fetch(&mut self, finalised: u64) -> Result<(), Error> {
        let end = finalised.min(self.next + BACK_FILL - 1);
        let connection = &self.connection;
        let blocks =
            try_join_all((self.next..=end).map(|number| read_block(connection, number))).await;
        match blocks {
            Ok(blocks) => {
                self.ready.extend(blocks);
                Ok(())
            }
            Err(error) => {
                // A node that lost its last blocks, as after a power cut, may not have this one again yet.
                if matches!(error, Error::UnknownBlock { .. }) {
                    self.finalised = None;
                    self.heads = None;
                }
                Err(error)
            }
        }
    }

    async fn wait_for_head(&mut self) -> Result<(), Error> {
        let heads = match &mut self.heads {
            Some(heads) => heads,
            None => {
                let heads = self.connection.rpc().finalised_heads().await?;
                self.connection.check_chain().await?;
                self.heads = Some(heads);
                // What became final while the node prepared the subscription may never be announced, and on a chain that
                // makes blocks on demand nothing may come after it.
                self.finalised = Some(self.connection.finalised().await?.number);
                return Ok(());
            }
        };
        match heads.next().await {
            Some(Ok(head)) => self.finalised = Some(head.number),
            ended => {
                if let Some(Err(error)) = ended {
                    tracing::debug!(%error, "the subscription to finalised heads broke");
                }
                self.heads = None;
            }
        }
        Ok(())
    }

    fn check_parent(&self, block: &FinalisedBlock) -> Result<(), Error> {
        match self.last {
            Some(last) if last != block.parent_hash => Err(Error::Diverged {
                number: block.number,
                expected: last,
                found: block.parent_hash,
            }),
            _ => Ok(()),
        }
    }
}
