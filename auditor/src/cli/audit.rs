// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor audit`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args};
use hashchain::StudyId;
use indicatif::{ProgressBar, ProgressStyle};
use mhealth_auditor::audit::{Judged, Options, StoreReport};
use mhealth_auditor::chain::{Basis, Progress};
use mhealth_auditor::export::{self, Holder, Limits};
use mhealth_auditor::report::{page, Digest, Heading, JsonReport};
use mhealth_auditor::signature::{ReportFile, ReportKey, Signing};
use mhealth_auditor::{Audit, AuditError, Outcome, Verdict, ON_ITS_WAY};
use mhealth_chain_client::{ChainClient, H256};
use mhealth_evidence::Checkpoint;

use super::inputs;

/// Who runs an audit, if nobody says.
const NOT_NAMED: &str = "not named";

/// Judges every entry of a study.
///
/// What became of the runs stands in the state of the block that brought them. Of a node that has dropped states of such blocks the audit
/// says that it could not be complete, with status 2; one that runs with `--state-pruning archive` has all.
#[derive(Args)]
#[command(group(ArgGroup::new("reports").args(["json", "html"]).multiple(true)))]
pub(crate) struct AuditArguments {
    /// WebSocket address of a node that keeps the study's chain.
    #[arg(long, env = "MHEALTH_NODE_URL", default_value = "ws://127.0.0.1:9944")]
    node: String,
    /// Genesis hash of the chain, from a source that you trust. Everything is proved from there; without it the node says which
    /// chain is audited, and the exit status is not 0.
    #[arg(long, value_name = "HASH")]
    genesis: Option<H256>,
    /// A block of the chain, from a source that you trust; may be given several times. Everything is proved from the newest of them
    /// on, which is needed after a change of authorities by force.
    #[arg(long, value_name = "HASH@NUMBER")]
    checkpoint: Vec<Checkpoint>,
    /// Is content with the node's word where it gives no proof, as on a chain without finality. The reports say what that is.
    #[arg(long)]
    trust_node: bool,
    /// The study's number.
    #[arg(long)]
    study: StudyId,
    /// A relay to read the export of; may be given several times. The credential comes from MHEALTH_RELAY_CREDENTIAL_NAME,
    /// or MHEALTH_RELAY_CREDENTIAL for all.
    #[arg(long, value_name = "NAME=URL")]
    relay: Vec<String>,
    /// An export that was saved before; may be given several times.
    #[arg(long, value_name = "NAME=FILE")]
    export: Vec<String>,
    /// What a stopped phone still holds, as `mhealth-device export-queue` writes it; may be given several times. Nobody has to sign it, and
    /// it stands for no relay's export.
    #[arg(long, value_name = "NAME=FILE")]
    phone: Vec<String>,
    /// For how many blocks a run may be on its way to the chain before a relay that signed that it holds it is said to keep it
    /// back.
    #[arg(long, value_name = "BLOCKS", default_value_t = ON_ITS_WAY)]
    on_its_way: u64,
    /// Checks each signature by itself, also where a later one covers its run. Takes twelve times as long to judge signed runs of one
    /// entry, and finds runs in the middle of a history that only the chain's rule accepts.
    #[arg(long)]
    every_signature: bool,
    /// Most bytes that are read of an export.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    export_bytes: u64,
    /// Most seconds that reading an export may take.
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().time.as_secs())]
    export_seconds: u64,
    /// File with a key of the study's auditor in hexadecimal digits, or with several, a line each; may be given several times. A
    /// study has one for each epoch. Or MHEALTH_AUDITOR_KEY in the environment.
    #[arg(long, value_name = "FILE")]
    auditor_key: Vec<PathBuf>,
    /// File with the participants' public keys, from the holder of the private ones and not from an authentication server. A line
    /// each: device number or pseudonym, key in hexadecimal digits. A device that seals to another key is a finding.
    #[arg(long, value_name = "FILE")]
    participants: Option<PathBuf>,
    /// File with participants' keys, a line each: device number, key in hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    participant_keys: Option<PathBuf>,
    /// File with the study's records of erasures, a JSON object a line, as `mhealth-data erase` writes them. What was erased, the
    /// receipts on the chain say; this says why.
    #[arg(long, value_name = "FILE")]
    erasures: Option<PathBuf>,
    /// The study's rule of retention: relays may have erased the data of entries that are registered for so many days. Without it
    /// they may not, unless the chain has a receipt.
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
    /// Writes the report for programs here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report for people here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Who runs the audit, for the report and for its signature.
    #[arg(long, default_value = NOT_NAMED)]
    auditor: String,
    /// File with the report key of whoever runs the audit, as `key new` makes it: signs each report, in a file of its name and
    /// `.sig`. It is not the study's auditor key.
    #[arg(long, value_name = "FILE", requires = "reports")]
    sign_with: Option<PathBuf>,
    /// Keeps what was read of the chain here, so that an audit that was cut short goes on from it.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

