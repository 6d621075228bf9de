// SPDX-License-Identifier: Apache-2.0

//! Evidence that begins at a checkpoint of the attacker's own: a block of another chain, which has the same authorities' genuine
//! signatures, and whose state names them. A verifier who trusts the genuine first block, and at most a genuine checkpoint, must
//! not take it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Result};
use hashchain::{Native, Sha256};
use mhealth_chain_client::{calls, Account, ChainClient};
use mhealth_testing::audit::{self, Watched};
use mhealth_testing::handset::Handset;
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::process::Program;
use mhealth_testing::topology::{OFFICES, RELAYS, SIGNED_STUDY};

use super::super::arena::aside;
use super::super::nodes::other_specification;
use super::super::rights::tried;
use crate::attack::Attack;
use crate::play::Tried;

/// Until then the auditor's program has ended.
const PATIENCE: Duration = Duration::from_secs(90);
/// Where the header of the first block stands in a file of evidence: after magic and version.
const FIRST_HEADER: std::ops::Range<usize> = 18..116;

/// A chain with a phone, and evidence about it.
struct World {
    genesis: String,
    /// A final block from before the evidence.
    checkpoint: String,
    evidence: PathBuf,
    _node: Node,
}

impl World {
    /// With evidence that begins at the checkpoint if it is to, and otherwise at the first block.
    async fn play(chain: String, seed: u64, from_checkpoint: bool, file: PathBuf) -> Result<Self> {
        let launch = Launch::bare()
            .arg(format!("--chain={chain}"))
            .args(["--alice", "--validator", "--force-authoring"])
            .arg(format!(
                "--node-key={:064x}",
                9 + u32::from(from_checkpoint)
            ))
            .arg("--state-pruning=archive");
        let node = aside(|| launch.start()).await?;
        let chain = ChainClient::connect(&node.url()).await?;
        let office = chain.submitter(Account::from_secret_uri(OFFICES[0])?);
        let mut phone = Handset::enrol_by_hand(&office, SIGNED_STUDY, seed).await?;
        // The enrolment is in a final block, so this is not the first.
        let block = chain.finalised().await?;
        let checkpoint = format!("{:?}@{}", block.hash, block.number);
        let relay = chain.submitter(Account::from_secret_uri(RELAYS[0])?);
        let run = calls::submit(phone.record(2).run());
        relay.submit_and_wait(run).await?;
        let genesis = format!("{:?}", chain.genesis_hash());
        let mut prove = Program::Auditor.command()?;
        prove
            .args(["prove", "--node", &node.url(), "--genesis", &genesis])
            .arg(format!("--study={SIGNED_STUDY}"))
            .arg("--out")
            .arg(&file);
        if from_checkpoint {
            prove.args(["--checkpoint", &checkpoint]);
        }
        let proved = aside(|| audit::watch(prove, PATIENCE)).await?;
        ensure!(proved.status == Some(0), "no evidence: {}", proved.said);
        Ok(World {
            genesis,
            checkpoint,
            evidence: file,
            _node: node,
        })
    }
}

pub(super) async fn play(seed: u64, attempts: u32, folder: &Path) -> Result<Vec<Tried>> {
    let specification = {
        let folder = folder.to_path_buf();
        aside(move || other_specification(&folder)).await?
    };
    let file = |name: &str| folder.join(format!("checkpoint-{name}.evidence"));
    let (genuine, hostile) = tokio::try_join!(
        World::play("dev".into(), seed | (1 << 43), false, file("genuine")),
        World::play(specification, seed | (1 << 44), true, file("hostile")),
    )?;
    let proof = verify(&genuine.evidence, &genuine.genesis, None).await?;
    ensure!(proof.status == Some(0), "genuine evidence: {}", proof.said);
    let proof = verify(
        &hostile.evidence,
        &hostile.genesis,
        Some(&hostile.checkpoint),
    );
    let proof = proof.await?;
    ensure!(
        proof.status == Some(0),
        "for those who trust the attacker it is evidence: {}",
        proof.said
    );
    let disguised = file("disguised");
    disguise(&genuine.evidence, &hostile.evidence, &disguised)?;
    let mut all = Vec::new();
    for number in 0..attempts {
        let (evidence, trusted) = match number % 3 {
            0 => (&disguised, None),
            1 => (&disguised, Some(&*genuine.checkpoint)),
            _ => (&hostile.evidence, Some(&*genuine.checkpoint)),
        };
        let watched = verify(evidence, &genuine.genesis, trusted).await?;
        let held = watched
            .status
            .is_some_and(|status| (1..=3).contains(&status))
            && !watched.said.contains("verified=true");
        let about = format!("{watched:?}");
        let row = Attack::WrongCheckpoint;
        all.push(tried(row, held, Some(watched.took), about));
    }
    Ok(all)
}

/// Whoever reads it takes it for evidence of the genuine chain: its first block is that chain's.
fn disguise(genuine: &Path, hostile: &Path, disguised: &Path) -> Result<()> {
    let header = std::fs::read(genuine)?;
    let mut bytes = std::fs::read(hostile)?;
    bytes[FIRST_HEADER].copy_from_slice(&header[FIRST_HEADER]);
    bytes.truncate(bytes.len() - 32);
    bytes.extend(Native::sha256(&bytes));
    Ok(std::fs::write(disguised, bytes)?)
}

async fn verify(evidence: &Path, genesis: &str, trusted: Option<&str>) -> Result<Watched> {
    let mut verify = Program::Auditor.command()?;
    verify
        .arg("verify")
        .arg(evidence)
        .args(["--genesis", genesis]);
    if let Some(checkpoint) = trusted {
        verify.args(["--checkpoint", checkpoint]);
    }
    aside(|| audit::watch(verify, PATIENCE)).await
}
