// SPDX-License-Identifier: Apache-2.0

//! Our own node, as a relay operator sees it: transactions go in by JSON-RPC, and count when their block is final.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use mhealth_chain_client::{ChainClient, ChainEvent, Handed, H256};
use mhealth_runtime::{Runtime, RuntimeCall};
use mhealth_tests::node::{Launch, Node};
use sp_keyring::Sr25519Keyring::{Charlie, Dave, Eve};
use sp_runtime::traits::{BlakeTwo256, Hash};
use tokio::sync::mpsc;

use crate::extrinsic::Signer;
use crate::measured::{Latency, Measured};
use crate::usage;
use crate::workload::{EntryFile, Phones, ESCROW, RELAYS};

/// Devices that enrol in one transaction.
const ENROLMENTS: usize = 100;
/// Batches that wait in the node's pool at least and at most. In between it is half as much again as the fullest of the last
/// blocks took: enough for the next block, and no more than that, so that nobody waits for long.
const WAITING: [usize; 2] = [32, 96];
/// How often the generator looks whether there is room again.
const LOOK: Duration = Duration::from_millis(40);
/// Without a finalised batch for so long, something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the transactions carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Runs, which the chain checks and registers.
    Runs,
    /// The same bytes, which `System.remark` ignores.
    Remark,
}

/// A development chain: one validator, Aura and GRANDPA, a block every two seconds.
pub(crate) struct Chain {
    node: Node,
    client: ChainClient,
    office: Signer,
    relays: [Signer; RELAYS],
    devices: u32,
    discarded: HashSet<String>,
}

impl Chain {
    /// Starts the node.
    pub(crate) async fn start() -> Result<Self> {
        let node = Launch::consensus()
            .arg("--pool-limit=65536")
            .arg("--pool-kbytes=1048576")
            .start()?;
        let client = ChainClient::connect(&node.url()).await?;
        let genesis = client.genesis_hash().0;
        Ok(Chain {
            node,
            client,
            office: Signer::new(Charlie, genesis),
            relays: [Dave, Eve].map(|relay| Signer::new(relay, genesis)),
            devices: 0,
            discarded: HashSet::new(),
        })
    }

    /// Hash of the chain's first block, to which every device's hashchain commits.
    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.client.genesis_hash().0
    }

    /// Makes and enrols devices of a study.
    pub(crate) async fn enrol(&mut self, study: u32, count: u32) -> Result<Phones> {
        let phones = Phones::new(self.genesis(), study, self.devices, count);
        let calls: Vec<RuntimeCall> = phones
            .enrolments()
            .map(|(key, secret_commitment)| {
                RuntimeCall::ClientHashchain(pallet_client_hashchain::Call::enrol {
                    study,
                    key,
                    secret_commitment,
                    escrow: ESCROW.to_vec().try_into().expect("it is short; qed"),
                    predecessor: None,
                })
            })
            .collect();
        for some in calls.chunks(ENROLMENTS) {
            let batch = pallet_utility::Call::batch_all {
                calls: some.to_vec(),
            };
            let transaction = self.office.call(&RuntimeCall::Utility(batch));
            self.send(&transaction).await?;
        }
        let office = mhealth_chain_client::AccountId32(*self.office.account().as_ref());
        let deadline = Instant::now() + PATIENCE * 60;
        loop {
            let view = self.client.at_finalised().await?;
            if view.nonce(&office).await? == u64::from(self.office.nonce) {
                break;
            }
            ensure!(Instant::now() < deadline, "the devices were not enrolled");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.devices += count;
        let last = self.devices - 1;
        let head = self.client.head(last).await?;
        let head =
            head.ok_or_else(|| anyhow!("device {last} is not there:\n{}", self.node.log()))?;
        ensure!(
            head.hash.0 == phones.link_0(last),
            "the chain numbers devices in another order"
        );
        Ok(phones)
    }

    /// Sends the batches of a file and waits until all are final.
    pub(crate) async fn measure(
        &mut self,
        name: &str,
        file: &EntryFile,
        form: Form,
    ) -> Result<Measured> {
        let from = self.client.finalised().await?.number + 1;
        let process = self.node.process_id().context("the node is down")?;
        let disk = usage::disk(self.node.base_path())?;
        let processor = || {
            Ok::<_, anyhow::Error>(
                usage::processor(process)? + usage::processor(std::process::id())?,
            )
        };
        let processor_before = processor()?;
        let discarded_before = self.discarded.len();
        let (seen, mut blocks) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow(self.client.clone(), from, seen));

        let mut tally = Tally::default();
        let each = file.entries / file.batches;
        for (number, batch) in file.batches()?.enumerate() {
            let batch = batch?;
            while self.waiting().await? >= tally.room() {
                tokio::time::sleep(LOOK).await;
                while let Ok(block) = blocks.try_recv() {
                    tally.take(block, form, each);
                }
                self.check(&tally)?;
            }
            let relay = &mut self.relays[number % RELAYS];
            let transaction = match form {
                Form::Runs => relay.batch(&batch),
                Form::Remark => {
                    let remark = frame_system::Call::remark { remark: batch };
                    relay.call(&RuntimeCall::System(remark))
                }
            };
            tally.sent(&transaction);
            self.send(&transaction).await?;
        }
        while !tally.under_way.is_empty() {
            match tokio::time::timeout(PATIENCE, blocks.recv()).await {
                Ok(Some(block)) => tally.take(block, form, each),
                Ok(None) => bail!("the follower ended: {:?}", following.await?),
                Err(_) => bail!("nothing becomes final:\n{}", self.node.log()),
            }
            self.check(&tally)?;
        }
        following.abort();
        let processor_seconds = processor()? - processor_before;
        self.look_for_discarded();
        let discarded = self.discarded.len() - discarded_before;
        ensure!(
            tally.failed == 0,
            "{} batches failed as a whole",
            tally.failed
        );
        let (entries, seconds) = tally.steady().context("there are too few blocks")?;
        let total = tally.entries.max(1) as f64;
        Ok(Measured {
            system: name.to_owned(),
            entries,
            refused: match form {
                Form::Runs => file.entries.saturating_sub(tally.entries),
                Form::Remark => 0,
            },
            seconds,
            processor_seconds: processor_seconds * entries as f64 / total,
            bytes_per_entry: Some(
                usage::disk(self.node.base_path())?.saturating_sub(disk) as f64 / total,
            ),
            latency: Latency::of(tally.waits),
            discarded: Some(discarded),
        })
    }

    async fn send(&self, transaction: &[u8]) -> Result<()> {
        match self.client.send(transaction).await? {
            Handed::Taken => Ok(()),
            other => bail!("the node did not take a transaction: {other:?}"),
        }
    }

    /// Batches that were sent and are in no block yet.
    async fn waiting(&self) -> Result<usize> {
        let mut waiting = 0;
        for relay in &self.relays {
            let key = frame_system::Account::<Runtime>::hashed_key_for(relay.account());
            let key = serde_json::Value::String(sp_core::bytes::to_hex(&key, false));
            let account: Option<String> = self.client.request("state_getStorage", &[key]).await?;
            let nonce = match account {
                Some(account) => {
                    let bytes = sp_core::bytes::from_hex(&account)?;
                    let nonce = bytes
                        .first_chunk()
                        .context("an account begins with its nonce")?;
                    u32::from_le_bytes(*nonce)
                }
                None => 0,
            };
            waiting += (relay.nonce - nonce) as usize;
        }
        Ok(waiting)
    }

    fn check(&mut self, tally: &Tally) -> Result<()> {
        if tally.blocks.len().is_multiple_of(64) {
            self.look_for_discarded();
        }
        let quiet = tally.last_news.elapsed();
        ensure!(
            quiet < PATIENCE,
            "nothing becomes final:\n{}",
            self.node.log()
        );
        Ok(())
    }

    /// The last lines that the node logged.
    pub(crate) fn log(&self) -> String {
        self.node.log()
    }

    /// Counts what the node says of proposals that it gave up.
    fn look_for_discarded(&mut self) {
        let log = self.node.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("Discarding proposal"));
        self.discarded.extend(lines.map(str::to_owned));
    }
}

