// SPDX-License-Identifier: Apache-2.0

//! `enrol`, `seal` and `upload`: what a phone does.

use std::{fs::File, io::Read, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use hashchain::{SealingKey, StudyId, MAX_RUN_LENGTH};
use mhealth_api::{Code, CodeTerms};
use mhealth_device_host::{
    payload::Participant, servers::authentication_server, store::Change, Device, EnrolmentCode,
    Error, PublicKey, Recipient, Record, Sealed, Store, SyncError, SystemClock, Terms,
};
use rand::{rngs::StdRng, SeedableRng};

use super::{
    hash, public_key,
    register::{register, report, Account},
    topology::{Load, Route, Topology},
    Failure, Secret, EXIT_CODES,
};

/// Enrols a device with a code that the study's staff handed out.
///
/// The device asks what the code is for, makes its key and its secret, seals the secret to the study's auditor, and has the
/// authentication server register all of that on the chain. If it is killed, the same command resumes where it was. The
/// last line reads `device= study= key= genesis=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Enrol {
    #[command(flatten)]
    topology: Topology,
    /// The code. Prefer the environment to the command line.
    #[arg(
        long,
        value_name = "CODE",
        env = "MHEALTH_CODE",
        hide_env_values = true,
        required_unless_present = "code_file"
    )]
    code: Option<Secret>,
    /// File that holds the code. Nobody but its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_CODE_FILE",
        conflicts_with = "code"
    )]
    code_file: Option<PathBuf>,
    /// Keep the device's key, ratchet and entries in this file. It is created if it does not exist.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Refuse a code for any other study.
    #[arg(long, value_name = "N")]
    study: Option<StudyId>,
    /// Refuse a code that names another auditor than this X25519 key, in hexadecimal. Whoever gives the phone a wrong key
    /// can read its secret.
    #[arg(long, value_name = "KEY", value_parser = hash)]
    auditor_key: Option<[u8; 32]>,
    /// A pseudonym of the device's owner. A device that replaces another one in the same file needs another name.
    #[arg(long, value_name = "NAME", default_value = "participant")]
    participant: String,
}

/// Seals something as a device's next entry: to the participant if the enrolment code named a key, otherwise in plain
/// form. What is too long for one entry is sealed in parts, as several. The last line reads `sequence= head=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Seal {
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Your name for it, such as the day of the night. The same source is sealed once; with other content it is refused.
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Seal other content of the same source as a new entry, whose media type names the entry that it corrects.
    #[arg(long)]
    corrections: bool,
    /// How to read it.
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    media_type: String,
    /// Whose device seals it, if the file holds several.
    #[arg(long, value_name = "NAME")]
    participant: Option<String>,
    /// What to seal; - for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,
}

/// Sends what is queued and waits until it is finalised.
///
/// It can be killed at any point and started again. The last line reads `devices= entries= duplicates= finalised= refused=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Upload {
    #[command(flatten)]
    topology: Topology,
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Fail unless the file holds the device with this public key.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    device: Option<PublicKey>,
    /// Send at most this many entries in one run.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=MAX_RUN_LENGTH as i64))]
    run_length: u32,
}

