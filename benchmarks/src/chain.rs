// SPDX-License-Identifier: Apache-2.0

//! Our own node, as a relay operator sees it: transactions go in by JSON-RPC, and count when their block is final.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use hashchain::StudyId;
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::{Launch, Node, VALIDATORS};
use mhealth_testing::rpc::JsonRpc;
use serde::Serialize;
use sp_keyring::Sr25519Keyring::{Dave, Eve};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::extrinsic::Signer;
use crate::generator::{Generator, LOOK};
use crate::measured::{Latency, Measured};
use crate::prepared::Prepared;
use crate::proposals::Proposals;
use crate::state;
use crate::tally::{follow, Tally};
use crate::usage;
use crate::workload::{EntryFile, Phones, RELAYS};

/// Without a finalised batch, or any progress, for so long, something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A chain with Aura and GRANDPA, and a block every two seconds.
pub(crate) struct Chain {
    /// To which the relays speak.
    node: Node,
    /// The other validators.
    others: Vec<Node>,
    client: ChainClient,
    rpc: JsonRpc,
    /// None while a measurement has them.
    relays: Option<[Signer; RELAYS]>,
    proposals: Proposals,
    /// The first node's folder, which goes when the node is gone.
    _base: TempDir,
}

impl Chain {
    /// Starts a development chain, which has one validator, or the local one with all of its four. Nodes keep so many states,
    /// or as many as they keep unless told otherwise, and get these arguments beside their own. So many devices of each of these
    /// studies are enrolled before the first node starts; the others begin with nothing and fetch that.
    pub(crate) async fn start(
        network: bool,
        states: Option<u32>,
        more: &[String],
        studies: &[StudyId],
        devices: u32,
    ) -> Result<(Self, Vec<Phones>)> {
        let prepared = Prepared::new(network, states, studies, devices)?;
        let spacious = |launch: Launch| {
            let launch = launch
                .arg("--pool-limit=65536")
                .arg("--pool-kbytes=1048576")
                .args(more);
            match states {
                Some(states) => launch.arg(format!("--state-pruning={states}")),
                None => launch,
            }
        };
        let first = match network {
            false => Launch::consensus(),
            true => Launch::local(0),
        };
        let node = spacious(first).base_path(prepared.base.path()).start()?;
        let mut others = Vec::new();
        if network {
            let first = format!("--bootnodes={}", node.address().await?);
            for index in 1..VALIDATORS.len() {
                others.push(spacious(Launch::local(index)).arg(&first).start()?);
            }
        }
        let client = ChainClient::connect(&node.url()).await?;
        let rpc = JsonRpc::connect(&node.url()).await?;
        let genesis = client.genesis_hash().0;
        let mut chain = Chain {
            node,
            others,
            client,
            rpc,
            relays: Some([Dave, Eve].map(|relay| Signer::new(relay, genesis))),
            proposals: Proposals::default(),
            _base: prepared.base,
        };
        let best = chain.client.best_block().await?.number;
        ensure!(
            genesis == prepared.genesis && best >= prepared.blocks,
            "the node does not go on from the block {} that was prepared:\n{}",
            prepared.blocks,
            chain.log()
        );
        chain.wait_until_final(best).await?;
        chain.ensure_enrolled(&prepared.phones).await?;
        // Those of now do not belong to a measurement; what was thrown away is printed.
        chain.read_logs();
        Ok((chain, prepared.phones))
    }

