// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor prove` and `mhealth-auditor verify`.

use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Read};
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::Args;
use hashchain::{DeviceId, StudyId};
use mhealth_auditor::evidence::{self, Claims, DeviceClaims, Evidence};
use mhealth_auditor::export;
use mhealth_auditor::part::{make_durable, Part};
use mhealth_auditor::prove::{self, Contents, Subject};
use mhealth_auditor::AuditError;
use mhealth_chain_client::{ChainClient, H256};
use mhealth_evidence::Checkpoint;

use super::{inputs, REFUSED};

/// Exit status of evidence that is not about all devices of the study.
const LEFT_OUT: u8 = 1;

/// Writes evidence about one device or all devices of a study: a file that anybody can check offline.
///
/// Any node that follows finality will do, also one that drops old states. With `--checkpoint` it must have the checkpoint's state: for one
/// of more than some hundred blocks ago, it runs with `--state-pruning archive`.
#[derive(Args)]
pub(crate) struct ProveArguments {
    /// WebSocket address of a node that keeps the chain.
    #[arg(long, env = "MHEALTH_NODE_URL", default_value = "ws://127.0.0.1:9944")]
    node: String,
    /// Genesis hash of the chain that the node must follow.
    #[arg(long, value_name = "HASH")]
    genesis: Option<H256>,
    /// The device's number. Without it, the file is about all devices of the study.
    #[arg(long)]
    device: Option<DeviceId>,
    /// The study.
    #[arg(long, default_value_t = StudyId(0))]
    study: StudyId,
    /// A block that the readers of the file trust, such as one that the consortium published; may be given several times. The
    /// file begins at the newest that is before the proved block, and needs it after a change of authorities by force.
    #[arg(long, value_name = "HASH@NUMBER")]
    checkpoint: Vec<Checkpoint>,
    /// A saved export to take the envelopes from; may be given several times. The file then holds them all.
    #[arg(long, value_name = "NAME=FILE")]
    export: Vec<String>,
    /// Puts the devices' secrets into the file, so that everybody can check the tags. Who has one can make tags, too.
    #[arg(long, requires = "auditor_key")]
    with_secret: bool,
    /// File with a key of the study's auditor, to open the escrow with; may be given several times.
    #[arg(long, value_name = "FILE")]
    auditor_key: Vec<PathBuf>,
    /// Leaves out devices with entries that no extrinsic accounts for, and names them. The file then does not say that its
    /// devices are all of the study, and the exit status is 1. Without this, no evidence is made where there are such devices.
    #[arg(long, conflicts_with = "device")]
    leave_out_unaccounted: bool,
    /// Bytes of the largest file. Evidence that has more is written in parts, FILE.1, FILE.2 and so on, each about some of the
    /// study's devices and evidence by itself. Readers refuse files of more than 256 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = evidence::LARGEST,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=evidence::LARGEST as u64))]
    largest: usize,
    /// Where to write the evidence. What stands there stays until all of it is made; until then, names of what is written end with
    /// `.part`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Checks evidence offline: no node, no server, nothing but the file, the genesis hash, and checkpoints.
#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The evidence.
    file: PathBuf,
    /// Genesis hash of the chain, from a source that you trust.
    #[arg(long, value_name = "HASH")]
    genesis: H256,
    /// A block of the chain, from a source that you trust; may be given several times. The file has to begin at the newest that
    /// is before its block, and what authorities before it signed counts for nothing.
    #[arg(long, value_name = "HASH@NUMBER")]
    checkpoint: Vec<Checkpoint>,
    /// Prints what is proved as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn prove(arguments: ProveArguments) -> Result<u8, AuditError> {
    let mut contents = Contents {
        checkpoints: arguments.checkpoint,
        leave_out_unaccounted: arguments.leave_out_unaccounted,
        largest: Some(arguments.largest),
        exports: export::from_arguments(&[], &arguments.export, &[])?,
        ..Contents::default()
    };
    if arguments.with_secret {
        contents.auditors = inputs::auditor_keys(&arguments.auditor_key)?;
    }
    let client = match arguments.genesis {
        Some(genesis) => ChainClient::connect_expecting(&arguments.node, genesis).await?,
        None => ChainClient::connect(&arguments.node).await?,
    };
    let bar = indicatif::ProgressBar::new(0);
    let subject = match arguments.device {
        Some(device) => Subject::Device(device),
        None => Subject::Study(arguments.study),
    };
    let mut written = Written::default();
    let mut write = |part: Evidence, is_only: bool| written.write(&arguments.out, &part, is_only);
    let mut show = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let proving = prove::prove_in_parts(&client, subject, &contents, &mut show, &mut write);
    let left_out = proving.await?;
    bar.finish_and_clear();
    let Written {
        parts,
        bytes,
        entries,
        block,
        first: _first,
    } = written;
    let devices: usize = parts.iter().map(|(_, devices)| devices).sum();
    let count = parts.len();
    for (part, devices) in parts {
        let place = part.target().to_owned();
        part.put_in_place()?;
        if count > 1 {
            println!("part: {} devices={devices}", place.display());
        }
    }
    for device in &left_out {
        println!("left out: {device}");
    }
    let mut others = match left_out.len() {
        0 => String::new(),
        count => format!(" left_out={count}"),
    };
    if count > 1 {
        others += &format!(" parts={count}");
    }
    println!(
        "evidence={} bytes={bytes} {} entries={entries} block={block}{others}",
        arguments.out.display(),
        match arguments.device {
            Some(device) => format!("device={device}"),
            None => format!("study={} devices={devices}", arguments.study),
        },
    );
    Ok(if left_out.is_empty() { 0 } else { LEFT_OUT })
}

