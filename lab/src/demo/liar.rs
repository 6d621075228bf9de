// SPDX-License-Identifier: Apache-2.0

//! A relay that says "finalised" and throws everything away, and a phone that asks for the proof.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::http::Method;
use axum::response::IntoResponse;
use mhealth_api::{BlockRef, Hash, RunState, RunStatus, RunUpload};
use mhealth_chain_client::ChainClient;
use mhealth_testing::front::{conduct, Conduct, Front, Told};
use mhealth_testing::output::value;
use mhealth_testing::phone;
use mhealth_testing::topology::{Cohort, Site};

/// The phone's nights.
const NIGHTS: &str = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n7001,2026-04-01,1,411,440\n7001,2026-04-02,1,388,420\n7001,2026-04-03,1,402,431\n";
/// How many.
const ENTRIES: u64 = 3;
/// How long the phone is patient with the lying relay, in seconds.
const PATIENCE: u32 = 6;

/// How it went.
pub(crate) struct Caught {
    /// Runs that the relay called final, and threw away.
    lied_about: usize,
    /// What the phone said of it.
    said: String,
    /// Entries that the phone still had afterwards.
    kept: u64,
    /// Entries of the phone that are final in the end.
    pub(crate) arrived: u64,
    /// Whether the phone believed nothing, lost nothing, and brought everything to the chain.
    pub(crate) held: bool,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.held {
            "caught"
        } else {
            "NOT AS EXPECTED"
        };
        write!(
            f,
            "{verdict}: a hacked relay said of {} runs that they are final, and threw them away. The phone got no proof of it: {} \
             It kept all {} entries, sent them through another relay, and {} are final.",
            self.lied_about, self.said, self.kept, self.arrived
        )
    }
}

/// A new phone meets the liar first, and then an honest relay.
pub(crate) async fn meet(
    site: &Site,
    chain: &ChainClient,
    folder: &Path,
) -> Result<Option<Caught>> {
    let relays = site.relay_urls();
    let Some(honest) = relays.last() else {
        return Ok(None);
    };
    let front = Front::open().await?;
    front.stand_before(&relays[0]);
    let lies = Lies::default();
    front.play(liar(chain.clone(), lies.clone()));
    let csv = folder.join("lied-to.csv");
    std::fs::write(&csv, NIGHTS)?;
    let cohorts = site.cohorts();
    let cohort = cohorts.first().context("phones go no way")?;
    let lied_to = session(&cohort.through("lied-to", &[front.url()]), &csv, folder).await?;
    let before = standing(&cohort.through("lied-to", &[]), folder).await?;
    session(
        &cohort.through("lied-to", std::slice::from_ref(honest)),
        &csv,
        folder,
    )
    .await?;
    let after = standing(&cohort.through("lied-to", &[]), folder).await?;
    let device = value(&after, "device").and_then(|device| device.parse().ok());
    let head = match device {
        Some(device) => chain.head(device).await?,
        None => None,
    };
    let number = |status: &str, key: &str| value(status, key).and_then(|it| it.parse().ok());
    let kept = number(&before, "queued").unwrap_or_default();
    let arrived = head.as_ref().map_or(0, |head| head.length);
    let same = head.is_some_and(|head| value(&after, "head") == Some(&head.hash.to_string()));
    let lied_about = lies.lock().unwrap_or_else(PoisonError::into_inner).len();
    Ok(Some(Caught {
        lied_about,
        said: lied_to,
        kept,
        arrived,
        held: lied_about > 0 && kept == ENTRIES && arrived == ENTRIES && same,
    }))
}

/// Runs that were thrown away, as the relay talks of them.
type Lies = Arc<Mutex<HashMap<Hash, RunStatus>>>;

fn liar(chain: ChainClient, lies: Lies) -> Conduct {
    conduct(move |asked, behind| {
        let (chain, lies) = (chain.clone(), lies.clone());
        async move {
            let kept = |run: &str| {
                let lies = lies.lock().unwrap_or_else(PoisonError::into_inner);
                lies.get(&run.parse().ok()?).cloned()
            };
            if let Some(status) = asked.after("/v1/runs/").and_then(kept) {
                return Ok(Told::message_of(200, &status)?.into_response());
            }
            if !asked.is(Method::POST, "/v1/runs") {
                return Ok(behind.pass(&asked).await?.into_response());
            }
            let run: RunUpload = asked.message()?;
            let block = chain.finalised().await?;
            let status = RunStatus {
                block: Some(BlockRef {
                    number: block.number,
                    hash: Hash(block.hash.0),
                }),
                extrinsic_index: Some(1),
                ..phone::status(&run, RunState::Finalised)
            };
            let answer = Told::message_of(200, &status)?;
            let mut lies = lies.lock().unwrap_or_else(PoisonError::into_inner);
            lies.insert(status.run, status);
            Ok(answer.into_response())
        }
    })
}

/// Has the phone send what it has. What it says last, unless all went well.
async fn session(cohort: &Cohort, csv: &Path, folder: &Path) -> Result<String> {
    let mut command = cohort.device("simulate", folder)?;
    command
        .arg("--csv")
        .arg(csv)
        .arg(format!("--patience={PATIENCE}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.context("cannot run mhealth-device")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let error = said.lines().rev().find(|line| line.starts_with("error["));
    Ok(error.unwrap_or_default().to_owned())
}

/// The phone's line of `mhealth-device status`.
async fn standing(cohort: &Cohort, folder: &Path) -> Result<String> {
    let state = cohort.state(folder);
    let mut command = mhealth_testing::process::Program::Device.command()?;
    command.arg("status").arg("--state").arg(state);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.contains(" key="));
    Ok(line.unwrap_or_default().to_owned())
}
