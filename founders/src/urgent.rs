// SPDX-License-Identifier: Apache-2.0

//! What cannot wait for a motion: each member says what it wants, and the last vote that it takes carries it out.

use clap::Subcommand;
use mhealth_chain_client::{calls, ChainEvent, ChainView, UrgentDecision};
use serde_json::json;

use crate::decide;
use crate::failure::Failure;
use crate::proposals::{self, EitherWay};
use crate::report::Report;
use crate::session::Global;

/// Decisions within hours.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Urgent {
    /// Votes for a decision. The vote counts for six hours; the last of those that it takes carries it out.
    #[command(subcommand)]
    Vote(EitherWay),
    /// Takes a vote back.
    #[command(subcommand)]
    Withdraw(EitherWay),
    /// Lists what members vote for.
    List,
}

pub(crate) async fn run(global: &Global, urgent: Urgent) -> Result<Report, Failure> {
    match urgent {
        Urgent::Vote(decision) => vote(global, decision.urgent()?).await,
        Urgent::Withdraw(decision) => {
            let decision = decision.urgent()?;
            let office = global.office().await?;
            let call = calls::withdraw_urgent_vote(decision.clone());
            let outcome = office.act(call).await?;
            Ok(Report::default()
                .line(format!("You do not vote any more to {}.", words(&decision)))
                .with("decision", words(&decision))
                .block(outcome.block_number, office.is_final()))
        }
        Urgent::List => list(global).await,
    }
}

async fn vote(global: &Global, decision: UrgentDecision) -> Result<Report, Failure> {
    let office = global.office().await?;
    let outcome = office.act(calls::vote_urgent(decision.clone())).await?;
    let carried = ChainEvent::Other {
        name: "Consortium.UrgentlyDecided".to_owned(),
    };
    let done = outcome.events.contains(&carried);
    let (_, view) = office.view().await?;
    let threshold = decision.needs(decide::count(&view).await?);
    let report = Report::default()
        .line(format!("You vote to {}.", words(&decision)))
        .with("decision", words(&decision))
        .block(outcome.block_number, office.is_final())
        .with("threshold", threshold)
        .with("carried_out", done);
    if done {
        return Ok(report.line("Enough members do: it is carried out."));
    }
    let votes = votes(&view).await?;
    let ayes = votes.iter().filter(|(_, other, _)| *other == decision);
    let ayes = ayes.count();
    Ok(report
        .line(format!("{ayes} of {threshold} votes."))
        .with("ayes", ayes))
}

async fn list(global: &Global) -> Result<Report, Failure> {
    let chain = global.chain().await?;
    let (block, view) = global.view(&chain).await?;
    let mut report = Report::default();
    let mut list = Vec::new();
    for (member, decision, until) in votes(&view).await? {
        report = report.line(format!(
            "{member} votes to {}, until block {until}",
            words(&decision)
        ));
        list.push(json!({ "member": member, "decision": words(&decision), "until": until }));
    }
    if list.is_empty() {
        report = report.line("Nobody votes for an urgent decision.");
    }
    Ok(report
        .with("votes", list)
        .block(block.number, global.is_final()))
}

/// The votes that count: by whom, for what, until when.
async fn votes(view: &ChainView) -> Result<Vec<(String, UrgentDecision, u32)>, Failure> {
    let mut votes = Vec::new();
    for member in view.members().await? {
        for (decision, until) in view.urgent_votes(member).await? {
            votes.push((member.to_string(), decision, until));
        }
    }
    Ok(votes)
}

fn words(decision: &UrgentDecision) -> String {
    proposals::words(&decision.clone().into())
}
