// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_dataset::keys::backup::To;
use mhealth_dataset::keys::{Destruction, KeyFolder, Lock, Whose};
use mhealth_dataset::DataError;

use super::now_text;

#[derive(Subcommand)]
pub(super) enum Keys {
    New(New),
    List(List),
    Import(Import),
    BackUp(BackUp),
    Restore(Restore),
    Split(Split),
    Join(Join),
    Destroy(Destroy),
}

/// Makes a study's key folder, and keys for participants, for all that are named or for none. Prints each participant's public key, for the enrolment code.
#[derive(Args)]
pub(super) struct New {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// Genesis hash of the chain. Needed for a new folder.
    #[arg(long, value_name = "HASH", requires = "study")]
    genesis: Option<Hash>,
    /// The study's number. Needed for a new folder.
    #[arg(long, requires = "genesis")]
    study: Option<StudyId>,
    /// Pseudonyms of participants; none make the folder only.
    participants: Vec<String>,
}

/// Shows the participants with their public keys, and the holder's public key. No private key.
#[derive(Args)]
pub(super) struct List {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
}

/// Takes keys from a file with a line for each participant: pseudonym, blank, private key. So the simulator keeps them.
#[derive(Args)]
pub(super) struct Import {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The file. It is left as it is.
    file: PathBuf,
}

/// Writes all keys and records into one file, encrypted by the program `age`.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("to").required(true)))]
pub(super) struct BackUp {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// To whom: a public key as `age` writes it. May be given several times.
    #[arg(long, value_name = "AGE1…", group = "to")]
    recipient: Vec<String>,
    /// To whoever knows a passphrase, which `age` asks for.
    #[arg(long, group = "to")]
    passphrase: bool,
}

/// Takes the keys and records of a back-up.
#[derive(Args)]
pub(super) struct Restore {
    /// The folder. It is made if there is none.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// Key file of `age`. Without it, `age` asks for the passphrase.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The back-up.
    backup: PathBuf,
}

