// SPDX-License-Identifier: Apache-2.0

//! What nodes can prove to be final, shown to the chain.

use mhealth_chain_client::{calls, ChainClient, ChainView, FinalityProof};
use serde_json::json;

use crate::failure::Failure;
use crate::report::Report;
use crate::session::{Global, Office};

/// Hands in two proofs of finality that contradict each other, so that the chain names who signed both.
///
/// For anybody with a role, when two nodes follow different chains. What is recorded is in `finality.conflicts`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportConflict {
    /// WebSocket address of a node that follows another chain than the one of --node.
    #[arg(long, value_name = "URL")]
    other: String,
    /// The number of the set of authorities that signed both, if that is another than the chain says.
    #[arg(long, value_name = "N")]
    set: Option<u64>,
}

/// Shows the chain the last final block that the node can prove, unless it knows it: validators' nodes show it, too.
pub(crate) async fn report_final(global: &Global, set: Option<u64>) -> Result<Report, Failure> {
    let office = global.office().await?;
    let (seen, view) = office.view().await?;
    let proof = provable(&office.chain).await?;
    let proved = proof.block.number;
    let known = view.last_final().await?;
    if let Some(known) = known.filter(|known| known.number >= proved) {
        let report = known_final(&office, known.number).await?;
        return Ok(report.block(seen.number, office.is_final()));
    }
    let set = match set {
        Some(set) => set,
        None => signers_of(&view, proved).await?,
    };
    let outcome = office.act(calls::report_final(set, proof.bytes)).await?;
    // What a decision has to name is what the chain knows, and not what the node believes by now.
    let after = office.chain.at(outcome.block_hash).await?;
    let known = after.last_final().await?.unwrap_or(proof.block);
    let report = known_final(&office, known.number).await?.with("set", set);
    Ok(report.block(outcome.block_number, office.is_final()))
}

/// The last final block that a node can prove.
async fn provable(chain: &ChainClient) -> Result<FinalityProof, Failure> {
    let proof = chain.latest_finality_proof().await?;
    proof.ok_or_else(|| {
        let message = format!(
            "The node {} has no proof that its last final block is final.",
            chain.url()
        );
        Failure::wrong("not_provable", message)
    })
}

/// The number of the set that signs for a block.
async fn signers_of(view: &ChainView, block: u64) -> Result<u64, Failure> {
    view.voters_of(block).await?.ok_or_else(|| {
        let message =
            format!("The chain has forgotten who voted on block {block}, which is too old.");
        Failure::wrong("unknown_set", message)
    })
}

/// Says which block the chain knows to be final.
async fn known_final(office: &Office, known: u64) -> Result<Report, Failure> {
    let latest = office.chain.finalised().await?.number;
    let report = Report::default()
        .line(format!(
            "The chain knows the last final block that this node can prove: {known}. Compare it with those of the other validators."
        ))
        .with("last_final", known)
        .with("finalised", latest);
    Ok(match latest > known {
        true => report.line(format!(
            "For this node block {latest} is final by now. If that does not go on, show it, too."
        )),
        false => report,
    })
}

/// Shows the chain of one node that another has a proof for a block of another chain.
pub(crate) async fn report_conflict(
    global: &Global,
    command: &ReportConflict,
) -> Result<Report, Failure> {
    let office = global.office().await?;
    let genesis = office.chain.genesis_hash();
    let other = global.at(&command.other).chain_of(Some(genesis)).await?;
    let here = (&office.chain, provable(&office.chain).await?);
    let there = (&other, provable(&other).await?);
    let ((_, lower), (above, higher)) = match here.1.block.number <= there.1.block.number {
        true => (here, there),
        false => (there, here),
    };
    let led = above
        .headers_down_to(higher.block, lower.block.number)
        .await?;
    let Some((headers, beside)) = led else {
        let message = format!(
            "Block {} of the one node lies too far above block {} of the other for a transaction.",
            higher.block.number, lower.block.number
        );
        return Err(Failure::wrong("too_far_apart", message));
    };
    if beside == lower.block.hash {
        let message = format!(
            "Both nodes follow one chain: block {} of the one descends from block {} of the other.",
            higher.block.number, lower.block.number
        );
        return Err(Failure::wrong("no_conflict", message));
    }
    let set = match command.set {
        Some(set) => set,
        None => signers_of(&office.view().await?.1, lower.block.number).await?,
    };
    let blocks = [lower.block, higher.block]
        .map(|block| json!({ "number": block.number, "hash": format!("{:#x}", block.hash) }));
    let report = calls::report_conflict(set, lower.bytes, higher.bytes, headers);
    let outcome = office.act(report).await?;
    Ok(Report::default()
        .line(format!(
            "It is recorded that blocks {} and {} are final and not on one chain; finality.conflicts names who signed both.",
            lower.block.number, higher.block.number
        ))
        .with("set", set)
        .with("blocks", json!(blocks))
        .block(outcome.block_number, office.is_final()))
}
