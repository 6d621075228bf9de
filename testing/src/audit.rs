// SPDX-License-Identifier: Apache-2.0

//! Audits with the real `mhealth-auditor`, and what its JSON report says.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::Key;
use serde::Deserialize;

use crate::enrolment::development_auditor_digits;
use crate::process::Program;

/// What an audit is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Address of a node.
    pub node: String,
    /// The study.
    pub study: StudyId,
    /// Relays to read: name, base address, credential.
    pub relays: Vec<(String, String, String)>,
    /// Saved exports: name, file.
    pub exports: Vec<(String, PathBuf)>,
    /// For how many blocks a run may be on its way; the auditor's own number if it is not said.
    pub on_its_way: Option<u64>,
    /// Where to keep what was read of the chain.
    pub kept: Option<PathBuf>,
    /// Where the report for people goes.
    pub html: Option<PathBuf>,
    /// Who runs it, as the reports say.
    pub auditor: Option<String>,
}

/// A report of the schema `mhealth-audit/1`, as far as it is needed here.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// About what.
    pub audit: Heading,
    /// Every device of the study.
    pub devices: Vec<Device>,
    /// The sums.
    pub summary: Summary,
}

/// What the audit is about.
#[derive(Clone, Debug, Deserialize)]
pub struct Heading {
    /// The finalised block.
    pub block: u64,
}

/// A judged device.
#[derive(Clone, Debug, Deserialize)]
pub struct Device {
    /// Its number.
    pub device: DeviceId,
    /// What was found about it.
    pub findings: Vec<Finding>,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// Something that was found.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    /// On what ground.
    pub ground: String,
    /// Who may be at fault.
    pub parties: Vec<Party>,
    /// Which entries it concerns.
    pub sequences: Vec<(u64, u64)>,
}

/// A judged entry.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Its place.
    pub sequence: u64,
    /// Its link.
    pub link: LinkHash,
    /// Whether it stands on the chain.
    pub registered: bool,
    /// What the audit says of it.
    pub verdict: String,
    /// On what grounds.
    #[serde(default)]
    pub grounds: Vec<String>,
    /// Who may be at fault.
    #[serde(default)]
    pub parties: Vec<Party>,
    /// The account that brought it to the chain.
    #[serde(default)]
    pub submitter: Option<Key>,
}

/// A party that an audit names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Party {
    /// Its kind.
    pub party: String,
    /// The account of a relay.
    #[serde(default)]
    pub account: Option<Key>,
    /// The name of an export.
    #[serde(default)]
    pub name: Option<String>,
}

/// The sums of a report.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// Number of registered entries.
    pub registered: u64,
    /// `right`, `wrong` or `not_covered`.
    #[serde(default)]
    pub outcome: String,
}

impl Report {
    /// A device of the report.
    pub fn device(&self, device: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|judged| judged.device == device)
    }

    /// Every entry that is not called valid, or about which something was found, and every finding about a device as a
    /// whole. Of a study in which everybody is honest there is none.
    pub fn alarms(&self) -> Vec<String> {
        self.devices.iter().flat_map(Device::alarms).collect()
    }
}

impl Device {
    /// What the audit says of an entry.
    pub fn entry(&self, sequence: u64, link: LinkHash) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.sequence == sequence && entry.link == link)
    }

    /// The registered entry at this place.
    pub fn registered(&self, sequence: u64) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.sequence == sequence && entry.registered)
    }

    /// What was found about an entry.
    pub fn found(&self, sequence: u64) -> impl Iterator<Item = &Finding> {
        let concerns = move |finding: &&Finding| {
            let mut ranges = finding.sequences.iter();
            ranges.any(|(first, last)| (*first..=*last).contains(&sequence))
        };
        self.findings.iter().filter(concerns)
    }

    fn alarms(&self) -> Vec<String> {
        let wrong = |entry: &&Entry| {
            entry.verdict != "valid"
                || !entry.grounds.is_empty()
                || self.found(entry.sequence).next().is_some()
        };
        let entries = self.entries.iter().filter(wrong).map(|entry| {
            let (sequence, verdict, grounds) = (entry.sequence, &entry.verdict, &entry.grounds);
            format!(
                "device {} entry {sequence}: {verdict} {grounds:?}",
                self.device
            )
        });
        let findings = self.findings.iter();
        let of_device = findings.filter(|finding| finding.sequences.is_empty());
        entries
            .chain(of_device.map(|finding| format!("device {}: {}", self.device, finding.ground)))
            .collect()
    }
}

/// Runs an audit, which writes its JSON report into this file, and reads it.
pub fn run(options: &Options, json: &Path) -> Result<Report> {
    let mut command = Program::Auditor.command()?;
    command
        .args(["audit", "--node", &options.node])
        .arg(format!("--study={}", options.study))
        // Many of these chains make blocks on demand, and have no finality that could be proved.
        .arg("--trust-node")
        .arg("--json")
        .arg(json)
        .env("MHEALTH_AUDITOR_KEY", development_auditor_digits());
    for (name, url, credential) in &options.relays {
        let variable = format!("MHEALTH_RELAY_CREDENTIAL_{}", name.to_uppercase());
        command
            .arg(format!("--relay={name}={url}"))
            .env(variable, credential);
    }
    for (name, file) in &options.exports {
        command.arg(format!("--export={name}={}", file.display()));
    }
    if let Some(blocks) = options.on_its_way {
        command.arg(format!("--on-its-way={blocks}"));
    }
    for (option, path) in [("--keep", &options.kept), ("--html", &options.html)] {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    if let Some(auditor) = &options.auditor {
        command.args(["--auditor", auditor]);
    }
    let output = command.output().context("cannot run mhealth-auditor")?;
    if !matches!(output.status.code(), Some(0..=2)) {
        bail!(
            "mhealth-auditor: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = std::fs::read(json)?;
    serde_json::from_slice(&text).context("the auditor's report has another form")
}