    /// Hash of the chain's first block, to which every device's hashchain commits.
    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.client.genesis_hash().0
    }

    /// Waits until all nodes have this final block.
    async fn wait_until_final(&self, goal: u64) -> Result<()> {
        let mut nodes = Vec::new();
        for node in self.nodes() {
            nodes.push((node, ChainClient::connect(&node.url()).await?));
        }
        wait_until_final(&nodes, goal).await
    }

    /// Asks the node for the last device of each study.
    async fn ensure_enrolled(&self, phones: &[Phones]) -> Result<()> {
        for phones in phones {
            let last = phones.last();
            let head = self.client.head(last).await?;
            let head =
                head.with_context(|| format!("device {last} is not there:\n{}", self.log()))?;
            ensure!(
                head.hash == phones.link_0(last),
                "the chain numbers devices in another order"
            );
        }
        Ok(())
    }

    /// Sends the batches of a file, at a rate or as fast as they are taken, and waits until all are final.
    pub(crate) async fn measure(
        &mut self,
        name: &str,
        file: &EntryFile,
        rate: Option<f64>,
    ) -> Result<Measured> {
        let from = self.client.finalised().await?.number + 1;
        let nodes = self.nodes().map(Node::process_id);
        let nodes: Option<Vec<u32>> = nodes.collect();
        let nodes = nodes.context("a node is down")?;
        let disk = usage::disk(self.node.base_path())?;
        let journal = self.client.journal_length().await?;
        let processor = || {
            let processes = nodes.iter().copied().chain([std::process::id()]);
            processes.map(usage::processor).sum::<Result<f64>>()
        };
        let processor_before = processor()?;
        self.read_logs();
        self.proposals.begin();
        let (seen, mut blocks) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow(self.client.clone(), from, seen));
        let (sending, mut sent) = mpsc::unbounded_channel();
        let relays = self
            .relays
            .take()
            .context("an earlier measurement failed")?;
        let mut generator = Some(Generator::start(
            &self.client,
            &self.rpc,
            relays,
            file,
            rate,
            &sending,
        ));

        let mut tally = Tally::default();
        let mut look = tokio::time::interval(LOOK);
        while generator.is_some() || tally.settled() < file.batches {
            look.tick().await;
            if let Some(done) = generator.take_if(|generator| generator.is_done()) {
                self.relays = Some(done.end().await?);
            }
            if let Some(generator) = &mut generator {
                generator.release().await?;
            }
            while let Ok(transaction) = sent.try_recv() {
                tally.sent(transaction);
            }
            while let Ok(block) = blocks.try_recv() {
                tally.take(block);
            }
            if following.is_finished() {
                bail!("the follower ended: {:?}", following.await?);
            }
            self.check(&tally)?;
        }
        following.abort();
        let processor_seconds = processor()? - processor_before;
        self.read_logs();
        ensure!(
            tally.failed == 0,
            "{} batches failed as a whole",
            tally.failed
        );
        let (entries, seconds) = tally.steady().context("there are too few blocks")?;
        let total = tally.entries.max(1) as f64;
        let registered = [journal, journal + tally.entries as u64];
        let in_journal = state::journal_bytes(&self.rpc, registered).await?;
        Ok(Measured {
            system: name.to_owned(),
            entries,
            refused: file.entries.saturating_sub(tally.entries),
            seconds,
            processor_seconds: processor_seconds * entries as f64 / total,
            charged_seconds: None,
            bytes_per_entry: Some(
                usage::disk(self.node.base_path())?.saturating_sub(disk) as f64 / total,
            ),
            permanent_bytes: in_journal.map(|bytes| bytes + tally.bytes as f64 / total),
            latency: Latency::of(tally.waits),
            discarded: Some(self.proposals.discarded()),
            longest_proposal: self.proposals.longest().map(|it| it.as_secs_f64()),
        })
    }

    fn check(&mut self, tally: &Tally) -> Result<()> {
        if tally.blocks.len().is_multiple_of(64) {
            self.read_logs();
        }
        let quiet = tally.last_news.elapsed();
        ensure!(
            quiet < PATIENCE,
            "nothing becomes final:\n{}",
            self.node.log()
        );
        Ok(())
    }

    /// Has a second node, which keeps everything, fetch the chain from the first one over loopback and execute it.
    pub(crate) async fn synchronise(&self) -> Result<Sync> {
        let address = self.node.address().await?;
        let goal = self.client.finalised().await?.number;
        let entries = self.client.journal_length().await?;
        let began = Instant::now();
        let second = Launch::bare()
            .arg(match self.others.is_empty() {
                true => "--chain=dev",
                false => "--chain=local",
            })
            .arg("--state-pruning=archive")
            .arg(format!("--bootnodes={address}"))
            .start()?;
        let client = ChainClient::connect(&second.url()).await?;
        wait_until_final(&[(&second, client)], goal).await?;
        Ok(Sync {
            blocks: goal,
            entries,
            seconds: began.elapsed().as_secs_f64(),
            bytes_pruned: usage::disk(self.node.base_path())?,
            bytes_archive: usage::disk(second.base_path())?,
        })
    }

    /// The last lines that the node logged.
    pub(crate) fn log(&self) -> String {
        self.node.log()
    }

    /// Reads what the validators say of their proposals.
    fn read_logs(&mut self) {
        for log in self.nodes().map(Node::log).collect::<Vec<_>>() {
            self.proposals.read(&log);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        [&self.node].into_iter().chain(&self.others)
    }
}

