// SPDX-License-Identifier: Apache-2.0

//! What the trial was for: a dataset of its nights, made by the holder of the participants' keys, checked, and drawn.

use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use mhealth_chain_client::ChainClient;
use mhealth_testing::export;
use mhealth_testing::output::value;
use mhealth_testing::process::Program;
use mhealth_testing::topology::Site;

use crate::attacks::STUDY;
use crate::report::ReportKey;

/// What came of it.
pub(crate) struct Made {
    /// For people.
    pub(crate) told: Vec<String>,
    /// Nights that count in it.
    pub(crate) nights: u64,
}

/// Makes a dataset of the audited trial, if the auditor signed the report with this key, and has it verified. None where no relay has
/// the data.
pub(crate) async fn make(
    site: &Site,
    chain: &ChainClient,
    key: &ReportKey,
    folder: &Path,
) -> Result<Option<Made>> {
    let relays = site.audit().relays;
    if relays.is_empty() {
        return Ok(None);
    }
    let genesis = format!("--genesis={:?}", chain.genesis_hash());
    let option = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
    let mut exports = Vec::new();
    for (name, url, credential) in relays {
        let file = folder.join(format!("{name}.ndjson"));
        export::save(&url, &credential, STUDY, &file).await?;
        exports.push(format!("--export={name}={}", file.display()));
    }
    // The relays that were played are relays, too.
    for name in ["hacked", "other"] {
        let file = folder.join(format!("{name}.ndjson"));
        exports.push(format!("--export={name}={}", file.display()));
    }
    let keys = option("keys", "keys");
    said(&["keys", "new", &keys, &genesis, &format!("--study={STUDY}")])?;
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|it| it == "participants") {
            let file = file.display().to_string();
            said(&["keys", "import", &keys, &file])?;
        }
    }
    let listed = said(&["keys", "list", &keys])?;
    let holder = value(&listed, "holder").context("the key folder has no holder")?;
    let (out, evidence) = (
        option("out", "dataset"),
        option("evidence", "study.evidence"),
    );
    let audit = option("audit", "audit.json");
    let signed_by = format!("--signed-by={}", key.public);
    let mut arguments = vec!["export", &keys, &audit, &signed_by];
    arguments.extend([&*evidence, &genesis, &out]);
    arguments.extend(exports.iter().map(String::as_str));
    let made = said(&arguments)?;
    let dataset = folder.join("dataset");
    let place = dataset.display().to_string();
    let holder = format!("--holder={holder}");
    let verified = said(&[
        "verify-dataset",
        &place,
        &evidence,
        &genesis,
        &holder,
        &audit,
    ])?;
    let nights = value(&made, "current").and_then(|nights| nights.parse().ok());
    Ok(Some(Made {
        told: vec![
            made,
            verified,
            format!("its picture: {}", dataset.join("nights.svg").display()),
        ],
        nights: nights.context("mhealth-data did not count the nights")?,
    }))
}

/// The last line that `mhealth-data` prints, if it succeeds.
fn said(arguments: &[&str]) -> Result<String> {
    let mut command: Command = Program::Data.command()?;
    let output = command.args(arguments).output();
    let output = output.context("cannot run mhealth-data")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.lines().next_back().unwrap_or_default().to_owned())
}