pub(super) async fn enrol(options: &Enrol) -> Result<ExitCode, Failure> {
    let code = Secret::given(options.code.as_ref(), options.code_file.as_deref())?;
    let code = code.as_ref().map_or("", Secret::expose);
    let code: EnrolmentCode = code.parse().map_err(|_| {
        Failure::input(
            Code::MalformedCode.as_str(),
            "This is not an enrolment code: a symbol is missing, mistyped, or one too many. Compare it with the paper. Nothing was \
             sent.",
        )
    })?;
    let known = match Store::open(&options.state, Arc::new(SystemClock)) {
        Ok(store) => Some(store),
        Err(Error::Missing(_) | Error::Unfinished(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Route::Servers(authentication, addresses) = options.topology.route(known.as_ref())? else {
        return Err(Failure::input(
            "no_authentication_server",
            "Name the authentication server with --auth.",
        ));
    };
    let participant = Participant(options.participant.clone());
    let store = match resumed(known, &participant, &code)? {
        Some(pending) => pending,
        None => {
            let server = authentication_server(
                authentication.clone(),
                options.topology.patience(),
                &options.topology.certificates()?,
                Arc::new(SystemClock),
            )?;
            let found = server.code_terms(&code).await?;
            let found = found.map_err(|refusal| Failure::refused(&refusal))?;
            make(options, &found, &participant)?
        }
    };
    store.set_servers(&addresses)?;
    let load = Load::default();
    let through = options
        .topology
        .servers(authentication, &addresses, &store, load)?;
    let device = Device::of(&store, &participant, &mut StdRng::from_os_rng())?;
    let number = match device.enrol(&through.servers, &code).await {
        Err(SyncError::Device(Error::Frozen { reason, .. })) => {
            return Err(Failure::stopped(reason));
        }
        enrolled => enrolled?,
    };
    let device = device.record()?;
    println!(
        "device={number} study={} key={} genesis={}",
        store.terms().study,
        device.key,
        device.genesis
    );
    Ok(ExitCode::SUCCESS)
}

/// The device that was made for this code before, if the program was ended before it was enrolled.
fn resumed(
    known: Option<Store>,
    participant: &Participant,
    code: &EnrolmentCode,
) -> Result<Option<Store>, Failure> {
    let Some(store) = known else {
        return Ok(None);
    };
    let Some(id) = store.device_of(participant)? else {
        return Ok(None);
    };
    let device = store.device(id)?;
    if let Some(number) = device.number.filter(|_| device.proved) {
        return Err(Failure::input(
            "already_enrolled",
            format!(
                "The state file already holds this participant's device; its number is {number}."
            ),
        ));
    }
    let same = store.code(id)?.as_ref() == Some(code);
    Ok(same.then_some(store))
}

/// Makes the device that a code is for.
fn make(options: &Enrol, found: &CodeTerms, participant: &Participant) -> Result<Store, Failure> {
    let other = |what: &str| {
        let message = format!("The enrolment code is for another {what}. It was not used.");
        Failure::chain("other_terms", message)
    };
    if options
        .topology
        .genesis
        .is_some_and(|genesis| genesis != found.chain.0)
    {
        return Err(other("chain"));
    }
    if options.study.is_some_and(|study| study != found.study) {
        return Err(other("study"));
    }
    if options
        .auditor_key
        .is_some_and(|key| key != found.auditor_key.0)
    {
        return Err(other("auditor"));
    }
    let terms = Terms::from(found);
    let mut rng = StdRng::from_os_rng();
    let store = Store::open_or_create(&options.state, &terms, Arc::new(SystemClock), &mut rng)?;
    let id = match (store.device_of(participant)?, found.predecessor) {
        // Made before with another code, and never enrolled.
        (Some(id), _) => id,
        (None, None) => Device::of(&store, participant, &mut rng)?.id(),
        (None, Some(before)) => Device::succeeding(&store, participant, before, &mut rng)?.id(),
    };
    store.set_recipient(id, found.participant_key.map(|key| key.0))?;
    Ok(store)
}

pub(super) fn seal(options: &Seal) -> Result<ExitCode, Failure> {
    let store = Store::open(&options.state, Arc::new(SystemClock))?;
    let mut devices = store.devices()?;
    if let Some(name) = &options.participant {
        devices.retain(|device| device.participant.0 == *name);
    }
    let [device] = devices.as_slice() else {
        return Err(Failure::input(
            "which_device",
            format!(
                "{} devices of the state file match; name one with --participant.",
                devices.len()
            ),
        ));
    };
    let payload = read(&options.input)?;
    let key = store.recipient(device.id)?.map(SealingKey);
    let recipient = key
        .as_ref()
        .map_or(Recipient::Anybody, Recipient::Participant);
    let record = Record {
        source: &options.source,
        media_type: &options.media_type,
        payload: &payload,
    };
    let change = match options.corrections {
        true => Change::Correct,
        false => Change::Refuse,
    };
    let group = store.group()?;
    let content = record.content();
    let mut rng = StdRng::from_os_rng();
    let sealed = group.seal_content(device.id, &record, &content, change, recipient, &mut rng)?;
    group.commit()?;
    let sequence = match sealed {
        Sealed::New(entry) => {
            let parts = entry.sequence - device.length;
            if parts > 1 {
                println!("The record is too long for one entry: it was sealed in {parts} parts.");
            }
            entry.sequence
        }
        Sealed::Before(sequence) => sequence,
        Sealed::Differs(sequence) => {
            return Err(Failure::input(
                "differs_from_sealed",
                format!(
                    "This source was sealed before with other content, as entry {sequence}. Nothing was sealed; with \
                     --corrections it is sealed as a new entry that names the one that it corrects."
                ),
            ));
        }
    };
    let head = store
        .hash_at(device.id, sequence)?
        .unwrap_or(device.genesis);
    println!("sequence={sequence} head={head}");
    Ok(ExitCode::SUCCESS)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::input("unreadable_input", format!("{}: {error}.", path.display()))
    };
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(unreadable)?),
    };
    let mut payload = Vec::new();
    // One byte more than may be sealed, so that what is too long is refused and not cut.
    let mut limited = source.take(Record::MAX_LENGTH as u64 + 1);
    limited.read_to_end(&mut payload).map_err(unreadable)?;
    Ok(payload)
}

pub(super) async fn upload(options: &Upload) -> Result<ExitCode, Failure> {
    let store = super::inspect::open(&options.state, options.device.as_ref())?;
    let chain = options.topology.connect(&store).await?;
    let refusals = register(&store, &chain, options.run_length, false).await?;
    let account = Account {
        duplicates: 0,
        unsealed: 0,
        refusals: &refusals,
        offline: false,
    };
    report(&store, &account)
}