pub(super) async fn run(arguments: AuditArguments) -> Result<u8, AuditError> {
    let report_key = signer(&arguments)?;
    let options = Options {
        exports: export::from_arguments(&arguments.relay, &arguments.export, &arguments.phone)?,
        patience: Some(arguments.on_its_way),
        every_signature: arguments.every_signature,
        limits: Limits {
            bytes: arguments.export_bytes,
            time: Duration::from_secs(arguments.export_seconds),
            ..Limits::default()
        },
        auditors: inputs::auditor_keys(&arguments.auditor_key)?,
        listed: inputs::participant_list(arguments.participants.as_deref())?,
        participants: inputs::participants(arguments.participant_keys.as_deref())?,
        erasures: inputs::erasures(arguments.erasures.as_deref())?,
        retention_days: arguments.retention_days,
        basis: Basis {
            genesis: arguments.genesis.map(|genesis| genesis.0),
            checkpoints: arguments.checkpoint.clone(),
            trust_node: arguments.trust_node,
        },
        kept: arguments.keep.clone(),
    };
    let client = match arguments.genesis {
        Some(genesis) => ChainClient::connect_expecting(&arguments.node, genesis).await?,
        None => ChainClient::connect(&arguments.node).await?,
    };
    let bar = Bar::new();
    let audit = Audit::gather(&client, arguments.study, options, &mut |at| bar.show(at)).await?;
    let mut heading = Heading::new(&audit.study, &arguments.auditor, now(), audit.unread());
    heading.report_key = report_key.as_ref().map(ReportKey::public);
    let mut json_file = create(arguments.json.as_deref())?;
    let mut json = match &mut json_file {
        Some(file) => Some(JsonReport::begin(file, &heading, &audit.stores)?),
        None => None,
    };
    let mut digest = Digest::naming(audit.listed());
    let mut stores = audit.stores.iter();
    if stores.any(|store| !store.reading.is_complete()) || !heading.no_export.is_empty() {
        digest.summary.worse(Outcome::NotCovered);
    }
    if !heading.standing.is_enough() {
        digest.summary.worse(Outcome::NotProved);
    }
    let mut sink = |judged: Judged<'_>| -> Result<(), AuditError> {
        digest.add(&judged);
        json.as_mut().map_or(Ok(()), |json| json.device(&judged))
    };
    audit.judge_each(&mut |at| bar.show(at), &mut sink).await?;
    bar.end();
    if let Some(json) = json {
        json.end(&digest.summary)?;
    }
    let mut html_file = create(arguments.html.as_deref())?;
    if let Some(file) = &mut html_file {
        file.write_all(page(&heading, &audit.stores, &digest).as_bytes())?;
    }
    let signing = report_key.as_ref();
    let signing = signing.map(|key| Signing::new(key, &heading, now()));
    for file in [json_file, html_file].into_iter().flatten() {
        file.finish(signing.as_ref())?;
    }
    print(&heading, &audit.stores, &digest);
    Ok(digest.summary.outcome().exit_status())
}

/// The key that signs the reports, if one does. What cannot be signed is said before the audit is made.
fn signer(arguments: &AuditArguments) -> Result<Option<ReportKey>, AuditError> {
    let Some(file) = &arguments.sign_with else {
        return Ok(None);
    };
    let unfit = |why: String| AuditError::Input {
        file: "--sign-with".into(),
        why,
    };
    if arguments.auditor == NOT_NAMED {
        return Err(unfit("say with --auditor who signs".into()));
    }
    let reports = [&arguments.json, &arguments.html].into_iter().flatten();
    let reports: Vec<&Path> = reports.map(PathBuf::as_path).collect();
    Signing::check(&arguments.auditor, &reports).map_err(|why| unfit(why.to_string()))?;
    inputs::report_key(file).map(Some)
}

fn create(report: Option<&Path>) -> Result<Option<ReportFile>, AuditError> {
    report.map(ReportFile::create).transpose()
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// What a person sees, and a last line for programs.
fn print(heading: &Heading, stores: &[StoreReport], digest: &Digest) {
    let summary = &digest.summary;
    println!(
        "Study {} at block {}: {} entries of {} devices.",
        heading.study, heading.block, summary.entries, summary.devices
    );
    for word in &heading.standing.words {
        println!("Only the node says {word}.");
    }
    for verdict in Verdict::ALL {
        let count = summary.count(verdict);
        if count > 0 {
            println!("{count:>10}  {verdict}");
        }
    }
    if summary.unaccounted > 0 {
        let count = summary.unaccounted;
        println!("{count:>10}  unaccounted: registered, and no extrinsic of any block brought it");
    }
    for store in stores {
        let name = &store.name;
        if store.account.is_none() && store.holder == Holder::Relay {
            println!(
                "Nobody signed all of the export {name}: no account is charged with what it shows."
            );
        }
        for fault in &store.reading.first_faults {
            println!("The export {name}: {fault}.");
        }
    }
    for account in &heading.no_export {
        println!("Not covered: no export was given that the relay {account} signed.");
    }
    let counts =
        Verdict::ALL.map(|verdict| format!("{}={}", verdict.as_str(), summary.count(verdict)));
    println!(
        "audit={} devices={} entries={} {} findings={} conflicts={} unaccounted={} proved={}",
        summary.outcome().as_str(),
        summary.devices,
        summary.entries,
        counts.join(" "),
        summary.findings,
        summary.conflicts,
        summary.unaccounted,
        heading.standing.words.is_empty()
    );
}

/// How far it is, on standard error, where somebody looks at it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    fn show(&self, at: Progress) {
        let (what, done, of) = match at {
            Progress::Devices(done) => ("devices found", done, None),
            Progress::Journal(done, of) => ("journal", done, Some(of)),
            Progress::Blocks(done, of) => ("blocks", done, Some(of)),
            Progress::Runs(done) => ("runs of an export", done, None),
            Progress::Judged(done, of) => ("devices judged", done, Some(of)),
        };
        if self.0.message() != what {
            let template = match of {
                Some(_) => "{msg:18} {bar:40} {pos}/{len}",
                None => "{msg:18} {spinner} {pos}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.0.set_style(style);
            }
            self.0.set_message(what);
        }
        if let Some(of) = of {
            self.0.set_length(of);
        }
        self.0.set_position(done);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
