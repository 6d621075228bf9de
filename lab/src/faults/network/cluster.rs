// SPDX-License-Identifier: Apache-2.0

//! Four validators that can be stopped, cut off and robbed one by one, and what each of them says of the chain.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Error, Result};
use mhealth_testing::finality::{self, height, wait_until_final, PATIENCE, PROGRESS};
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::rpc::JsonRpc;
use serde_json::{json, Value};
use tokio::time::sleep;

use super::disk::Disk;
use super::plan::{OWN_DISK, VALIDATORS};
use super::wires::Wires;

/// A validator that is cut off may still have votes for blocks before. It counts them within this time.
const LAST_VOTES: Duration = Duration::from_secs(10);
/// So many final blocks tell who makes blocks: each validator has four of sixteen slots.
pub(crate) const LATEST: usize = 4 * VALIDATORS;
/// Places beside those of the validators: a guest's and a twin's.
pub(crate) const GUEST: usize = VALIDATORS;
/// Of a second node with a validator's keys.
pub(crate) const SECOND: usize = VALIDATORS + 1;

/// The validators.
pub(crate) struct Cluster {
    // Before the wires, which they use.
    nodes: Vec<Node>,
    pub(crate) wires: Option<Wires>,
    /// Of the validator that has one of its own.
    pub(crate) disk: Option<Disk>,
}

impl Cluster {
    /// Starts them, with their chains in this folder. Without wires all of them are at one address, and lists of peers are what
    /// can keep them apart; and there is no namespace in which a disk could be mounted.
    pub(crate) async fn start(folder: &Path, wires: Option<Wires>) -> Result<Self> {
        let chain = |number: usize| folder.join(format!("chain-{number}"));
        let disk = match &wires {
            Some(_) => Disk::mount(chain(OWN_DISK)).map_or_else(no_disk, Some),
            None => None,
        };
        let mut cluster = Cluster {
            nodes: Vec::new(),
            wires,
            disk,
        };
        for number in 0..VALIDATORS {
            let launch = Launch::local(number)
                .base_path(chain(number))
                // The judge reads every block's events.
                .arg("--state-pruning=archive");
            let node = cluster.launch(launch, number).await?;
            cluster.nodes.push(node);
            cluster.introduce(number).await?;
        }
        Ok(cluster)
    }

    /// Starts a node at this place.
    pub(crate) async fn launch(&self, launch: Launch, place: usize) -> Result<Node> {
        let mut launch = launch;
        match &self.wires {
            Some(wires) => launch = launch.inside(wires.place(place)),
            None => launch = launch.args(["--reserved-only", "--rpc-methods=unsafe"]),
        }
        if let (Some(first), Some(wires)) = (self.nodes.first(), &self.wires) {
            // Where it is stays the same when it is down.
            let identity = peer(first).await;
            if let Ok(identity) = identity {
                let address = format!("{}/p2p/{identity}", wires.listens(0));
                launch = launch.arg("--bootnodes").arg(address);
            }
        }
        launch.start()
    }

