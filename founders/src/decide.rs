// SPDX-License-Identifier: Apache-2.0

//! Motions of the council: proposed, voted on, closed, looked at.

use hashchain::StudyId;
use mhealth_chain_client::{calls, ChainEvent, ChainView, Inclusion, Motion, H256};
use serde_json::{json, Value};

use crate::failure::Failure;
use crate::proposals::{self, Decision};
use crate::report::Report;
use crate::session::{Global, Office};

/// Which motion: its number or its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Index(u32),
    Hash(H256),
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().map(Named::Index);
        number
            .or_else(|_| text.parse().map(Named::Hash))
            .map_err(|_| "neither the number of a motion nor its hash".to_owned())
    }
}

impl Named {
    async fn find(self, view: &ChainView) -> Result<Motion, Failure> {
        let mut motions = view.motions().await?.into_iter();
        let wanted = |motion: &Motion| match self {
            Named::Index(index) => motion.index == index,
            Named::Hash(hash) => motion.hash == hash,
        };
        motions.find(wanted).ok_or_else(|| {
            let message =
                "There is no such open motion; mhealth motions lists those that are open.";
            Failure::wrong("no_such_motion", message)
        })
    }
}

/// How a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ballot {
    /// For it.
    Aye,
    /// Against it.
    Nay,
}

/// Proposes what was decided on the command line.
pub(crate) async fn propose(
    global: &Global,
    decision: Decision,
    vote: bool,
) -> Result<Report, Failure> {
    let office = global.office().await?;
    let (_, view) = office.view().await?;
    let proposal = decision.proposal(&view).await?;
    let members = count(&view).await?;
    let threshold = proposal.needs(members);
    let call = calls::propose(threshold, &proposal);
    let outcome = office.act(call).await?;
    let report = Report::default()
        .with("proposal", proposals::json(&proposal))
        .block(outcome.block_number, office.is_final());
    let proposed = outcome.events.iter().find_map(|event| match event {
        ChainEvent::MotionProposed { motion, index, .. } => Some((*motion, *index)),
        _ => None,
    });
    let Some((motion, index)) = proposed else {
        // One member is enough, so it was done at once.
        return carried_out(report, &outcome);
    };
    let mut ayes = 0;
    if vote {
        let outcome = office.act(calls::vote(motion, index, true)).await?;
        ayes = tally(&outcome, motion).0;
    }
    Ok(report
        .line(format!("Motion {index}: {}", proposals::words(&proposal)))
        .line(format!(
            "{ayes} of {threshold} votes. The others vote by: mhealth vote {motion:#x} aye"
        ))
        .with("motion", format!("{motion:#x}"))
        .with("index", index)
        .with("ayes", ayes)
        .with("threshold", threshold)
        .with("carried_out", false))
}

/// Votes on a motion.
pub(crate) async fn vote(
    global: &Global,
    motion: Named,
    ballot: Ballot,
    close_it: bool,
) -> Result<Report, Failure> {
    let office = global.office().await?;
    let (_, view) = office.view().await?;
    let motion = motion.find(&view).await?;
    let call = calls::vote(motion.hash, motion.index, ballot == Ballot::Aye);
    let outcome = office.act(call).await?;
    let (ayes, nays) = tally(&outcome, motion.hash);
    let members = count(&view).await?;
    let decided = ayes >= motion.threshold || members.saturating_sub(nays) < motion.threshold;
    let report = described(Report::default(), &motion)
        .line(format!(
            "{ayes} of {} votes, {nays} against.",
            motion.threshold
        ))
        .with("ayes", ayes)
        .with("nays", nays)
        .with("decided", decided);
    if decided && close_it {
        return close_motion(report, &office, &motion).await;
    }
    let report = report.block(outcome.block_number, office.is_final());
    match decided {
        true => Ok(report.line(format!(
            "It is decided. Any member carries it out by: mhealth close {:#x}",
            motion.hash
        ))),
        false => Ok(report),
    }
}

/// Closes a motion.
pub(crate) async fn close(global: &Global, motion: Named) -> Result<Report, Failure> {
    let office = global.office().await?;
    let (_, view) = office.view().await?;
    let motion = motion.find(&view).await?;
    let report = described(Report::default(), &motion);
    close_motion(report, &office, &motion).await
}

async fn close_motion(report: Report, office: &Office, motion: &Motion) -> Result<Report, Failure> {
    let outcome = office.act(calls::close(motion)).await?;
    carried_out(
        report.block(outcome.block_number, office.is_final()),
        &outcome,
    )
}

/// What became of a motion that was closed.
fn carried_out(report: Report, outcome: &Inclusion) -> Result<Report, Failure> {
    let mut report = report;
    let mut done = false;
    for event in &outcome.events {
        match event {
            ChainEvent::MotionExecuted { result, .. } => {
                result.clone()?;
                done = true;
            }
            ChainEvent::StudyCreated { study, .. } => {
                report = created(report, *study);
            }
            _ => {}
        }
    }
    let word = match done {
        true => "Approved and carried out.",
        false => "Rejected and closed.",
    };
    Ok(report.line(word).with("carried_out", done))
}

