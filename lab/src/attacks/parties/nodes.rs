// SPDX-License-Identifier: Apache-2.0

//! A node that lies to the auditor who asks it, about a study of its own with two phones: one whose secret was stolen, so that
//! its conflict is on record, and an honest one that goes on writing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use hashchain::StudyId;
use mhealth_chain_client::{calls, Account, ChainClient};
use mhealth_testing::audit::{self, Party, Report, Watched};
use mhealth_testing::handset::Handset;
use mhealth_testing::node::{changed_specification, Launch, Node};
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::topology::{RELAYS, SPONSOR};
use serde_json::{json, Value};

use super::arena::{aside, SharedArena};
use crate::attack::Attack;
use crate::judge::{Fate, Named, Verdict};
use crate::play::Tried;

/// The rows of this file.
pub(crate) const ROWS: [Attack; 4] = [
    Attack::NodeHidesConflict,
    Attack::NodeShortens,
    Attack::NodeInvents,
    Attack::NodeOfAnotherChain,
];

/// An audit of this small study takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How keys of the state begin under which the chain keeps conflicts: `ClientHashchain.Conflicts`.
const CONFLICTS: &str = "0xe2adf92ceab6073ea47eba22112709449314e8db2a1d633542346fe6354c02a2";
/// Exit statuses of an audit that was not made, and of one that found nothing wrong in what the node did not prove.
const COULD_NOT_RUN: i32 = 3;
const NOT_PROVED: i32 = 4;
/// Accounts of these rows: an authentication server and a relay.
const OFFICE: &str = "//Mallet//scene";
const RELAY: &str = "//Mallory//scene";

/// What the lies are about.
pub(crate) struct Scene {
    genuine: World,
    /// What an honest node lets an audit find.
    truth: Report,
    /// A chain of the liar's own from the same first block, and one from another. No validator has voted there.
    invented: (Node, World),
    another: (Node, World),
}

/// A study with its two phones, on some chain.
struct World {
    url: String,
    study: StudyId,
    genesis: String,
    /// A block after which the honest phone has half of its entries, and nothing is disputed.
    old: String,
    /// Hashes up to that one.
    before: HashSet<String>,
    /// Digits that stand in the extrinsic with the run that made the conflict, and nowhere else.
    rival: String,
    export: PathBuf,
}

impl Scene {
    pub(crate) async fn set(arena: &SharedArena) -> Result<Self> {
        let (study, folder) = (arena.column.other_study(), &arena.folder);
        let [scene, invented, another] =
            ["scene", "invented", "another"].map(|name| folder.join(format!("{name}.ndjson")));
        let another = async {
            let folder = folder.clone();
            let specification = aside(move || other_specification(&folder)).await?;
            own_chain(&specification, study, &another).await
        };
        let (genuine, invented, another) = tokio::try_join!(
            World::play(&arena.chain, arena.node.url(), study, true, &scene),
            own_chain("dev", study, &invented),
            another,
        )?;
        let options = genuine.options(&genuine.url, &genuine);
        let json = folder.join("scene.json");
        let truth = aside(move || audit::run(&options, &json)).await?;
        ensure!(
            truth.summary.outcome == "wrong" && !truth.alarms().is_empty(),
            "an honest node does not show the conflict"
        );
        Ok(Scene {
            genuine,
            truth,
            invented,
            another,
        })
    }

    /// Makes one attempt: a whole audit that asks a lying node and insists on the genuine chain's first block.
    pub(crate) async fn attempt(&self, row: Attack, number: u32, folder: &Path) -> Result<Tried> {
        let world = match row {
            Attack::NodeInvents => &self.invented.1,
            Attack::NodeOfAnotherChain => &self.another.1,
            _ => &self.genuine,
        };
        let liar = Liar {
            row,
            genesis: self.genuine.genesis.clone(),
            old: world.old.clone(),
            before: world.before.clone(),
            rival: world.rival.clone(),
            cuts: number % 2 == 1,
        };
        let front = NodeFront::before(&world.url, liar).await?;
        let options = world.options(&front.url(), &self.genuine);
        let json = folder.join(format!("{}-{number}.json", row.name()));
        let watched = aside({
            let json = json.clone();
            move || audit::watch(audit::command(&options, &json)?, PATIENCE)
        });
        let watched = watched.await?;
        let report = audit::read(&json).ok();
        Ok(Tried {
            attack: row,
            verdict: self.verdict(&watched, report.as_ref()),
            after: None,
            waited: Some(watched.took),
            about: format!("{watched:?}"),
        })
    }

