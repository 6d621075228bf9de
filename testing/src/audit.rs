// SPDX-License-Identifier: Apache-2.0

//! Audits with the real `mhealth-auditor`, and what its JSON report says.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::Key;
use serde::Deserialize;

use crate::enrolment::development_auditor_digits;
use crate::process::{self, Program};

/// Between two looks at a program's memory.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes of what a program said that are kept.
const SHOWN: usize = 2_000;

/// What an audit is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Address of a node.
    pub node: String,
    /// The study.
    pub study: StudyId,
    /// Hash of the chain's first block, if the audit is to insist on it.
    pub genesis: Option<String>,
    /// Relays to read: name, base address, credential.
    pub relays: Vec<(String, String, String)>,
    /// Saved exports: name, file.
    pub exports: Vec<(String, PathBuf)>,
    /// What stopped phones still hold: name, file.
    pub phones: Vec<(String, PathBuf)>,
    /// For how many blocks a run may be on its way; the auditor's own number if it is not said.
    pub on_its_way: Option<u64>,
    /// For how many seconds an export is read at most; the auditor's own number if it is not said.
    pub export_seconds: Option<u64>,
    /// File with the participants' keys, from whoever holds the private ones.
    pub participants: Option<PathBuf>,
    /// File with the orders to erase that the study has on file.
    pub erasures: Option<PathBuf>,
    /// Where to keep what was read of the chain.
    pub kept: Option<PathBuf>,
    /// Where the report for people goes.
    pub html: Option<PathBuf>,
    /// Who runs it, as the reports say.
    pub auditor: Option<String>,
    /// File with the report key that signs the reports. Whoever signs is named.
    pub sign_with: Option<PathBuf>,
    /// Takes the node's word for what it does not prove: chains that make blocks on demand have no finality.
    pub trust_node: bool,
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
    /// What was not looked at.
    #[serde(default)]
    pub uncovered: Vec<Uncovered>,
    /// The account that brought it to the chain.
    #[serde(default)]
    pub submitter: Option<Key>,
    /// Names of the exports that hold it unaltered, sorted.
    #[serde(default)]
    pub held_by: Vec<String>,
}

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Uncovered {
    /// The reason's word.
    pub reason: String,
    /// The account of the relay whose export is lacking.
    #[serde(default)]
    pub account: Option<Key>,
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
    let output = command(options, json)?.output();
    let output = output.context("cannot run mhealth-auditor")?;
    if !matches!(output.status.code(), Some(0..=2)) {
        bail!(
            "mhealth-auditor: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    read(json)
}

/// What becomes of an audit, or of another call of the auditor's program, that something hostile is given to.
#[derive(Debug)]
pub struct Watched {
    /// Its exit status; none when it was ended by a signal, or did not end within the patience.
    pub status: Option<i32>,
    /// What it said last.
    pub said: String,
    /// How long it took.
    pub took: Duration,
    /// Most memory that it had, in MiB.
    pub memory: u64,
}

/// Runs the auditor's program, and watches its time and memory. Ends it after this time.
pub fn watch(mut command: Command, patience: Duration) -> Result<Watched> {
    let began = Instant::now();
    let mut out = tempfile::tempfile()?;
    let mut child = command
        .stdout(out.try_clone()?)
        .stderr(out.try_clone()?)
        .spawn()
        .context("cannot run mhealth-auditor")?;
    let mut memory = 0;
    let status = loop {
        memory = memory.max(process::peak_memory(child.id()).unwrap_or_default());
        match child.try_wait()? {
            Some(status) => break status.code(),
            None if began.elapsed() > patience => {
                process::kill(&mut child)?;
                break None;
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let took = began.elapsed();
    out.rewind()?;
    let mut said = Vec::new();
    // The end of it is enough.
    out.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    let from = said.len().saturating_sub(SHOWN);
    let from = (from..).find(|place| said.is_char_boundary(*place));
    Ok(Watched {
        status,
        said: said[from.unwrap_or_default()..].to_owned(),
        took,
        memory,
    })
}

/// Reads a report that an audit has written.
pub fn read(json: &Path) -> Result<Report> {
    let text = std::fs::read(json)?;
    serde_json::from_slice(&text).context("the auditor's report has another form")
}

/// The call of the auditor's program.
pub fn command(options: &Options, json: &Path) -> Result<Command> {
    let mut command = Program::Auditor.command()?;
    command
        .args(["audit", "--node", &options.node])
        .arg(format!("--study={}", options.study))
        .arg("--json")
        .arg(json)
        .env("MHEALTH_AUDITOR_KEY", development_auditor_digits());
    if options.trust_node {
        command.arg("--trust-node");
    }
    if let Some(genesis) = &options.genesis {
        command.args(["--genesis", genesis]);
    }
    for (name, url, credential) in &options.relays {
        let variable = format!(
            "MHEALTH_RELAY_CREDENTIAL_{}",
            name.to_uppercase().replace('-', "_")
        );
        command
            .arg(format!("--relay={name}={url}"))
            .env(variable, credential);
    }
    for (name, file) in &options.exports {
        command.arg(format!("--export={name}={}", file.display()));
    }
    for (name, file) in &options.phones {
        command.arg(format!("--phone={name}={}", file.display()));
    }
    if let Some(seconds) = options.export_seconds {
        command.arg(format!("--export-seconds={seconds}"));
    }
    if let Some(blocks) = options.on_its_way {
        command.arg(format!("--on-its-way={blocks}"));
    }
    let paths = [
        ("--participants", &options.participants),
        ("--erasures", &options.erasures),
        ("--keep", &options.kept),
        ("--html", &options.html),
        ("--sign-with", &options.sign_with),
    ];
    for (option, path) in paths {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    if let Some(auditor) = &options.auditor {
        command.args(["--auditor", auditor]);
    }
    Ok(command)
}