/// Writes all keys and records into shares, so that some of them together bring the keys back, and fewer say nothing.
#[derive(Args)]
pub(super) struct Split {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// How many shares are needed.
    #[arg(long, value_name = "K")]
    threshold: u8,
    /// How many are made.
    #[arg(long, value_name = "N")]
    shares: u8,
    /// The new folder for the shares.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Brings keys and records back from shares.
#[derive(Args)]
pub(super) struct Join {
    /// The folder. It is made if there is none.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The shares.
    #[arg(required = true)]
    shares: Vec<PathBuf>,
}

/// Destroys a participant's key, and keeps a record: nobody reads again what this person's phones sealed.
#[derive(Args)]
pub(super) struct Destroy {
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// By whom and on what request.
    #[arg(long, value_name = "TEXT")]
    record: String,
    /// A device of the participant's. May be given several times; those that exports found out are known.
    #[arg(long, value_name = "NUMBER")]
    device: Vec<DeviceId>,
    /// The participant never had a device.
    #[arg(long)]
    no_device: bool,
    /// The participant: the pseudonym, the public key of the enrolment code, or the digest of it that the chain has.
    participant: String,
}

pub(super) fn run(command: Keys) -> Result<(), DataError> {
    match command {
        Keys::New(arguments) => new(arguments),
        Keys::List(arguments) => list(&arguments),
        Keys::Import(arguments) => import(&arguments),
        Keys::BackUp(arguments) => back_up(arguments),
        Keys::Restore(arguments) => restore(&arguments),
        Keys::Split(arguments) => split(&arguments),
        Keys::Join(arguments) => join(&arguments),
        Keys::Destroy(arguments) => destroy(arguments),
    }
}

fn new(arguments: New) -> Result<(), DataError> {
    let keys = &arguments.keys;
    let (_lock, mut folder) = match (arguments.genesis, arguments.study) {
        (Some(chain), Some(study)) => {
            let whose = Whose { chain, study };
            let lock = Lock::alone_in_new(keys, whose)?;
            (lock, KeyFolder::create(keys, whose)?)
        }
        _ => (Lock::alone(keys)?, KeyFolder::open(keys)?),
    };
    let public = folder.add_all(&arguments.participants)?;
    for (participant, public) in arguments.participants.iter().zip(public) {
        println!("{participant} {}", Key(public.0));
    }
    println!(
        "done=true made={} keys={}",
        arguments.participants.len(),
        count(&folder)
    );
    Ok(())
}

fn list(arguments: &List) -> Result<(), DataError> {
    let _lock = Lock::shared(&arguments.keys)?;
    let folder = KeyFolder::open(&arguments.keys)?;
    for (participant, key) in folder.public_keys() {
        println!("{participant} {key}");
    }
    for record in folder.destroyed() {
        println!("{} destroyed {}", record.participant, record.destroyed_at);
    }
    let whose = folder.whose();
    println!(
        "done=true keys={} destroyed={} study={} chain={} holder={}",
        count(&folder),
        folder.destroyed().count(),
        whose.study,
        whose.chain,
        Key(folder.holder()?.verifying_key().to_bytes()),
    );
    Ok(())
}

fn import(arguments: &Import) -> Result<(), DataError> {
    let _lock = Lock::alone(&arguments.keys)?;
    let mut folder = KeyFolder::open(&arguments.keys)?;
    let taken = folder.import(&arguments.file)?;
    println!("done=true taken={taken} keys={}", count(&folder));
    Ok(())
}

fn back_up(arguments: BackUp) -> Result<(), DataError> {
    let _lock = Lock::alone(&arguments.keys)?;
    let folder = KeyFolder::open(&arguments.keys)?;
    let to = match arguments.passphrase {
        true => To::Passphrase,
        false => To::Recipients(arguments.recipient),
    };
    let copy = format!("back-up {}", arguments.out.display());
    folder.back_up(&to, &arguments.out, &copy, &now_text())?;
    println!(
        "done=true keys={} back_up={}",
        count(&folder),
        arguments.out.display()
    );
    Ok(())
}

fn restore(arguments: &Restore) -> Result<(), DataError> {
    let identity = arguments.identity.as_deref();
    let (folder, taken) = KeyFolder::restore(&arguments.keys, &arguments.backup, identity)?;
    tell_left(&folder);
    println!("done=true taken={taken} keys={}", count(&folder));
    Ok(())
}

fn split(arguments: &Split) -> Result<(), DataError> {
    let _lock = Lock::alone(&arguments.keys)?;
    let folder = KeyFolder::open(&arguments.keys)?;
    let Split {
        threshold, shares, ..
    } = *arguments;
    let written = folder.split(threshold, shares, &arguments.out, &now_text())?;
    for share in &written {
        println!("{}", share.display());
    }
    println!(
        "done=true keys={} shares={shares} needed={threshold}",
        count(&folder)
    );
    Ok(())
}

fn join(arguments: &Join) -> Result<(), DataError> {
    let (folder, taken) = KeyFolder::join(&arguments.keys, &arguments.shares)?;
    tell_left(&folder);
    println!("done=true taken={taken} keys={}", count(&folder));
    Ok(())
}

/// Says whose keys a copy has on record as destroyed, and this folder has still.
fn tell_left(folder: &KeyFolder) {
    for participant in folder.left() {
        println!(
            "{participant} is erased, by the copy's record, and the key's file is here still, out of use: `mhealth-data erase \
             {participant}` takes it away."
        );
    }
}

fn destroy(arguments: Destroy) -> Result<(), DataError> {
    let _lock = Lock::alone(&arguments.keys)?;
    let mut folder = KeyFolder::open(&arguments.keys)?;
    let participant = folder.person(&arguments.participant)?;
    let record = folder.destroy(&Destruction {
        participant,
        devices: arguments.device,
        no_device: arguments.no_device,
        record: arguments.record,
        at: now_text(),
    })?;
    for copy in &record.copies {
        println!("A copy has the key still: {copy}. Destroy it, and make a new one.");
    }
    println!(
        "done=true destroyed={} devices={} copies={} keys={}",
        record.participant,
        record.devices.len(),
        record.copies.len(),
        count(&folder)
    );
    Ok(())
}

fn count(folder: &KeyFolder) -> usize {
    folder.public_keys().count()
}