/// Waits until each of these nodes has this final block, for as long as any of them goes on.
async fn wait_until_final(nodes: &[(&Node, ChainClient)], goal: u64) -> Result<()> {
    let mut last = (0, Instant::now());
    loop {
        let mut lowest = goal;
        let mut reached = 0;
        for (_, client) in nodes {
            let number = client.finalised().await?.number;
            lowest = lowest.min(number);
            // Of the blocks that a node fetches, many may become final at once, long after they came.
            reached += number.min(goal) + client.best_block().await?.number.min(goal);
        }
        if lowest == goal {
            return Ok(());
        }
        if reached > last.0 {
            last = (reached, Instant::now());
        }
        ensure!(
            last.1.elapsed() < PATIENCE,
            "a node has {lowest} as its last final block, and does not come to {goal}:\n{}",
            last_words(nodes)
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// The end of the nodes' logs.
fn last_words(nodes: &[(&Node, ChainClient)]) -> String {
    let words = nodes.iter().map(|(node, _)| node.last_words());
    words.collect::<Vec<_>>().join("\n\n")
}

/// What it took a second node to have the whole chain.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sync {
    /// Blocks that it executed.
    pub(crate) blocks: u64,
    /// Entries that these registered.
    pub(crate) entries: u64,
    /// Seconds from its start, genesis included.
    pub(crate) seconds: f64,
    /// Bytes on disk of the first node, which keeps all blocks and the latest states.
    pub(crate) bytes_pruned: u64,
    /// Bytes on disk of the second, which keeps the states of all blocks.
    pub(crate) bytes_archive: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Spread, SINGLE_RUNS};
    use crate::proposals::Ready;
    use crate::SIGNED;

    /// Has so many blocks filled with signed runs of one entry, the most work an entry: by weight, by length or by the author's
    /// clock. The weights let a block have some 60,000 of them. A block counts as full if its author was at work on it for so long, or if it
    /// has as many transactions as the weights let it have.
    async fn fill_blocks(
        network: bool,
        blocks: usize,
        entries: usize,
        busy: Duration,
    ) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (mut chain, mut phones) = Chain::start(network, None, &[], &[SIGNED], 20_000).await?;
        let plan = Plan {
            run: 1,
            signed: true,
            entries,
            batch: SINGLE_RUNS,
            spread: Spread::Uniform,
            wrong_percent: 0.0,
            bad_percent: 0.0,
            bad_in_turn: false,
        };
        let file = phones[0].write(&plan, &folder.path().join("entries"))?;

        let measured = chain.measure("full", &file, None).await?;

        assert_eq!(measured.discarded, Some(0), "{}", chain.log());
        assert_eq!(measured.refused, 0);
        let logs: Vec<String> = chain.nodes().map(Node::log).collect();
        let ready = logs
            .iter()
            .flat_map(|log| log.lines())
            .filter_map(Ready::of);
        let full = ready.filter(|it| it.after >= busy || it.transactions >= 140);
        let full = full.count();
        assert!(
            full >= blocks,
            "only {full} blocks were full:\n{}",
            chain.log()
        );
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_block_is_never_too_late() -> Result<()> {
        fill_blocks(false, 20, 1_500_000, Duration::from_secs(1)).await
    }

    /// It signs for minutes before it begins.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes long; scripts/test network-faults runs it"]
    async fn no_full_block_of_many_is_too_late() -> Result<()> {
        fill_blocks(false, 60, 4_500_000, Duration::from_secs(1)).await
    }

    /// Authors stop earlier here, and all four share the processors.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes long; scripts/test network-faults runs it"]
    async fn a_full_block_is_never_too_late_among_four_validators() -> Result<()> {
        fill_blocks(true, 60, 1_500_000, Duration::from_millis(800)).await
    }
}