    /// An audit that cannot be made, or says what is only the node's word, has not believed the lie. Any other audit must find what
    /// one of the truth finds, and nothing else. The study's relays are all read, so there is nothing else to be said.
    fn verdict(&self, watched: &Watched, report: Option<&Report>) -> Verdict {
        let report = report.filter(|_| watched.status == Some(1));
        let is_true = report.is_some_and(|report| report.alarms() == self.truth.alarms());
        let fate = match watched.status {
            Some(COULD_NOT_RUN | NOT_PROVED) => Fate::Prevented,
            Some(1) if is_true => Fate::Prevented,
            _ => Fate::Unseen,
        };
        let named = report.map(|report| {
            let truly = parties(&self.truth);
            match parties(report).iter().all(|party| truly.contains(party)) {
                true => Named::Nobody,
                false => Named::Wrong,
            }
        });
        Verdict { fate, named }
    }
}

/// Whoever is named in a report.
fn parties(report: &Report) -> Vec<&Party> {
    let of_findings = report.devices.iter().flat_map(|device| {
        let entries = device.entries.iter().flat_map(|entry| &entry.parties);
        let findings = device.findings.iter().flat_map(|finding| &finding.parties);
        entries.chain(findings)
    });
    of_findings.collect()
}

impl World {
    /// Two phones write. Where one of them is stolen from, the thief writes first, and then the phone.
    async fn play(
        chain: &ChainClient,
        url: String,
        study: StudyId,
        stolen: bool,
        export: &Path,
    ) -> Result<Self> {
        let office = Account::from_secret_uri(OFFICE)?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let appointment = calls::add_authentication_server(study, office.id());
        sponsor.submit_and_wait(appointment).await?.succeeded()?;
        let relay = PlayedRelay::appoint(chain, study, SPONSOR, RELAY).await?;
        // Of a study whose relays are all read an audit has nothing else to miss.
        for account in RELAYS {
            let account = Account::from_secret_uri(account)?.id();
            let removal = calls::remove_relay(study, account);
            sponsor.submit_and_wait(removal).await?.succeeded()?;
        }
        let office = chain.submitter(office);
        let genesis = chain.genesis_hash();
        let mut robbed = Handset::enrol_by_hand(&office, study, 1).await?;
        let mut honest = Handset::enrol_by_hand(&office, study, 2).await?;
        for phone in [&mut robbed, &mut honest] {
            relay.relay(&phone.record(2)).await?;
        }
        let old = chain.finalised().await?;
        let mut before = HashSet::new();
        for number in 0..=old.number {
            let hash = chain
                .block_hash(number)
                .await?
                .context("a block is lacking")?;
            before.insert(format!("{hash:?}"));
        }
        let mut thief = robbed.stolen_copy();
        if stolen {
            relay.relay(&thief.record(1)).await?;
        }
        let rival = robbed.record(1);
        relay.relay(&rival).await?;
        relay.relay(&honest.record(2)).await?;
        relay.export(export).await?;
        let digest = rival.entries[0].digest.0;
        Ok(World {
            url,
            study,
            genesis: format!("{genesis:?}"),
            old: format!("{:?}", old.hash),
            before,
            rival: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            export: export.to_path_buf(),
        })
    }

    /// An audit that asks this node and insists on the first block of the genuine chain.
    fn options(&self, node: &str, genuine: &World) -> audit::Options {
        audit::Options {
            node: node.to_owned(),
            study: self.study,
            genesis: Some(genuine.genesis.clone()),
            exports: vec![("scene".into(), self.export.clone())],
            ..audit::Options::default()
        }
    }
}

