// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data export`, `my-data` and `verify-dataset`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use hashchain::DeviceId;
use indicatif::{ProgressBar, ProgressStyle};
use mhealth_api::{Hash, Key};
use mhealth_auditor::evidence::Checkpoint;
use mhealth_dataset::keys::{KeyFolder, Lock};
use mhealth_dataset::manifest::Manifest;
use mhealth_dataset::registry::Sources;
use mhealth_dataset::{export, verify, DataError, Format, Job, NamedFile, Progress, Trusted};

use super::erase::list;
use super::{leave_nothing_when_told_to_end, now};

/// Evidence, and what its reader trusts.
#[derive(Args)]
pub(super) struct Evidence {
    /// Evidence of the study, as `mhealth-auditor prove` writes it; several times if it is in parts.
    #[arg(long, required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    evidence: Vec<PathBuf>,
    /// Genesis hash of the chain, from a source that you trust.
    #[arg(long, value_name = "HASH")]
    genesis: Hash,
    /// A block of the chain, from a source that you trust; may be given several times.
    #[arg(long, value_name = "HASH@NUMBER")]
    checkpoint: Vec<Checkpoint>,
}

/// What data are made from.
#[derive(Args)]
pub(super) struct Material {
    /// The key folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The audit's JSON report.
    #[arg(long, value_name = "FILE")]
    audit: PathBuf,
    /// Public half of a report key of the auditor's; may be given several times. The report has to be signed with one of them.
    #[arg(long, value_name = "KEY")]
    signed_by: Vec<Key>,
    /// A relay's export, as it was given to the audit; may be given several times.
    #[arg(long, required = true, value_name = "NAME=FILE")]
    export: Vec<String>,
    #[command(flatten)]
    evidence: Evidence,
    /// The new folder.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Makes a dataset: every valid night in a row, with its place on the chain and the bounds of its time; signed.
#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    material: Material,
    /// A format; may be given several times. All of them if it is not said.
    #[arg(long, value_name = "csv|parquet|open-mhealth|fhir|cdisc|redcap")]
    format: Vec<Format>,
    /// Takes entries that are not valid, too; each says what the audit says of it.
    #[arg(long)]
    include_flagged: bool,
    /// Goes on where the folder has no key for a device: its rows have no values and say so.
    #[arg(long)]
    allow_missing_keys: bool,
}

/// Makes a participant's own package: what was registered in this person's name, when, and who brought it.
#[derive(Args)]
pub(super) struct MyData {
    /// The participant: the pseudonym, the public key of the enrolment code, or the digest of it that the chain has.
    participant: String,
    /// A device of the participant's that seals its data to nobody. May be given several times; others are found by the key.
    #[arg(long, value_name = "NUMBER")]
    device: Vec<DeviceId>,
    #[command(flatten)]
    material: Material,
}

