// SPDX-License-Identifier: Apache-2.0

//! Whether a node that joined a chain serves it as those do that were there before.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use hashchain::DeviceId;
use mhealth_chain_client::{BlockId, ChainClient, H256};
use mhealth_evidence::{Anchor, DeviceHead, HeadProof};
use tokio::time::sleep;

use crate::finality::PATIENCE;

/// Between two questions to a node.
const PAUSE: Duration = Duration::from_millis(300);

/// Waits until a new node has the state of its last final block, which may come long after the header. Makes sure that it is
/// the block of a node that was there before, with the same journal, and that the new node proves the head of the device that
/// wrote last to whoever knows the chain's first block, as a phone does. Returns the block.
pub async fn serves_like(new: &ChainClient, old: &ChainClient) -> Result<BlockId> {
    let (block, length) = until(async || last_with_state(new).await).await?;
    until(async || is_final(old, block.number).await).await?;
    let same = old.block_hash(block.number).await?;
    ensure!(same == Some(block.hash), "it follows another chain");
    let there = old.at(block.hash).await?;
    let known = there.journal_length().await?;
    ensure!(length == known, "journals differ: {length}, {known}");
    let last = there.journal(known.saturating_sub(1), 1).await?;
    let device = last.first().context("nobody has written yet")?.device;

    let genesis = old.genesis_hash();
    let (shown, head) = until(async || proved_head(new, genesis, device).await).await?;
    until(async || is_final(old, shown.number).await).await?;
    let known = old.at(shown.hash).await?.head(device).await?;
    let known = known.context("the head of a device is proved that is not enrolled")?;
    ensure!(
        (head.length, head.hash) == (known.length, known.hash),
        "heads of {device:?} differ: {head:?}, {known:?}"
    );
    Ok(block)
}

/// A node's last final block, and how long the journal is in its state.
async fn last_with_state(chain: &ChainClient) -> Result<(BlockId, u64)> {
    let block = chain.finalised().await?;
    let length = chain.at(block.hash).await?.journal_length().await?;
    Ok((block, length))
}

/// Fails unless a node's last final block is the one of this number or a later one.
async fn is_final(chain: &ChainClient, number: u64) -> Result<()> {
    let last = chain.finalised().await?.number;
    ensure!(last >= number, "block {number} is not final, {last} is");
    Ok(())
}

/// The head of a device, and the block in whose state a node proves it.
async fn proved_head(
    chain: &ChainClient,
    genesis: H256,
    device: DeviceId,
) -> Result<(BlockId, DeviceHead)> {
    let proved = chain.prove_head(device, None, false, &[]).await?;
    let proved = proved.context("it knows no such device")?;
    let proof = HeadProof::from_bytes(&proved.proof)?;
    let first = proof.first.as_ref().context("the proof begins nowhere")?;
    let mut anchor = Anchor::begin(genesis.0, first)?;
    let state = anchor.check(&proof.finality)?;
    let is_named = state.hash() == proved.block.hash.0;
    ensure!(is_named, "the proof is about another block than it says");
    let head = state.head(device)?.context("the proof shows no head")?;
    Ok((proved.block, head))
}

/// What a question is answered with, once it can be: a node that is still fetching a state cannot say what is in it.
async fn until<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
