// SPDX-License-Identifier: Apache-2.0

//! The command line.

mod failure;
mod input;
mod inspect;
mod phone;
mod queue;
mod register;
mod simulate;
mod topology;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use hashchain::{StudyId, MAX_RUN_LENGTH};
use mhealth_chain_client::read_secret_text;
use mhealth_device_host::{Checkpoint, PublicKey};
use mhealth_simulator::cohort::csv::{parse_day, DateFormat};
use time::Date;
use zeroize::Zeroizing;

pub(crate) use failure::Failure;
use topology::{Load, Topology};

/// A patient's device of mHealth Chain.
///
/// A device seals each record into an envelope, chains it by hash with a secret that only the device has, makes that
/// durable, and only then sends anything. Through servers (--auth, --relay) relays keep the envelopes and register their
/// digests on the chain; in the direct form (--node) the device registers the digests itself and the data stay in its
/// state file.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success: all entries are finalised, all heads are equal
  1  something was refused, a head is not the chain's, relays contradict each other, or the program has a fault; nothing is lost
  2  the command line or the input file is wrong
  3  the node or the servers cannot be reached, or were too slow; run the same command again
  4  another chain, another study, or no study of this number
  5  the state file or the participants' key file cannot be used, or another program is using it
Messages begin with error[code]; the codes do not change between versions. Logs: RUST_LOG=info.";

#[derive(Debug, Subcommand)]
enum Command {
    Enrol(Box<phone::Enrol>),
    Seal(phone::Seal),
    Upload(Box<phone::Upload>),
    #[command(visible_alias = "check")]
    Sync(Box<Sync>),
    Status(Status),
    Trust(Trust),
    ExportQueue(ExportQueue),
    Simulate(Box<Simulate>),
    ListParticipants(ListParticipants),
}

/// Plays a cohort: takes nights from a file or makes them up, one device for each participant, one entry for each night,
/// and registers them on the chain, directly (--node) or through servers (--auth, --relay).
///
/// It can be killed at any point and started again with the same arguments: no night is lost or sealed twice. The last line
/// reads `devices= entries= duplicates= finalised= refused=`. With --csv or --omh the first one reads `rows= blank=
/// corrections=`. Through servers a line of figures comes before it:
/// `uploads= repeated= seconds= uploads_per_s= entries_per_s=` and the times to a relay's 202 and to finality.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Simulate {
    #[command(flatten)]
    input: input::Input,
    /// Without a file: how many participants, each with one device.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// Without a file: how many nights the trial lasts. Some are missing, as in a real one.
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    nights: u32,
    /// Without a file: the same seed makes the same nights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Without a file: evening of the first night.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = date)]
    start: Date,
    #[command(flatten)]
    topology: Topology,
    /// Get the cohort's enrolment codes with this admin credential of the authentication server. Prefer the environment to
    /// the command line.
    #[arg(
        long,
        visible_alias = "admin",
        value_name = "CREDENTIAL",
        env = "MHEALTH_ADMIN",
        hide_env_values = true
    )]
    admin_credential: Option<Secret>,
    /// File that holds this credential. Nobody but its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_ADMIN_FILE",
        conflicts_with = "admin_credential"
    )]
    admin_credential_file: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
    /// Keep the devices' keys, ratchets and entries in this file. It is created if it does not exist.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// The study to enrol in.
    #[arg(long, value_name = "N", default_value_t = StudyId(0))]
    study: StudyId,
    /// With --node: enrol new devices with the account of this secret URI, which must be an authentication server of the
    /// study. The default on a development chain is //Charlie. Prefer the environment to the command line.
    #[arg(
        long,
        value_name = "SECRET-URI",
        env = "MHEALTH_ENROL_WITH",
        hide_env_values = true
    )]
    enrol_with: Option<Secret>,
    /// File that holds this secret URI. Nobody but its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_ENROL_WITH_FILE",
        conflicts_with = "enrol_with"
    )]
    enrol_with_file: Option<PathBuf>,
    /// Send at most this many entries in one run.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=MAX_RUN_LENGTH as i64))]
    run_length: u32,
    /// Whether envelopes are encrypted to the participants.
    #[arg(long, value_enum, default_value_t = EnvelopeForm::Hpke)]
    envelope: EnvelopeForm,
    /// Keep the participants' private keys, which a phone never has, in this file.
    /// [default: the state file's name with .participants]
    #[arg(long, value_name = "FILE")]
    participant_keys: Option<PathBuf>,
    /// Entries that become durable together. A phone writes one at a time; a simulator is faster with more.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    commit_every: u32,
    /// Only seal, and send nothing. A new state file then needs --genesis and --auditor-key.
    #[arg(long)]
    offline: bool,
    /// The study's X25519 key, to which secrets are escrowed, in hexadecimal. Without --offline the chain is asked for it.
    #[arg(long, value_name = "KEY", requires = "offline", value_parser = hash)]
    auditor_key: Option<[u8; 32]>,
    /// How many keys the study's auditor had before that one.
    #[arg(long, value_name = "N", requires = "auditor_key", default_value_t = 0)]
    auditor_epoch: u32,
}

