// SPDX-License-Identifier: Apache-2.0
//! The command line.

mod failure;
mod inspect;
mod simulate;

use std::{path::PathBuf, process::ExitCode, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mhealth_chain_client::Patience;
use mhealth_device::PublicKey;
use time::{macros::format_description, Date};

pub(crate) use failure::Failure;

/// A patient's device of mHealth Chain, in the direct form: it talks to a node of the chain itself.
///
/// A device seals each record into an envelope, chains it by hash with a secret that only the device has, makes that
/// durable, and registers the digest on the chain. The data stay in the state file.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything is as it should be: all entries are finalised, all heads are equal
  1  something was refused, or a head is not the chain's; nothing is lost
  2  the command line or the input file is wrong
  3  the node cannot be reached, or did not answer in time; run the same command again
  4  the node belongs to another chain, or the study does not exist there
  5  the state file or the participants' key file cannot be used
Messages begin with error[code]; the codes do not change between versions. Logs: RUST_LOG=info.";

#[derive(Debug, Subcommand)]
enum Command {
    Simulate(Box<Simulate>),
    Status(Status),
    Check(Check),
}

/// Plays a cohort: takes nights from a file or makes them up, one device a participant, one entry a night, and
/// registers them on the chain.
///
/// Can be killed at any point and started again with the same arguments: no night is lost or sealed twice. The last
/// line reads `devices= entries= duplicates= finalised= refused=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Simulate {
    /// Take the nights from this CSV file with the columns Id, Day, TotalSleepRecords, TotalMinutesAsleep and
    /// TotalTimeInBed; rows that stand twice are recognised.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["devices", "nights", "seed", "start"])]
    csv: Option<PathBuf>,
    /// Make the nights up: how many participants, each with one device.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// Make the nights up: how many nights the trial lasts. Some are missing, as in a real one.
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    nights: u32,
    /// Make the nights up: the same seed makes the same nights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Make the nights up: evening of the first night.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = date)]
    start: Date,
    #[command(flatten)]
    node: Node,
    /// Keep the devices' keys, ratchets and entries in this file. It is made when it is not there.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// The study to enrol in.
    #[arg(long, value_name = "N", default_value_t = 0)]
    study: u32,
    /// Enrol new devices with the account of this secret URI, which must be an authentication server of the study. On a
    /// development chain this is //Charlie when left out. Better given in the environment than on the command line.
    #[arg(
        long,
        value_name = "SECRET-URI",
        env = "MHEALTH_ENROL_WITH",
        hide_env_values = true
    )]
    enrol_with: Option<SecretUri>,
    /// Send at most this many entries in one run.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    run_length: u32,
    /// Whether envelopes are encrypted to the participants.
    #[arg(long, value_enum, default_value_t = EnvelopeForm::Hpke)]
    envelope: EnvelopeForm,
    /// Keep the participants' private keys in this file; it plays the holder of those keys, which a phone never has.
    /// [default: the state file's name with .participants]
    #[arg(long, value_name = "FILE")]
    participant_keys: Option<PathBuf>,
    /// Make so many entries durable at a time. A phone does one; a simulator is faster with more.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    commit_every: u32,
    /// Seal only and send nothing. A new state file then needs --genesis and --auditor-key.
    #[arg(long)]
    offline: bool,
    /// The study's X25519 key, to which secrets are escrowed, in hexadecimal; otherwise the chain is asked.
    #[arg(long, value_name = "KEY", requires = "offline", value_parser = hash)]
    auditor_key: Option<[u8; 32]>,
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

/// Compares the head of every device of a state file with the one that the chain has finalised.
///
/// Marks what turns out to be finalised, and stops devices whose head is not theirs any more. The last line reads
/// `devices= level= behind= unenrolled= stopped=`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    #[command(flatten)]
    node: Node,
    /// The state file.
    #[arg(long, value_name = "FILE", default_value = "mhealth-device.db")]
    state: PathBuf,
    /// Fail unless the file holds the device with this public key.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    device: Option<PublicKey>,
}

/// Which node.
#[derive(Debug, Args)]
struct Node {
    /// WebSocket address of a node.
    #[arg(
        long = "node",
        value_name = "URL",
        default_value = "ws://127.0.0.1:9944"
    )]
    url: String,
    /// Hash of the chain's genesis block; any other chain is refused. A state file remembers its own.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    genesis: Option<[u8; 32]>,
    /// Wait this long for a node that is not there or went away, and for the next finalised block, before giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

impl Node {
    fn patience(&self) -> Patience {
        let patience = Duration::from_secs(self.patience);
        Patience {
            connect: patience,
            reconnect: patience,
            ..Patience::default()
        }
    }
}

/// Form of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EnvelopeForm {
    /// Anybody who has the envelope can read it.
    Plain,
    /// Only the holder of the participant's private key can read it (RFC 9180).
    Hpke,
}

/// Names the secret of an account. Never shown.
#[derive(Clone)]
struct SecretUri(String);

impl FromStr for SecretUri {
    type Err = std::convert::Infallible;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        Ok(Self(uri.to_owned()))
    }
}

impl std::fmt::Debug for SecretUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretUri(redacted)")
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Simulate(options) => simulate::simulate(&options).await,
        Command::Status(options) => inspect::status(&options),
        Command::Check(options) => inspect::check(&options).await,
    }
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map_err(|_| "not a date of the form YYYY-MM-DD".into())
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
    fn debug_of_the_arguments_shows_no_secret() {
        let line = [
            "mhealth-device",
            "simulate",
            "--enrol-with",
            "bottom drive obey//secret",
        ];
        let arguments = Arguments::try_parse_from(line).expect("a valid command line");
        assert!(!format!("{arguments:?}").contains("bottom"));
    }
}
