// SPDX-License-Identifier: Apache-2.0

//! A whole trial on this machine: a development chain, real nights, and what must be refused.

// What it finds out is for the person in front of it.
#![allow(clippy::print_stdout)]

mod attempts;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use clap::{Parser, ValueEnum};
use mhealth_chain_client::ChainClient;
use mhealth_tests::node::{node_binary, Launch, Node};

/// Runs a whole trial on this machine: starts a development chain, enrols devices, registers every night of theirs,
/// tries what must be refused, and compares every head on chain with the device's own.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Options {
    /// Nights of real people, in the shape of Fitbit's sleepDay_merged.csv (columns Id, Day, TotalSleepRecords,
    /// TotalMinutesAsleep, TotalTimeInBed). Without it, the project's own generator makes them.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// How phones reach the chain, by the paper's Figure 1.
    #[arg(long, default_value = "1a")]
    topology: Topology,
    /// Fewer devices and nights. Has no effect on `--csv`.
    #[arg(long)]
    quick: bool,
    /// Folder for the chain's database and the devices' state. What an earlier demo left there is replaced.
    #[arg(long, value_name = "FOLDER", default_value = "output/demo")]
    output: PathBuf,
    /// Leave the chain running at the end, until Ctrl-C.
    #[arg(long)]
    keep_running: bool,
}

/// The topologies of the paper's Figure 1 that the programs of this version form.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topology {
    /// Each device talks to the chain itself.
    #[value(name = "1a")]
    Direct,
}

/// Written into the folder, so that only a folder of this program's own is ever replaced.
const MARK: &str = "made-by-demo";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo, and says whether everything held.
async fn run(options: &Options) -> Result<bool> {
    let Topology::Direct = options.topology;
    prepare(&options.output)?;
    let chain_folder = options.output.join("chain");

    println!(
        "Starting a development chain: one validator, Aura and GRANDPA, a block every two seconds."
    );
    let node = Launch::consensus()
        .base_path(&chain_folder)
        .arg("--state-pruning=archive")
        .start()?;
    let chain = ChainClient::connect(&node.url()).await?;

    println!("Registering the nights: each device seals, chains and signs its entries, then sends them itself.");
    let trial = trial::Trial {
        node: node.url(),
        state: options.output.join("devices.db"),
    };
    let registered = trial.register(options.csv.as_deref(), options.quick)?;

    println!("Trying what must be refused:");
    let attempts = attempts::run(&chain).await?;
    for attempt in &attempts {
        println!("  {attempt}");
    }
    let refused = attempts.iter().filter(|attempt| attempt.held).count();

    println!("Comparing every head on chain with the device's own:");
    let heads_equal = trial.heads_equal()?;

    let complete = registered.finalised == registered.entries && registered.refused == 0;
    let held = complete && heads_equal && refused == attempts.len();
    println!();
    summary(
        &node,
        &chain_folder,
        &registered,
        refused,
        attempts.len(),
        heads_equal,
    )?;
    if options.keep_running {
        println!("The chain runs until Ctrl-C.");
        tokio::signal::ctrl_c().await?;
    }
    println!(
        "devices={} entries={} duplicates={} finalised={} refused={refused} audit={}",
        registered.devices,
        registered.entries,
        registered.duplicates,
        registered.finalised,
        if held { "passed" } else { "failed" },
    );
    Ok(held)
}

/// Empties the output folder if it is one of this program's own.
fn prepare(output: &std::path::Path) -> Result<()> {
    if output.exists() {
        if !output.join(MARK).exists() {
            bail!(
                "the folder {} is not one of the demo's own; name another by --output",
                output.display()
            );
        }
        std::fs::remove_dir_all(output)?;
    }
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    std::fs::write(output.join(MARK), "")?;
    Ok(())
}

/// What happened, in ten lines.
fn summary(
    node: &Node,
    chain_folder: &std::path::Path,
    registered: &trial::Registered,
    refused: usize,
    attempts: usize,
    heads_equal: bool,
) -> Result<()> {
    let heads = if heads_equal { "equal" } else { "NOT equal" };
    println!("What happened:");
    println!(
        "  {} devices were enrolled by the study's authentication server.",
        registered.devices
    );
    println!(
        "  {} nights became entries, {} rows of the file were duplicates.",
        registered.entries, registered.duplicates
    );
    println!(
        "  {} entries stand in finalised blocks, {} were refused.",
        registered.finalised, registered.refused
    );
    println!("  {refused} of {attempts} attempts to cheat failed, and none changed the state.");
    println!("  The heads on chain are {heads} to the devices' own.");
    println!("To look at the chain in polkadot-js Apps, start it again and open the address:");
    println!(
        "  {} --dev --base-path {} --state-pruning archive",
        node_binary()?.display(),
        chain_folder.display()
    );
    println!("  https://polkadot.js.org/apps/?rpc=ws://127.0.0.1:9944#/explorer");
    if node.process_id().is_some() {
        println!("  (while this program runs, it is at {})", node.url());
    }
    println!("  Developer > Chain state > clientHashchain, and Developer > Runtime calls > hashchainApi.");
    Ok(())
}