/// What became of a transaction: its hash, and how many entries it registered; none if it failed.
type Settled = (H256, Option<usize>);

/// A finalised block, as soon as a client could know of it.
struct Block {
    at: Instant,
    settled: Vec<Settled>,
}

async fn follow(client: ChainClient, from: u64, seen: mpsc::UnboundedSender<Block>) -> Result<()> {
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
struct Tally {
    under_way: HashMap<H256, Instant>,
    waits: Vec<f64>,
    /// When a block with some of them was seen to be final, and how many entries it registered.
    blocks: Vec<(Instant, usize)>,
    /// How many batches each of these blocks held.
    batches: Vec<usize>,
    entries: usize,
    failed: usize,
    last_news: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            under_way: HashMap::new(),
            waits: Vec::new(),
            blocks: Vec::new(),
            batches: Vec::new(),
            entries: 0,
            failed: 0,
            last_news: Instant::now(),
        }
    }
}

impl Tally {
    fn sent(&mut self, transaction: &[u8]) {
        let hash = H256(BlakeTwo256::hash(transaction).0);
        self.under_way.insert(hash, Instant::now());
    }

    fn take(&mut self, block: Block, form: Form, each: usize) {
        let mut registered = 0;
        let mut batches = 0;
        for (hash, counted) in block.settled {
            let Some(sent) = self.under_way.remove(&hash) else {
                continue;
            };
            batches += 1;
            self.waits.push((block.at - sent).as_secs_f64());
            match (counted, form) {
                (None, _) => self.failed += 1,
                (Some(_), Form::Remark) => registered += each,
                (Some(entries), Form::Runs) => registered += entries,
            }
        }
        if batches > 0 {
            self.entries += registered;
            self.batches.push(batches);
            self.blocks.push((block.at, registered));
            self.last_news = block.at;
        }
    }

    /// How many batches may wait in the pool.
    fn room(&self) -> usize {
        let fullest = self.batches.iter().rev().take(4).max().copied();
        (fullest.unwrap_or_default() * 3 / 2).clamp(WAITING[0], WAITING[1])
    }

    /// Entries and seconds from the first of the blocks that became final to the last: without the time that the first
    /// batches take until they are final, which is latency. The entries of whatever became final with the first block do not
    /// count.
    fn steady(&self) -> Option<(usize, f64)> {
        /// Blocks that become final together are delivered one right after the other.
        const TOGETHER: Duration = Duration::from_millis(500);
        let (first, _) = self.blocks.first()?;
        let later = || self.blocks.iter().filter(|(at, _)| *at - *first > TOGETHER);
        let entries = later().map(|(_, entries)| entries).sum();
        let seconds = (later().next_back()?.0 - *first).as_secs_f64();
        Some((entries, seconds))
    }
}