/// Checks a dataset offline: its signature, every file, and every row's place on the chain.
#[derive(Args)]
pub(super) struct VerifyDataset {
    /// The dataset's folder.
    dataset: PathBuf,
    #[command(flatten)]
    evidence: Evidence,
    /// The holder's public key, from a source that you trust. `mhealth-data keys list` shows it to the holder.
    #[arg(long, value_name = "KEY")]
    holder: Key,
    /// The audit's JSON report, from the auditor: every row has to say what it says, and no entry that it calls valid may be left out.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

impl From<Evidence> for Sources {
    fn from(evidence: Evidence) -> Self {
        Sources {
            files: evidence.evidence,
            genesis: evidence.genesis,
            checkpoints: evidence.checkpoint,
        }
    }
}

impl Material {
    fn job(self) -> Result<(Job, PathBuf), DataError> {
        let job = Job {
            audit: self.audit,
            signed_by: self.signed_by,
            exports: NamedFile::from_arguments(&self.export)?,
            evidence: self.evidence.into(),
            out: self.out,
            formats: Format::ALL.to_vec(),
            include_flagged: false,
            allow_missing_keys: false,
            participant: None,
            devices: Vec::new(),
            made_at: now(),
        };
        Ok((job, self.keys))
    }
}

pub(super) fn run(arguments: Export) -> Result<(), DataError> {
    let (mut job, keys) = arguments.material.job()?;
    if !arguments.format.is_empty() {
        job.formats = arguments.format;
    }
    job.include_flagged = arguments.include_flagged;
    job.allow_missing_keys = arguments.allow_missing_keys;
    let manifest = make(&job, &keys)?;
    tell(&manifest);
    println!(
        "done=true dataset={} {}",
        job.out.display(),
        figures(&manifest)
    );
    Ok(())
}

pub(super) fn my_data(arguments: MyData) -> Result<(), DataError> {
    let (mut job, keys) = arguments.material.job()?;
    job.formats = vec![Format::Csv, Format::OpenMhealth];
    // The person may see all that is there in this person's name, whatever the audit says of it.
    job.include_flagged = true;
    job.participant = Some(arguments.participant);
    job.devices = arguments.device;
    let manifest = make(&job, &keys)?;
    tell(&manifest);
    println!("For the person: {}", job.out.join("my-data.html").display());
    println!(
        "done=true package={} {}",
        job.out.display(),
        figures(&manifest)
    );
    Ok(())
}

fn make(job: &Job, keys: &Path) -> Result<Manifest, DataError> {
    let _lock = Lock::shared(keys)?;
    let mut folder = KeyFolder::open(keys)?;
    leave_nothing_when_told_to_end()?;
    let bar = Bar::new();
    let manifest = export(job, &mut folder, &mut |at| bar.show(at))?;
    drop(bar);
    for (device, participant) in folder.forgotten() {
        println!(
            "Device {device} seals to the key of {participant}, which is destroyed, and is in no order to erase: \
             `mhealth-data erase {participant}` makes one."
        );
    }
    Ok(manifest)
}

fn tell(manifest: &Manifest) {
    for (verdict, count) in &manifest.left_out {
        println!("{count:>10}  left out: {verdict}");
    }
    for (problem, count) in &manifest.problems {
        println!("{count:>10}  rows without values, or that do not count: {problem}");
    }
    for (media_type, count) in &manifest.unknown_media_types {
        println!("{count:>10}  payloads of an unknown type, kept in other.ndjson: {media_type}");
    }
    if manifest.records_in_parts > 0 {
        println!(
            "{:>10}  rows of records in {} parts, each named in parts.ndjson",
            manifest.records_in_parts, manifest.parts
        );
    }
    for export in manifest.exports.iter().filter(|it| it.bad_lines > 0) {
        println!(
            "{:>10}  lines of the export {} that are no runs",
            export.bad_lines, export.name
        );
    }
    if manifest.not_audited > 0 {
        println!(
            "{:>10}  registered entries that the evidence has, and the audit has not: they came later, or its report lacks them",
            manifest.not_audited
        );
    }
    if !manifest.audit.proved {
        println!("The audit took something for the node's word: it is proved by the evidence only as far as places and digests go.");
    }
}

fn figures(manifest: &Manifest) -> String {
    let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
    format!(
        "rows={} current={} participants={} devices={} left_out={} problems={} block={}",
        manifest.rows,
        manifest.current,
        manifest.participants,
        manifest.devices,
        sum(&manifest.left_out),
        sum(&manifest.problems),
        manifest.audit.block
    )
}

pub(super) fn verify_dataset(arguments: VerifyDataset) -> Result<(), DataError> {
    let trusted = Trusted {
        evidence: arguments.evidence.into(),
        holder: arguments.holder,
        audit: arguments.audit,
    };
    let is_audited = trusted.audit.is_some();
    let verified = verify(&arguments.dataset, &trusted)?;
    let manifest = &verified.manifest;
    println!("This is proved, if the hashes and keys given are the right ones:");
    println!(
        "- The holder of the key {} signed these {} files as they are.",
        manifest.holder,
        manifest.files.len()
    );
    for (file, rows) in &verified.rows {
        println!("- {file}: each of {rows} rows names an entry that the chain has in that place, or says that it has not.");
    }
    if is_audited {
        println!("- Each row says of its entry what the audit says: verdict, block, who brought it, and the bounds of its time.");
    }
    if let Some(devices) = &verified.key_destroyed {
        tell_complete(manifest, devices);
    }
    println!("This is not proved: that the values are those of the digests (only the holder of the keys can open what was sealed);");
    if manifest.parts > 0 {
        println!(
            "that {} entries are parts of {} records, and none of them a record of its own: the holder says so;",
            manifest.parts, manifest.records_in_parts
        );
    }
    if manifest.participant.is_some() {
        println!("that these are all of the participant's devices: the holder says so;");
    }
    match (is_audited, &verified.key_destroyed) {
        (true, Some(_)) => println!("and that the audit is right: its auditor answers for that."),
        (true, None) => println!(
            "that no entry is left out (no file of this dataset has every row); and that the audit is right: its auditor answers for that."
        ),
        (false, _) => println!(
            "and what the audit says of each entry, of its block and of who brought it, and that none is left out: say --audit, with the \
             report {}, from the auditor.",
            manifest.audit.sha256
        ),
    }
    println!("verified=true {}", figures(manifest));
    Ok(())
}

/// Says which valid entries have a row. Whose devices are, a package does not prove: one that has none says nothing of anybody's.
fn tell_complete(manifest: &Manifest, key_destroyed: &[DeviceId]) {
    let none = match (&manifest.participant, manifest.rows) {
        (Some(_), 0) => return,
        (Some(_), _) => "Of the devices that have rows, and of those that seal to the same key, no",
        (None, _) => "No",
    };
    let but = match key_destroyed {
        [] => String::new(),
        devices => format!(
            " but those of {} devices ({}), of which the holder says that their participants' keys are destroyed",
            devices.len(),
            some_of(devices)
        ),
    };
    let parts = match manifest.parts {
        0 => "",
        _ => " What is called a part of a record has no row of its own.",
    };
    println!("- {none} entry that the audit calls valid is left out{but}.{parts}");
}

/// The numbers of these devices, or of the first of them.
fn some_of(devices: &[DeviceId]) -> String {
    const MOST: usize = 20;
    match devices.get(..MOST) {
        Some(first) if devices.len() > MOST => format!("{}, …", list(first)),
        _ => list(devices),
    }
}

/// How far it is, on standard error, where somebody looks at it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{msg:18} {spinner} {pos}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    fn show(&self, at: Progress) {
        let (what, done) = match at {
            Progress::Runs(done) => ("runs of exports", done),
            Progress::Rows(done) => ("rows", done),
        };
        if self.0.message() != what {
            self.0.set_message(what);
        }
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
