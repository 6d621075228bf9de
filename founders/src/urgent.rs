// SPDX-License-Identifier: Apache-2.0

//! What cannot wait for a motion: each member says what it wants, and the last vote that it takes carries it out.

use std::path::PathBuf;

use clap::Subcommand;
use mhealth_chain_client::{calls, ChainEvent, ChainView, UrgentDecision, H256};
use serde_json::json;

use crate::accounts::Named;
use crate::decide;
use crate::failure::Failure;
use crate::proposals;
use crate::report::Report;
use crate::session::Global;

/// Decisions within hours.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Urgent {
    /// Votes for a decision. The vote counts for six hours; the last of those that it takes carries it out.
    #[command(subcommand)]
    Vote(Decision),
    /// Takes a vote back.
    #[command(subcommand)]
    Withdraw(Decision),
    /// Lists what members vote for.
    List,
}

/// What can be decided so.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Decision {
    /// A member goes. Two thirds of the members.
    RemoveMember {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        member: Named,
    },
    /// Another account takes a member's place. Two thirds of the members.
    ReplaceMember {
        /// The member that goes.
        #[arg(value_name = "ACCOUNT")]
        member: Named,
        /// The account that comes.
        #[arg(value_name = "SUCCESSOR")]
        successor: Named,
    },
    /// A validator goes, within ten minutes. Two thirds of the members.
    RemoveValidator {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        validator: Named,
    },
    /// New rules of the chain are authorised. Two thirds of the members.
    Upgrade {
        /// The new runtime, as the release has it.
        #[arg(value_name = "FILE")]
        code: PathBuf,
    },
    /// An open motion is closed without effect. More than half of the members.
    CancelMotion {
        /// Hash of the motion.
        #[arg(value_name = "HASH")]
        motion: H256,
    },
}

impl Decision {
    fn decision(self) -> Result<UrgentDecision, Failure> {
        Ok(match self {
            Decision::RemoveMember { member } => UrgentDecision::RemoveMember {
                member: member.id()?,
            },
            Decision::ReplaceMember { member, successor } => UrgentDecision::ReplaceMember {
                member: member.id()?,
                successor: successor.id()?,
            },
            Decision::RemoveValidator { validator } => UrgentDecision::RemoveValidator {
                validator: validator.id()?,
            },
            Decision::Upgrade { code } => UrgentDecision::AuthorizeUpgrade {
                code_hash: proposals::code_hash(&code)?,
            },
            Decision::CancelMotion { motion } => UrgentDecision::CancelMotion { motion },
        })
    }
}

pub(crate) async fn run(global: &Global, urgent: Urgent) -> Result<Report, Failure> {
    match urgent {
        Urgent::Vote(decision) => vote(global, decision.decision()?).await,
        Urgent::Withdraw(decision) => {
            let decision = decision.decision()?;
            let office = global.office().await?;
            let call = calls::withdraw_urgent_vote(decision.clone());
            let outcome = office.act(call).await?;
            Ok(Report::default()
                .line(format!("You do not vote any more to {}.", words(&decision)))
                .with("decision", words(&decision))
                .with("block", outcome.block_number))
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
        .with("block", outcome.block_number)
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
    Ok(report.with("votes", list).with("block", block.number))
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
    match decision {
        UrgentDecision::RemoveMember { member } => format!("remove the member {member}"),
        UrgentDecision::ReplaceMember { member, successor } => {
            format!("put {successor} in the place of the member {member}")
        }
        UrgentDecision::RemoveValidator { validator } => {
            format!("remove the validator {validator}")
        }
        UrgentDecision::AuthorizeUpgrade { code_hash } => {
            format!("authorise new rules, with code of the hash {code_hash:#x}")
        }
        UrgentDecision::CancelMotion { motion } => format!("cancel the motion {motion:#x}"),
    }
}