    /// Makes a node and all others known to each other, where that is not the network's affair.
    async fn introduce(&self, number: usize) -> Result<()> {
        if self.wires.is_none() {
            let node = &self.nodes[number];
            for (other, known) in self.nodes.iter().enumerate() {
                if other != number && known.process_id().is_some() {
                    acquaint(node, known).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes a node that is no validator of these known to them.
    pub(crate) async fn welcome(&self, guest: &Node) -> Result<()> {
        if self.wires.is_none() {
            for node in self.running() {
                acquaint(&self.nodes[node], guest).await?;
            }
        }
        Ok(())
    }

    /// The disk of the validator that has one of its own.
    pub(crate) fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("no validator has one")
    }

    pub(crate) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// Where this validator serves JSON-RPC.
    pub(crate) fn rpc(&self, number: usize) -> SocketAddr {
        let node = &self.nodes[number];
        SocketAddr::new(node.host(), node.rpc_port())
    }

    /// Those that nobody has taken down.
    pub(crate) fn running(&self) -> Vec<usize> {
        let up = |number: &usize| self.nodes[*number].process_id().is_some();
        (0..self.nodes.len()).filter(up).collect()
    }

    pub(crate) fn stop(&mut self, number: usize) -> Result<()> {
        self.nodes[number].stop()
    }

    pub(crate) fn kill(&mut self, number: usize) -> Result<()> {
        self.nodes[number].kill()
    }

    /// Starts it again, as the command of another program if need be.
    pub(crate) async fn start_again(&mut self, number: usize, wrapper: &[&str]) -> Result<()> {
        self.nodes[number].start_again_under(wrapper, &[])?;
        self.introduce(number).await
    }

    /// Starts again whatever does not run, and tells of those that ended by themselves, which none may.
    pub(crate) async fn pick_up(&mut self, fallen: &mut Vec<String>) -> Result<()> {
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            if node.is_running() {
                continue;
            }
            if node.process_id().is_some() {
                let log = node.last_words();
                fallen.push(format!("validator {number} ended by itself:\n{log}"));
            }
            self.start_again(number, &[]).await?;
        }
        Ok(())
    }

    /// Waits until a validator's process has ended by itself. Says whether it did while there was patience.
    pub(crate) async fn wait_until_ended(&mut self, number: usize) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.nodes[number].is_running() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(300)).await;
        }
        true
    }

    /// Takes a validator's database away. It must be down.
    pub(crate) fn rob(&self, number: usize) -> Result<()> {
        let mut robbed = 0;
        for database in databases(self.nodes[number].base_path())? {
            fs::remove_dir_all(&database).with_context(|| database.display().to_string())?;
            robbed += 1;
        }
        if robbed == 0 {
            bail!("validator {number} has no database");
        }
        Ok(())
    }

    /// Keeps the validators of the one side and of the other apart.
    pub(crate) async fn part(&self, one: &[usize], other: &[usize]) -> Result<()> {
        if let Some(wires) = &self.wires {
            return wires.part(one, other);
        }
        for (from, to) in pairs(one, other).chain(pairs(other, one)) {
            let node = JsonRpc::connect(&self.nodes[from].url()).await?;
            let identity = json!(peer(&self.nodes[to]).await?);
            let _: Value = node
                .request("system_removeReservedPeer", &[identity])
                .await?;
        }
        Ok(())
    }

    /// Lets all validators reach each other again.
    pub(crate) async fn mend(&self) -> Result<()> {
        if let Some(wires) = &self.wires {
            return wires.mend();
        }
        for number in self.running() {
            self.introduce(number).await?;
        }
        Ok(())
    }

    /// The highest final block that any running validator knows of.
    pub(crate) async fn highest(&self) -> Result<u64> {
        let mut highest = 0;
        for number in self.running() {
            highest = highest.max(height(&self.nodes[number]).await?.last_final);
        }
        Ok(highest)
    }

    /// Waits until these have finalised so many blocks more than the best of them has now.
    pub(crate) async fn finalise(&self, these: &[usize], blocks: u64) -> Result<()> {
        finality::finalise(&self.those(these), blocks).await
    }

    /// Waits for so long at least, and until it is shown that none of these finalises, but for what was being voted on.
    pub(crate) async fn halt(&self, these: &[usize], time: Duration) -> Result<()> {
        let nodes = self.those(these);
        let (halted, ()) = tokio::join!(finality::halt(&nodes), sleep(time));
        halted.map(drop)
    }

    /// Waits until these go on finalising, and for so long at least. Makes sure that one which is cut off from them finalises
    /// nothing meanwhile. Whether it makes blocks says nothing: a node without a single peer makes none.
    pub(crate) async fn finalise_without(
        &self,
        alone: usize,
        these: &[usize],
        time: Duration,
    ) -> Result<()> {
        sleep(LAST_VOTES).await;
        let before = height(&self.nodes[alone]).await?.last_final;
        let (go_on, ()) = tokio::join!(self.finalise(these, PROGRESS), sleep(time));
        go_on?;
        let now = height(&self.nodes[alone]).await?.last_final;
        ensure!(
            now == before,
            "validator {alone} went on from block {before} to {now} without the votes"
        );
        Ok(())
    }

    /// How many of the last final blocks that a node knows of this validator made.
    pub(crate) async fn made(&self, node: usize, validator: usize) -> Result<usize> {
        let rpc = JsonRpc::connect(&self.nodes[node].url()).await?;
        let mut block: Value = rpc.request("chain_getFinalizedHead", &[]).await?;
        let mut made = 0;
        for _ in 0..LATEST {
            let header: Value = rpc.request("chain_getHeader", &[block]).await?;
            let slot = slot(&header).with_context(|| format!("no slot: {header}"))?;
            // They have their slots in turn.
            made += usize::from(slot % VALIDATORS as u64 == validator as u64);
            block = header["parentHash"].clone();
        }
        Ok(made)
    }

    fn those(&self, these: &[usize]) -> Vec<&Node> {
        these.iter().map(|number| &self.nodes[*number]).collect()
    }

    /// Waits until all validators have the same final block, beyond the highest that any has now.
    pub(crate) async fn agree(&self) -> Result<u64> {
        let goal = self.highest().await? + 1;
        let all: Vec<usize> = (0..VALIDATORS).collect();
        for number in &all {
            let has_it = wait_until_final(&self.nodes[*number], goal).await;
            has_it.with_context(|| format!("validator {number}"))?;
        }
        let mut hashes = Vec::new();
        for number in all {
            hashes.push(block_hash(&self.nodes[number], goal).await?);
        }
        if hashes.iter().any(|hash| *hash != hashes[0]) {
            bail!("validators finalised different blocks {goal}: {hashes:?}");
        }
        Ok(goal)
    }
}

