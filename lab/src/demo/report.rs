// SPDX-License-Identifier: Apache-2.0

//! The audit's report, signed with the auditor's own key: whoever gets it later can tell that not a digit was changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure, Context, Result};
use mhealth_testing::output::value;
use mhealth_testing::process::Program;

use crate::attacks::STUDY;
use crate::evidence::said;

/// Exit status of a report that is not as it was signed.
const REFUSED: i32 = 1;

/// The auditor's own key.
pub(crate) struct ReportKey {
    pub(crate) file: PathBuf,
    /// Its public half.
    pub(crate) public: String,
}

impl ReportKey {
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let file = folder.join("report.key");
        let made = said(Program::Auditor.command()?.args(["key", "new"]).arg(&file))?;
        let public = value(&made, "report_key").context("mhealth-auditor made no key")?;
        Ok(ReportKey {
            public: public.to_owned(),
            file,
        })
    }
}

/// Has both reports checked, and the one for people with another digit in it, which has to be refused. What is said of each.
pub(crate) fn check(folder: &Path, key: &ReportKey, genesis: &str) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for name in ["audit.html", "audit.json"] {
        let checked = said(&mut verify(&folder.join(name), key, genesis)?)?;
        ensure!(checked.starts_with("verified=true "), "{name}: {checked}");
        told.push(format!("{name}: {checked}"));
    }
    let mut report = std::fs::read(folder.join("audit.html"))?;
    let digit = report.iter_mut().rfind(|byte| byte.is_ascii_digit());
    let digit = digit.context("the report has no digit")?;
    *digit = if *digit == b'7' { b'8' } else { b'7' };
    let changed = folder.join("audit-changed.html");
    std::fs::write(&changed, report)?;
    let output = verify(&changed, key, genesis)?
        .arg("--signature")
        .arg(folder.join("audit.html.sig"))
        .output()
        .context("cannot run mhealth-auditor")?;
    std::fs::remove_file(changed)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().next_back().unwrap_or_default();
    if (output.status.code(), last) != (Some(REFUSED), "verified=false error=report_changed") {
        bail!("a changed report passes: {}, {last}", output.status);
    }
    told.push(format!("audit.html with another digit: {last}"));
    Ok(told)
}

fn verify(report: &Path, key: &ReportKey, genesis: &str) -> Result<Command> {
    let mut command = Program::Auditor.command()?;
    command
        .arg("verify-report")
        .arg(report)
        .args(["--signed-by", &key.public, "--genesis", genesis])
        .arg(format!("--study={STUDY}"));
    Ok(command)
}
