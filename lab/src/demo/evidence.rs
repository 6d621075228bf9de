// SPDX-License-Identifier: Apache-2.0

//! Evidence of the trial, for somebody who trusts nobody: written with the chain at hand, checked with nothing but the file.

use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use mhealth_chain_client::ChainClient;
use mhealth_testing::process::Program;
use mhealth_testing::topology::Site;

use crate::attacks::STUDY;

/// Enters a network that has nothing in it, not even this machine.
const NO_NETWORK: [&str; 4] = ["unshare", "--user", "--map-root-user", "--net"];

/// Writes evidence of the whole study and has it verified without a network and without environment. Returns what is said of
/// it, for people.
pub(crate) fn prove_and_verify(site: &Site, chain: &ChainClient, output: &Path) -> Result<String> {
    let genesis = format!("{:?}", chain.genesis_hash());
    let file = output.join("study.evidence");
    let mut prove = Program::Auditor.command()?;
    prove
        .args(["prove", "--node", &site.node().url(), "--genesis", &genesis])
        .arg(format!("--study={STUDY}"))
        .arg("--out")
        .arg(&file);
    let proved = said(&mut prove)?;

    let isolated = isolation_is_possible();
    let auditor = Program::Auditor.binary()?;
    let mut verify = match isolated {
        true => {
            let mut command = Command::new(NO_NETWORK[0]);
            command.args(&NO_NETWORK[1..]).arg(auditor);
            command
        }
        false => Command::new(auditor),
    };
    verify
        .env_clear()
        .arg("verify")
        .arg(&file)
        .args(["--genesis", &genesis]);
    if let Some(path) = std::env::var_os("PATH") {
        verify.env("PATH", path);
    }
    let verified = said(&mut verify)?;
    let how = match isolated {
        true => "without a network",
        false => "here, because this machine allows no isolation",
    };
    Ok(format!("{proved}\n  {how}: {verified}"))
}

fn isolation_is_possible() -> bool {
    let tried = Command::new(NO_NETWORK[0])
        .args(&NO_NETWORK[1..])
        .arg("true")
        .output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// The last line that the auditor's program prints, if it succeeds.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot run mhealth-auditor")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.lines().next_back().unwrap_or_default().to_owned())
}