/// A chain whose blocks somebody makes alone.
async fn own_chain(chain: &str, study: StudyId, export: &Path) -> Result<(Node, World)> {
    let launch = Launch::bare()
        .arg(format!("--chain={chain}"))
        .args(["--alice", "--validator", "--sealing=instant"])
        .arg(format!("--node-key={:064x}", 7))
        .arg("--state-pruning=archive");
    let node = aside(|| launch.start()).await?;
    let chain = ChainClient::connect(&node.url()).await?;
    let world = World::play(&chain, node.url(), study, false, export).await?;
    Ok((node, world))
}

/// The development chain with another first block.
pub(super) fn other_specification(folder: &Path) -> Result<String> {
    let file = folder.join("another-chain.json");
    changed_specification(&file, &[], |specification| {
        let patch = &mut specification["genesis"]["runtimeGenesis"]["patch"];
        patch["clientHashchain"]["retirementDelay"] = json!(77);
    })?;
    Ok(file.display().to_string())
}

/// A node's lies.
struct Liar {
    row: Attack,
    genesis: String,
    old: String,
    before: HashSet<String>,
    rival: String,
    /// It leaves nodes out of proofs, instead of taking older ones.
    cuts: bool,
}

impl Liar {
    /// Whether a question is about what it lies about.
    fn lies_about(&self, method: &str, parameters: &Value) -> bool {
        match (self.row, method) {
            (Attack::NodeShortens, "state_call") => true,
            (Attack::NodeHidesConflict, "state_call") => parameters[0]
                .as_str()
                .is_some_and(|function| function.to_lowercase().contains("conflict")),
            (
                Attack::NodeHidesConflict | Attack::NodeShortens,
                "state_getStorage" | "state_getReadProof" | "state_queryStorageAt",
            ) => {
                let all = self.row == Attack::NodeShortens;
                all || parameters[0].to_string().contains(CONFLICTS)
            }
            _ => false,
        }
    }

    /// Has a question about the state answered as of the old block.
    fn earlier(&self, parameters: &mut Value, place: usize) {
        if let Some(at) = parameters.get_mut(place) {
            let is_later = |hash: &str| !self.before.contains(hash);
            if at.as_str().is_some_and(is_later) {
                *at = json!(self.old);
            }
        }
    }
}

impl Lies for Liar {
    fn ask(&self, method: &str, parameters: &mut Value) {
        let is_proof = method == "state_getReadProof";
        if self.lies_about(method, parameters) && !(is_proof && self.cuts) {
            self.earlier(parameters, if method == "state_call" { 2 } else { 1 });
        }
    }

    fn answer(&self, method: &str, asked: &Value, answer: &mut Value) {
        if self.cuts && method == "state_getReadProof" && self.lies_about(method, asked) {
            if let Some(nodes) = answer["proof"].as_array_mut() {
                nodes.truncate(nodes.len() / 2);
            }
        }
        match (self.row, method) {
            (Attack::NodeOfAnotherChain, "chain_getBlockHash") if asked[0] == json!(0) => {
                *answer = json!(self.genesis);
            }
            // The run that made the conflict goes out of its block, and another extrinsic stands in its place.
            (Attack::NodeHidesConflict, "chain_getBlock") => {
                if let Some(extrinsics) = answer["block"]["extrinsics"].as_array_mut() {
                    let harmless = extrinsics.first().cloned();
                    for extrinsic in extrinsics.iter_mut() {
                        let tells = extrinsic
                            .as_str()
                            .is_some_and(|it| it.contains(&self.rival));
                        if let (true, Some(harmless)) = (tells, &harmless) {
                            *extrinsic = harmless.clone();
                        }
                    }
                }
            }
            // Nothing happened in later blocks.
            (Attack::NodeShortens, "chain_getBlock")
                if asked[0]
                    .as_str()
                    .is_some_and(|hash| !self.before.contains(hash)) =>
            {
                if let Some(extrinsics) = answer["block"]["extrinsics"].as_array_mut() {
                    extrinsics.truncate(1);
                }
            }
            _ => {}
        }
    }
}
