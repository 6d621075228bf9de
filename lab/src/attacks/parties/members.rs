// SPDX-License-Identifier: Apache-2.0

//! What a member of the consortium can do, each time on a chain of its own: what it does to finality or to the list of motions would
//! be there for everybody who is played beside it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mhealth_api::Policy;
use mhealth_chain_client::{calls, Account, AccountId32, Call, ChainClient, Error, Submitter};
use mhealth_testing::node::{changed_specification, Launch};
use mhealth_testing::rpc::JsonRpc;
use serde_json::{json, Value};

use super::arena::aside;
use super::rights::Outcome;

/// Motions that one member proposes.
const MOTIONS: u32 = 4;
/// Under which the chain keeps a change of authorities by force that was decided: `Grandpa.PendingChange`.
const PENDING_CHANGE: &str = "0x5f9cc45b7a00c5899361e1c6099678dc2ff65991b1c915dd6cc8d4825eacfcb4";
/// The block by which the chain has something to be stalled.
const BEGUN: u64 = 3;
/// Within this time finality goes on.
const ALIVE: Duration = Duration::from_secs(30);

/// The only member has the authorities changed by force while finality is alive: about the latest final block, about an old one, and
/// about one that it has proved to be final itself.
pub(super) async fn stall(number: u32) -> Result<Outcome> {
    let node = aside(|| Launch::consensus().start()).await?;
    let chain = ChainClient::connect(&node.url()).await?;
    let member = chain.submitter(Account::from_secret_uri("//Alice")?);
    let mut blocks = chain.follow_from(BEGUN);
    let last = blocks.next().await?.number;
    let named = match number % 3 {
        0 => last,
        1 => last / 2,
        _ => {
            let proof = chain.latest_finality_proof().await?;
            let proof = proof.context("a final block has no proof")?;
            let report = calls::report_final(0, proof.bytes);
            // The node may have shown a later one.
            let _reported = member.submit_and_wait(report).await;
            proof.block.number
        }
    };
    let call = calls::note_stalled(1, u32::try_from(named)?);
    let decided = member.submit_and_wait(call).await;
    let rpc = JsonRpc::connect(&node.url()).await?;
    let pending: Value = rpc
        .request("state_getStorage", &[json!(PENDING_CHANGE)])
        .await?;
    let after = chain.best_block().await?.number;
    let began = Instant::now();
    while chain.finalised().await?.number < after && began.elapsed() < ALIVE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let alive = chain.finalised().await?.number >= after;
    let held = pending.is_null() && alive;
    let about = format!("block {named} of {last}: {decided:?}, pending {pending}");
    Ok((held, None, about))
}

/// On a chain with four members, one proposes as much as it can; another one has a proposal of its own.
pub(super) async fn fill_motions() -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("members.json");
    let chain = format!("--chain={}", file.display());
    let members = ["//Alice", "//Bob", "//Charlie", "//Dave"];
    let mut accounts = BTreeSet::new();
    for member in members {
        accounts.insert(Account::from_secret_uri(member)?.id().to_string());
    }
    let change = move |specification: &mut Value| {
        let patch = &mut specification["genesis"]["runtimeGenesis"]["patch"];
        patch["members"]["members"] = json!(accounts);
    };
    aside(move || changed_specification(&file, &[], change)).await?;
    let launch = Launch::bare()
        .arg(chain)
        .args(["--alice", "--validator", "--sealing=instant"])
        .arg(format!("--node-key={:064x}", 8));
    let node = aside(|| launch.start()).await?;
    let chain = ChainClient::connect(&node.url()).await?;
    let filler = chain.submitter(Account::from_secret_uri(members[1])?);
    let mut opened = 0;
    for motion in 0..MOTIONS {
        opened += u32::from(proposed(&filler, motion).await?);
    }
    let other = chain.submitter(Account::from_secret_uri(members[2])?);
    let another = proposed(&other, MOTIONS).await?;
    Ok((
        another && opened < MOTIONS,
        None,
        format!("one member opened {opened} of {MOTIONS}, another one {another}"),
    ))
}

/// Whether a motion is open now.
async fn proposed(member: &Submitter, number: u32) -> Result<bool> {
    let title = format!("Study {number}");
    let sponsor: AccountId32 = member.account();
    let call: Call = calls::create_study(3, sponsor, Policy::DeviceSigned, [9; 32], &title);
    match member.submit_and_wait(call).await {
        Ok(done) => Ok(done.succeeded().is_ok()),
        Err(Error::Dispatch(_) | Error::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
