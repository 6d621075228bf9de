// SPDX-License-Identifier: Apache-2.0

//! A relay of another study brings runs about a phone of this one that no phone makes. The chain refuses them, and they stay in its blocks
//! for ever. An audit of this study must be made, be right, and ask for no export of that relay.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use hashchain::Run;
use mhealth_chain_client::calls;
use mhealth_testing::audit;
use mhealth_testing::phone::{enrol, record};
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::topology::{PAPER_STUDY, SIGNED_STUDY, SPONSOR};

use super::super::arena::aside;
use super::super::rights::tried;
use super::small::SmallStudy;
use crate::attack::Attack;
use crate::play::Tried;

/// An audit of this small study takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Accounts of this row: the study's relay, and that of another study.
const RELAY: &str = "//Mallory//study";
const STRANGER: &str = "//Mallory//stranger";
/// The places that runs without entries name, by turns: one that no database has a number for, the phone's next, and one before all.
const PLACES: [u64; 3] = [1 << 63, 3, 0];

pub(super) async fn play(attempts: u32, folder: &Path) -> Result<Vec<Tried>> {
    let mut all = Vec::new();
    for (number, place) in (0..attempts).zip(PLACES.into_iter().cycle()) {
        all.push(attempt(number, place, folder).await?);
    }
    Ok(all)
}

async fn attempt(number: u32, first_sequence: u64, folder: &Path) -> Result<Tried> {
    let study = SmallStudy::of(RELAY).await?;
    let stranger = PlayedRelay::appoint(&study.chain, PAPER_STUDY, SPONSOR, STRANGER).await?;
    let mut phone = enrol(&study.office, SIGNED_STUDY, 1).await?;
    let relay = &study.relay;
    relay.relay(&record(&mut phone, 2, "a night")).await?;
    let run = Run {
        device: phone.device(),
        first_sequence,
        previous: phone.head(),
        entries: Vec::new(),
        signature: None,
    };
    let batch = calls::submit_batch(vec![run]);
    stranger.submitter.submit_and_wait(batch).await?;
    relay.relay(&record(&mut phone, 1, "a night")).await?;
    let file = |end: &str| folder.join(format!("strangers-{number}.{end}"));
    relay.export(&file("ndjson")).await?;
    let options = study.audit("study", file("ndjson"));
    let json = file("json");
    let watched = aside(move || audit::watch(audit::command(&options, &json)?, PATIENCE)).await?;
    let held = watched.status == Some(0);
    let about = format!("from place {first_sequence} on: {watched:?}");
    Ok(tried(Attack::StrangersRuns, held, None, about))
}