fn created(report: Report, study: StudyId) -> Report {
    report
        .line(format!("The study has the number {study}."))
        .with("study", study.0)
}

/// Lists the open motions.
pub(crate) async fn motions(global: &Global) -> Result<Report, Failure> {
    let chain = global.chain().await?;
    let (block, view) = global.view(&chain).await?;
    let mut report = Report::default();
    let mut list = Vec::new();
    for motion in view.motions().await? {
        report = report
            .line(format!("Motion {} ({:#x})", motion.index, motion.hash))
            .line(format!("  {}", in_words(&motion)))
            .line(format!(
                "  {} of {} votes, {} against; open until block {} (now {})",
                motion.ayes.len(),
                motion.threshold,
                motion.nays.len(),
                motion.end,
                block.number
            ));
        list.push(motion_json(&motion));
    }
    if list.is_empty() {
        report = report.line("No motion is open.");
    }
    Ok(report
        .with("motions", list)
        .block(block.number, global.is_final()))
}

fn described(report: Report, motion: &Motion) -> Report {
    report
        .line(format!("Motion {}: {}", motion.index, in_words(motion)))
        .with("motion", format!("{:#x}", motion.hash))
        .with("index", motion.index)
        .with("threshold", motion.threshold)
        .with("proposal", proposal_json(motion))
}

/// What a motion proposes; in the words of the metadata where this program has none.
fn in_words(motion: &Motion) -> String {
    let proposal = motion.proposal.as_ref();
    proposal.map_or_else(|| motion.call.clone(), proposals::words)
}

fn proposal_json(motion: &Motion) -> Value {
    let other = || json!({ "decision": "other", "call": motion.call });
    motion.proposal.as_ref().map_or_else(other, proposals::json)
}

fn motion_json(motion: &Motion) -> Value {
    let accounts = |accounts: &[mhealth_chain_client::AccountId32]| -> Vec<String> {
        accounts.iter().map(ToString::to_string).collect()
    };
    json!({
        "motion": format!("{:#x}", motion.hash),
        "index": motion.index,
        "proposal": proposal_json(motion),
        "threshold": motion.threshold,
        "ayes": accounts(&motion.ayes),
        "nays": accounts(&motion.nays),
        "end": motion.end,
    })
}

/// The votes after a vote.
fn tally(outcome: &Inclusion, voted: H256) -> (u32, u32) {
    let votes = outcome.events.iter().find_map(|event| match event {
        ChainEvent::MotionVoted { motion, ayes, nays } if *motion == voted => Some((*ayes, *nays)),
        _ => None,
    });
    votes.unwrap_or_default()
}

/// How many members there are.
pub(crate) async fn count(view: &ChainView) -> Result<u32, Failure> {
    let members = view.members().await?;
    Ok(u32::try_from(members.len()).expect("there are at most 64 members; qed"))
}

/// Puts code in force that the consortium has authorised.
pub(crate) async fn upgrade(global: &Global, file: &std::path::Path) -> Result<Report, Failure> {
    let code = proposals::code(file)?;
    let hash = proposals::code_hash(file)?;
    let office = global.office().await?;
    let outcome = office.act(calls::apply_authorized_upgrade(code)).await?;
    // The call succeeds also when the code is not taken, and the authorisation is used up then.
    let taken = ChainEvent::Other {
        name: "System.CodeUpdated".to_owned(),
    };
    if !outcome.events.contains(&taken) {
        let message = "The chain did not take it: its version is not higher than the present one, or its name is another. The decision is used up.";
        return Err(Failure::wrong("upgrade_rejected", message));
    }
    Ok(Report::default()
        .line(format!(
            "The rules with the code {hash:#x} are in force from the next block on."
        ))
        .with("code_hash", format!("{hash:#x}"))
        .block(outcome.block_number, office.is_final()))
}

#[cfg(test)]
mod tests {
    use mhealth_chain_client::Proposal;

    use super::*;

    #[test]
    fn a_motion_is_named_by_number_or_hash() {
        assert_eq!("7".parse(), Ok(Named::Index(7)));
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(hash.parse(), Ok(Named::Hash(H256([0xab; 32]))));
        assert!("seven".parse::<Named>().is_err());
    }

    #[test]
    fn every_proposal_has_words_and_a_name_of_its_own() {
        let motion = H256([1; 32]);
        let proposals = [
            Proposal::CancelMotion { motion },
            Proposal::AuthorizeUpgrade { code_hash: motion },
            Proposal::NoteStalled { last_final: 7 },
        ];
        for proposal in proposals {
            let name = proposals::json(&proposal)["decision"].clone();
            assert!(name.is_string(), "{name}");
            assert!(proposals::words(&proposal).len() > 10);
        }
    }
}