/// Says why no disk can be made full.
fn no_disk(error: Error) -> Option<Disk> {
    println!("Full disks: none ({error:#}).");
    None
}

/// The hash of a node's block.
async fn block_hash(node: &Node, number: u64) -> Result<Value> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    Ok(rpc.request("chain_getBlockHash", &[json!(number)]).await?)
}

/// A node's identity in the network.
async fn peer(node: &Node) -> Result<String> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    Ok(rpc.request("system_localPeerId", &[]).await?)
}

/// Puts each of two nodes on the other's list of peers.
async fn acquaint(one: &Node, other: &Node) -> Result<()> {
    for (from, to) in [(one, other), (other, one)] {
        let rpc = JsonRpc::connect(&from.url()).await?;
        let address = json!(to.address().await?);
        let _: Value = rpc.request("system_addReservedPeer", &[address]).await?;
    }
    Ok(())
}

fn pairs<'a>(one: &'a [usize], other: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + 'a {
    one.iter()
        .flat_map(move |from| other.iter().map(move |to| (*from, *to)))
}

/// The slot in which a block was made.
fn slot(header: &Value) -> Option<u64> {
    /// An item that was there before the block was made, of Aura, of eight bytes.
    const ITEM: &str = "0x066175726120";
    let mut items = header["digest"]["logs"].as_array()?.iter();
    let digits = items.find_map(|item| item.as_str()?.strip_prefix(ITEM))?;
    let bytes = hex::decode(digits).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The folders with the databases below a node's folder.
fn databases(base: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for chain in fs::read_dir(base.join("chains"))? {
        for folder in fs::read_dir(chain?.path())? {
            let folder = folder?.path();
            if matches!(folder.file_name(), Some(name) if name == "db" || name == "paritydb") {
                found.push(folder);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_in_which_slot_its_block_was_made() {
        let logs = ["0x05617572610101", "0x0661757261200700000000000000"];
        let header = json!({ "digest": { "logs": logs } });
        assert_eq!(slot(&header), Some(7));
        assert_eq!(slot(&json!({ "digest": { "logs": [] } })), None);
    }
}
