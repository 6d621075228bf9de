// SPDX-License-Identifier: Apache-2.0

//! What nodes say of their blocks, and whether these become final.

use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::Value;
use tokio::time::sleep;

use crate::node::Node;
use crate::rpc::JsonRpc;

/// Finality is a matter of seconds; what takes longer than this does not work.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How much further a chain must finalise to be believed that it goes on finalising.
pub const PROGRESS: u64 = 4;
/// Between two looks at a node.
const PAUSE: Duration = Duration::from_millis(300);
/// How much what was being voted on may still become final when votes begin to lack.
const LATE_VOTES: u64 = 4;
/// How many blocks a halted chain must make on its last final one to be believed that it halted. Two validators of four make
/// one every four seconds.
const HALT: u64 = 6;

/// Numbers of a node's best block and of its last final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Height {
    /// The best block.
    pub best: u64,
    /// The last final one.
    pub last_final: u64,
}

/// What a node says.
pub async fn height(node: &Node) -> Result<Height> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    let hash: Value = rpc.request("chain_getFinalizedHead", &[]).await?;
    let last: Value = rpc.request("chain_getHeader", &[hash]).await?;
    let best: Value = rpc.request("chain_getHeader", &[]).await?;
    Ok(Height {
        best: number(&best)?,
        last_final: number(&last)?,
    })
}

/// What a node says as soon as it answers; the last error if it does not while there is patience.
pub async fn height_at_last(node: &Node) -> Result<Height> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = height(node).await;
        if said.is_ok() || Instant::now() > deadline {
            return said;
        }
        sleep(PAUSE).await;
    }
}

/// Waits until a node has this final block.
pub async fn wait_until_final(node: &Node, goal: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It may be starting.
        let said = height(node).await;
        if said.as_ref().is_ok_and(|height| height.last_final >= goal) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = node.last_words();
            bail!("block {goal} was not final within {PATIENCE:?}: {said:?}\n{log}");
        }
        sleep(PAUSE).await;
    }
}

/// Waits until these have finalised so many blocks more than the best of them has now.
pub async fn finalise(nodes: &[&Node], blocks: u64) -> Result<()> {
    let mut goal = 0;
    for node in nodes {
        goal = goal.max(height(node).await?.last_final);
    }
    for node in nodes {
        wait_until_final(node, goal + blocks).await?;
    }
    Ok(())
}

/// Waits until it is shown of each of these that it makes or gets blocks and finalises none, but for what was being voted on.
/// Returns the number of their last final block.
pub async fn halt(nodes: &[&Node]) -> Result<u64> {
    let mut before = Vec::new();
    for node in nodes {
        before.push(height(node).await?.last_final);
    }
    let mut last = 0;
    for (node, before) in nodes.iter().zip(before) {
        last = last.max(wait_until_halted(node, before).await?);
    }
    Ok(last)
}

async fn wait_until_halted(node: &Node, before: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = height(node).await?;
        if has_halted(before, now)? {
            return Ok(now.last_final);
        }
        if Instant::now() > deadline {
            let log = node.last_words();
            bail!("too few blocks were made within {PATIENCE:?}: {now:?}\n{log}");
        }
        sleep(PAUSE).await;
    }
}

/// Whether a node that had this last final block, and has these now, is shown to finalise nothing any more.
fn has_halted(before: u64, now: Height) -> Result<bool> {
    if now.last_final > before + LATE_VOTES {
        let now = now.last_final;
        bail!("blocks still become final: {before} was the last, and now {now} is");
    }
    Ok(now.best >= now.last_final + HALT)
}

fn number(header: &Value) -> Result<u64> {
    let digits = header["number"].as_str().unwrap_or_default();
    let digits = digits.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).with_context(|| format!("no header: {header}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_stay_open_show_a_halt_and_time_alone_does_not() {
        let halted = |best, last_final| has_halted(10, Height { best, last_final }).ok();
        assert_eq!(halted(10, 10), Some(false));
        assert_eq!(halted(15, 10), Some(false));
        assert_eq!(halted(16, 10), Some(true));
        // Late votes do not hide it.
        assert_eq!(halted(19, 14), Some(false));
        assert_eq!(halted(20, 14), Some(true));
        assert_eq!(halted(30, 15), None);
    }

    #[test]
    fn the_number_of_a_block_is_hexadecimal() {
        let header = serde_json::json!({ "number": "0x1f" });
        assert_eq!(number(&header).expect("a header"), 31);
        assert!(number(&Value::Null).is_err());
    }
}
