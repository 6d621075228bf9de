// SPDX-License-Identifier: Apache-2.0

//! Kills, cuts, fills up and leans on everything under load, and then counts on the chain what the servers had acknowledged.

// What it finds out is for the person in front of it.
#![allow(clippy::print_stdout)]

mod exchange;
mod judge;
mod load;
mod network;
mod plan;
mod proxy;
mod record;
mod run;
mod site;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use mhealth_testing::{output, process};

/// The fault run: kills devices, relays, the authentication server, the node and PostgreSQL at random points under load,
/// fills disks, cuts connections, leans on servers with hostile ones. Afterwards every acknowledged entry must be on the chain
/// exactly once, every device must be able to go on, and an audit of the whole study must call every entry valid.
///
/// The last line reads `acknowledged= lost= doubled= kills=`, in entries, and the one before it `audited= false_alarms=
/// audit=`; the exit status is 0 when nothing was lost or doubled, every device went on, the audit found everything right,
/// and the kills and entries asked for were reached.
#[derive(Parser)]
#[command(
    name = "mhealth-faults",
    version,
    args_conflicts_with_subcommands = true
)]
struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// The same seed makes the same faults in the same order.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How often to kill something. Two other faults are added for three kills.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,
    /// Go on until relays have acknowledged so many entries. [default: 50 for each kill]
    #[arg(long, value_name = "N")]
    entries: Option<u64>,
    /// Processes that play devices at a time.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    lanes: u32,
    /// Devices that each of them plays.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Nights that are added to a device's diary each time its cohort has sent what it had.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    nights: u32,
    /// Folder in which two small file systems are mounted, as `relay` and `postgres`, for databases whose disk is to fill
    /// up. scripts/faults mounts them where it may. Without it no disk fills up, which is said.
    #[arg(long, value_name = "FOLDER")]
    disks: Option<PathBuf>,
    /// Where the authentication server keeps its data: in a file, or in a database of the PostgreSQL that relays share. Without it an
    /// odd seed takes the file, and an even one PostgreSQL.
    #[arg(long, value_name = "DATABASE")]
    auth_database: Option<AuthDatabase>,
    /// Folder for the chain, the databases, the devices and the record of all acknowledgements. What an earlier fault run
    /// left there is replaced.
    #[arg(long, value_name = "FOLDER", default_value = "output/faults")]
    output: PathBuf,
}

/// Where the authentication server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AuthDatabase {
    /// In a file.
    Sqlite,
    /// In PostgreSQL.
    Postgresql,
}

impl Options {
    fn auth_database(&self) -> AuthDatabase {
        let by_seed = match self.seed % 2 {
            0 => AuthDatabase::Postgresql,
            _ => AuthDatabase::Sqlite,
        };
        self.auth_database.unwrap_or(by_seed)
    }
}

/// Another run.
#[derive(Subcommand)]
enum Other {
    Network(network::Options),
}

/// Written into the folder, so that only a folder of this program's own is ever replaced.
const MARK: &str = "made-by-faults";

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match begin(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mhealth-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for, and says whether all held.
async fn begin(options: &Options) -> anyhow::Result<bool> {
    process::end_with_children()?;
    let folder = |folder: &Path| output::prepare(folder, MARK, "the fault run's");
    match &options.other {
        None => run::run(options, &folder(&options.output)?).await,
        Some(Other::Network(network)) => network::run(network, &folder(&network.output)?).await,
    }
}