/// Shows the devices of a state file: their keys, numbers on the chain, heads, and what is queued. No secrets, no data.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Status {
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Fail unless the file holds the device with this public key.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    device: Option<PublicKey>,
}

/// Trusts a block of the chain, as the consortium named it after it changed the authorities by force.
///
/// Nobody signed for such a change, so no proof leads over it, and devices that knew the authorities before stop believing
/// relays until they are told. Never take the block from a relay.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Trust {
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// The block that changed the authorities: its hash and its number.
    #[arg(value_name = "HASH@NUMBER")]
    checkpoint: Checkpoint,
}

/// Lists the participants' public keys as the auditor's `--participants` takes them: a line each, pseudonym and key. No private keys.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ListParticipants {
    /// The file of the participants' private keys.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "mhealth-device.db.participants"
    )]
    participant_keys: PathBuf,
}

/// Compares the head of every device of a state file with the head that the chain has finalised, by what a node or relays
/// say.
///
/// Marks what is finalised, and stops devices whose head on the chain is not their own. The last line reads
/// `devices= level= behind= unenrolled= stopped=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Sync {
    #[command(flatten)]
    topology: Topology,
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Fail unless the file holds the device with this public key.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    device: Option<PublicKey>,
}

/// Writes what the devices of a state file sealed and the chain is not known to have, stopped devices above all, into a file for
/// the auditor: a line for each run, as relays export them. The last line reads `devices= runs= entries= left_out=`; left out
/// are entries of devices that the chain never gave a number.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ExportQueue {
    /// The state file. Nothing is removed from it.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Only of the device with this public key.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    device: Option<PublicKey>,
    /// The new file. It holds data as relays do: sealed to the participant, or in plain form.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Form of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EnvelopeForm {
    /// Anybody who has the envelope can read it.
    Plain,
    /// Only the holder of the participant's private key can read it (RFC 9180).
    Hpke,
}

/// The secret of an account, a credential or a code. Never shown.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl Secret {
    /// What an option says, or the file that another one names; none if neither is given.
    fn given(said: Option<&Self>, file: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(file) = file else {
            return Ok(said.cloned());
        };
        let text = read_secret_text(file).map_err(|error| {
            let message = format!("{}.", error.sentence());
            Failure::input(error.code(), message)
        })?;
        Ok(Some(Self(Zeroizing::new(text.trim().to_owned()))))
    }

    fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(secret.trim().to_owned())))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Enrol(options) => phone::enrol(&options).await,
        Command::Seal(options) => phone::seal(&options),
        Command::Upload(options) => phone::upload(&options).await,
        Command::Sync(options) => inspect::sync(&options).await,
        Command::Status(options) => inspect::status(&options),
        Command::Trust(options) => inspect::trust(&options),
        Command::ExportQueue(options) => queue::export(&options),
        Command::Simulate(options) => simulate::simulate(&options).await,
        Command::ListParticipants(options) => inspect::list_participants(&options),
    }
}

fn date(text: &str) -> Result<Date, String> {
    parse_day(text, Some(DateFormat::YearMonthDay))
        .map_err(|_| "not a date of the form YYYY-MM-DD from 1970 to 2100".into())
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
        .map(|()| bytes)
        .map_err(|_| "not 32 bytes in hexadecimal".into())
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    hash(text).map(PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn secrets_come_from_files_that_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("credential");
        std::fs::write(&file, "bottom-drive\n").expect("written");
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode));
        mode(0o640).expect("changed");
        let refused = Secret::given(None, Some(&file)).expect_err("the group can read it");
        let said = refused.to_string();
        assert!(
            said.contains("file_readable_by_others") && said.contains("chmod 600"),
            "{said}"
        );
        mode(0o600).expect("changed");
        let read = Secret::given(None, Some(&file)).expect("it is the owner's");
        assert_eq!(read.expect("it is there").expose(), "bottom-drive");

        let enrol = ["mhealth-device", "enrol", "--auth=https://a.example"];
        let is_good = |more: &[&str]| {
            let words = enrol.iter().chain(more);
            Arguments::try_parse_from(words).is_ok()
        };
        assert!(is_good(&["--code-file=code"]) && is_good(&["--code=x"]));
        assert!(!is_good(&[]) && !is_good(&["--code=x", "--code-file=code"]));
    }

    #[test]
    fn debug_of_the_arguments_shows_no_secret() {
        let simulate = [
            "simulate",
            "--enrol-with=bottom drive obey",
            "--admin=bottom-drive",
            "--auth=https://a.example",
        ];
        let enrol = ["enrol", "--code=bottom-drive", "--auth=https://a.example"];
        for line in [&simulate[..], &enrol] {
            let line = ["mhealth-device"].iter().chain(line);
            let arguments = Arguments::try_parse_from(line).expect("a valid command line");
            assert!(!format!("{arguments:?}").contains("bottom"));
        }
    }
}