/// What was written so far. None of it is in its place before all of it is there: a part does not say how many there are.
#[derive(Default)]
struct Written {
    /// The files, and how many devices each is about.
    parts: Vec<(Part, usize)>,
    /// The first file. Who writes the same begins with it, too, and does not get it while it is open.
    first: Option<File>,
    bytes: u64,
    entries: usize,
    block: u32,
}

impl Written {
    /// Writes a part, under the name that was given if it is the only one, or with its number behind that.
    fn write(&mut self, out: &Path, part: &Evidence, is_only: bool) -> Result<(), AuditError> {
        let mut place = out.to_path_buf().into_os_string();
        if !is_only {
            place.push(format!(".{}", self.parts.len() + 1));
        }
        let place = PathBuf::from(place);
        // It may hold envelopes and a device's secret.
        let (begun, file) = Part::begin_private(&place)?;
        self.parts.push((begun, part.devices.len()));
        let mut file = BufWriter::new(file);
        self.bytes += part.write_to(&mut file)?;
        let file = file.into_inner().map_err(IntoInnerError::into_error)?;
        make_durable(&file)?;
        self.first.get_or_insert(file);
        let entries = part.devices.iter().map(|it| it.entries.len());
        self.entries += entries.sum::<usize>();
        self.block = part.finality.block.number;
        Ok(())
    }
}

pub(super) fn verify(arguments: &VerifyArguments) -> Result<u8, AuditError> {
    let unreadable = |error: std::io::Error| AuditError::Input {
        file: arguments.file.display().to_string(),
        why: error.to_string(),
    };
    let file = std::fs::File::open(&arguments.file).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let most = evidence::LARGEST as u64 + 1;
    // Room for all of it at once: a vector that grows takes up to twice as much.
    let mut bytes = Vec::with_capacity(length.min(most) as usize + 1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let evidence = Evidence::from_bytes(&bytes)?;
    drop(bytes);
    match evidence::verify(&evidence, arguments.genesis.0, &arguments.checkpoint) {
        Ok(claims) => {
            match arguments.json {
                true => println!("{}", serde_json::json!(claims)),
                false => tell(&claims),
            }
            println!("verified=true {}", summary(&claims));
            Ok(0)
        }
        Err(refusal) => {
            eprintln!("mhealth-auditor: {refusal}");
            println!("verified=false");
            Ok(REFUSED)
        }
    }
}

/// The last line: of a study, what holds for all of its devices.
fn summary(claims: &Claims) -> String {
    let devices = &claims.devices;
    let all = |holds: fn(&DeviceClaims) -> bool| devices.iter().all(holds);
    let about = match (claims.study, &devices[..]) {
        (None, [device]) => format!("device={}", device.device),
        (None, devices) => format!("devices={}", devices.len()),
        (Some(study), devices) => format!("study={study} devices={}", devices.len()),
    };
    format!(
        "{about} entries={} block={} signed={} tags={} envelopes={} conflicts={} checkpoint={}",
        devices.iter().map(|device| device.entries).sum::<u64>(),
        claims.block,
        all(|device| device.signed),
        all(|device| device.tags),
        all(|device| device.envelopes),
        devices
            .iter()
            .map(|device| device.conflicts.len())
            .sum::<usize>(),
        match claims.trust.checkpoint {
            Some(checkpoint) => checkpoint.number.to_string(),
            None => "none".into(),
        }
    )
}

/// What is proved, and what is not.
fn tell(claims: &Claims) {
    println!("This is proved, if the hashes given are the right ones:");
    println!("- Block {} ({}) of chain {} is final: more than two thirds of its {} authorities signed for it (set {}).",
        claims.block, claims.block_hash, claims.chain, claims.authorities, claims.authority_set);
    tell_trust(claims);
    if let Some(study) = claims.study {
        println!(
            "- In it, study {study} has {} devices, which are all in this file.",
            claims.devices.len()
        );
    }
    for device in &claims.devices {
        tell_device(device);
    }
    println!("This is not proved:");
    println!("- That what the phones recorded is true, and when it was recorded: the block says only not later than.");
    println!("- What happened after block {}.", claims.block);
    let lacking = |what: fn(&DeviceClaims) -> bool, meaning: &str| {
        let without = claims.devices.iter().filter(|device| !what(device)).count();
        if without > 0 {
            println!(
                "- Of {without} of {} devices: {meaning}",
                claims.devices.len()
            );
        }
    };
    lacking(
        |device| device.signed,
        "that the device's key signed. No signature over the last link is in this file.",
    );
    lacking(
        |device| device.tags,
        "that the device's secret made the entries. It is not in this file.",
    );
    lacking(
        |device| device.envelopes,
        "what the data are. This file holds their digests only.",
    );
}

/// Whose honesty, and the secrecy of whose keys, all of this rests on.
fn tell_trust(claims: &Claims) {
    let trust = &claims.trust;
    match trust.checkpoint {
        Some(checkpoint) => println!(
            "  That set is traced over {} handovers from the checkpoint {checkpoint}, {} blocks before. Keys of older sets are worth nothing here.",
            trust.handovers,
            claims.block.saturating_sub(checkpoint.number)
        ),
        None => println!(
            "  That set is traced over {} handovers from the chain's first block, {} blocks before, without a checkpoint: whoever has \
             the keys of more than two thirds of any set since then, also of one that was replaced long ago, could have made this \
             file. A recent --checkpoint rules that out.",
            trust.handovers, claims.block
        ),
    }
    for later in &trust.later {
        println!(
            "  The checkpoint {later} is later than this evidence, and says nothing about it."
        );
    }
}

fn tell_device(claims: &DeviceClaims) {
    println!(
        "- In it, device {} of study {} has the key {} and is {}.",
        claims.device, claims.study, claims.key, claims.status
    );
    println!(
        "  It has exactly {} registered entries, in the order of this file; the last link is {}.",
        claims.entries, claims.head
    );
    if let Some(predecessor) = claims.predecessor {
        println!("  It goes on from the last trusted entry of device {predecessor}.");
    }
    if let Some(trusted) = claims.trusted_length {
        println!("  The study retired it and trusts its first {trusted} entries.");
    }
    if let Some(from) = claims.retires_at {
        println!("  It is to retire in block {from}, unless the study's sponsor vetoes that.");
    }
    match claims.conflicts.len() {
        0 => println!("  No rival history of it is on record."),
        count => println!("  Rival histories of it on record: {count}."),
    }
    if claims.conflicts_not_stored > 0 {
        println!(
            "  Rivals that the record had no place for: {}.",
            claims.conflicts_not_stored
        );
    }
    for conflict in &claims.conflicts {
        println!(
            "    from entry {} on: registered {}, rival {}{}, brought in block {} by {}",
            conflict.sequence,
            conflict.recorded,
            conflict.rival,
            if conflict.signed {
                ", signed by the device's key"
            } else {
                ""
            },
            conflict.block,
            conflict.submitter
        );
    }
    if claims.signed {
        println!("  The device's key signed the last link, and with it all entries.");
        if !claims.strictly_signed {
            println!(
                "    The signature holds by the chain's rule, ZIP 215, and not by stricter ones. Only a holder of the device's key can \
                 have made it so."
            );
        }
    }
    if claims.tags {
        println!("  Every entry was made with the device's secret.");
    }
    if claims.envelopes {
        println!("  Its envelopes in this file are those that were registered.");
    }
}
