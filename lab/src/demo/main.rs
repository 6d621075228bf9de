// SPDX-License-Identifier: Apache-2.0

//! A whole trial on this machine: a development chain, real nights, what must be refused, attacks, their audit, and a dataset.

// What it finds out is for the person in front of it.
#![allow(clippy::print_stdout)]

mod attacks;
mod attempts;
mod dataset;
mod evidence;
mod liar;
mod report;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use hashchain::DeviceId;
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::{node_binary, Node};
use mhealth_testing::topology::{Site, Topology};
use mhealth_testing::{output, process};

/// Runs a whole trial on this machine: starts a development chain, an authentication server and relays, enrols devices,
/// registers every night of theirs, tries what must be refused, compares every head on chain with the device's own, has a
/// relay lie to a phone, plays the paper's three attacks on the trial, audits it, signs the report, and makes a dataset of its nights.
#[derive(Parser)]
#[command(name = "mhealth-demo", version)]
struct Options {
    /// Nights of real people, in the shape of Fitbit's sleepDay_merged.csv (columns Id, Day, TotalSleepRecords,
    /// TotalMinutesAsleep, TotalTimeInBed). Without it, the project's own generator makes them.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Order of day, month and year in dates that do not begin with the year: mdy, as Fitbit writes them, or dmy.
    #[arg(long, value_name = "ORDER", requires = "csv")]
    date_format: Option<String>,
    /// How phones reach the chain, by the paper's Figures 1 and 2.
    #[arg(long, default_value = "1c")]
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

/// Written into the folder, so that only a folder of this program's own is ever replaced.
const MARK: &str = "made-by-demo";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mhealth-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo, and says whether everything held.
async fn run(options: &Options) -> Result<bool> {
    process::end_with_children()?;
    let topology = options.topology;
    output::prepare(&options.output, MARK, "the demo's")?;

    println!(
        "Starting a development chain: one validator, Aura and GRANDPA, a block every two seconds."
    );
    println!("{}", servers_of(topology));
    let site = Site::start(topology, &options.output).await?;
    let node = site.node();
    let chain = ChainClient::connect(&node.url()).await?;

    println!("Registering the nights: {}", way_of(topology));
    let trial = trial::Trial {
        cohorts: site.cohorts(),
        node: node.url(),
        folder: options.output.clone(),
    };
    let nights = trial::Nights {
        csv: options.csv.clone(),
        date_format: options.date_format.clone(),
        quick: options.quick,
    };
    let registered = trial.register(&nights)?;

    println!("Trying what must be refused:");
    let cast = attacks::Cast::appoint(&chain).await?;
    let (attempts, tried) = attempts::run(&chain, &cast).await?;
    for attempt in &attempts {
        println!("  {attempt}");
    }
    let refused = attempts.iter().filter(|attempt| attempt.held).count();

    let complete = registered.finalised == registered.entries && registered.refused == 0;
    let heads = if topology.phones_chain() {
        println!("Comparing every head on chain with the device's own:");
        match trial.heads_equal()? {
            true => Heads::Equal,
            false => Heads::Different,
        }
    } else {
        Heads::Unknown
    };
    let caught = match topology.phones_chain() {
        true => liar::meet(&site, &chain, &options.output).await?,
        false => None,
    };
    if let Some(caught) = &caught {
        println!("Lying to a phone:");
        println!("  {caught}");
    }
    let caught_entries = caught.as_ref().map_or(0, |caught| caught.arrived);
    let caught = caught.is_none_or(|caught| caught.held);
    // Where phones do not chain there is nothing that an audit could hold on to.
    let audited = match topology.phones_chain() {
        true => Some(audit(&site, &chain, &cast, tried, &options.output).await?),
        false => None,
    };
    println!("Proving what stands on the chain to somebody who has nothing but a file and the chain's first hash:");
    let proved = evidence::prove_and_verify(&site, &chain, &options.output)?;
    println!("  {proved}");
    let dataset = match &audited {
        Some(Audited { key, .. }) => dataset::make(&site, &chain, key, &options.output).await?,
        None => None,
    };
    if let Some(dataset) = &dataset {
        println!("Making a dataset of the valid nights, and checking it:");
        for line in &dataset.told {
            println!("  {line}");
        }
    }
    // Of the phone that was lied to, too.
    let counted = registered.entries + caught_entries;
    // Without an audit, or a relay that has the data, there is nothing to make one of.
    let has_data = audited.is_some() && !site.audit().relays.is_empty();
    let analysed = match dataset {
        Some(dataset) => dataset.nights == counted,
        None => !has_data,
    };
    let held = complete
        && heads != Heads::Different
        && refused == attempts.len()
        && audited.is_none_or(|audited| audited.held)
        && caught
        && analysed;
    println!();
    summary(
        node,
        &options.output.join("chain"),
        &registered,
        refused,
        attempts.len(),
        heads,
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
        match (held, heads) {
            (false, _) => "failed",
            (true, Heads::Unknown) => "uncovered",
            (true, _) => "passed",
        },
    );
    Ok(held)
}

/// What came of the audit.
struct Audited {
    /// Whether it found the attacks, and nothing else.
    held: bool,
    /// The key that signed its reports.
    key: report::ReportKey,
}

/// Plays the attacks, audits the trial, and has the reports checked.
async fn audit(
    site: &Site,
    chain: &ChainClient,
    cast: &attacks::Cast,
    tried: DeviceId,
    output: &std::path::Path,
) -> Result<Audited> {
    println!("Attacking the trial, and auditing it:");
    let attacks = attacks::play(cast).await?;
    let key = report::ReportKey::make(output)?;
    let report = attacks::audit(site, cast, &key, output).await?;
    let found = attacks::found(&report, &attacks);
    for attack in &found {
        println!("  {attack}");
    }
    let alarms = attacks::false_alarms(&report, &attacks, tried);
    for alarm in &alarms {
        println!("  NOT AS EXPECTED: {alarm}");
    }
    println!(
        "  Of {} registered entries, the audit finds nothing else wrong than what was planted: {}. Its report is {}.",
        report.summary.registered,
        if alarms.is_empty() { "yes" } else { "no" },
        output.join("audit.html").display()
    );
    println!("Checking that its report is as the auditor signed it:");
    let genesis = format!("{:?}", chain.genesis_hash());
    for line in report::check(output, &key, &genesis)? {
        println!("  {line}");
    }
    Ok(Audited {
        held: alarms.is_empty() && found.iter().all(|attack| attack.held),
        key,
    })
}

/// How the heads on chain compare with the devices' own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heads {
    Equal,
    Different,
    /// The devices have none: relays chained for them.
    Unknown,
}

impl Heads {
    fn sentence(self) -> &'static str {
        match self {
            Heads::Equal => "The heads on chain are equal to the devices' own.",
            Heads::Different => "The heads on chain are NOT equal to the devices' own.",
            Heads::Unknown => {
                "The phones did not chain their entries, so nobody can tell what the relays did to them."
            }
        }
    }
}

fn servers_of(topology: Topology) -> &'static str {
    match topology {
        Topology::Direct => "No servers: phones talk to the chain themselves (Figure 1a).",
        Topology::OneRelay => "Starting an authentication server and one relay (Figures 1b and 2c).",
        Topology::SeveralRelays => {
            "Starting an authentication server and two relays that each hold every run (Figures 1c and 2c)."
        }
        Topology::OneOfficeUnchained => {
            "Starting an authentication server and two relays that chain for the phones (Figure 2a)."
        }
        Topology::OfficePerRelayUnchained => {
            "Starting two relays that chain for the phones, each with an authentication server of its own (Figure 2b)."
        }
    }
}

fn way_of(topology: Topology) -> &'static str {
    match topology {
        Topology::Direct => "each device seals, chains and signs its entries, then sends them itself.",
        Topology::OneRelay | Topology::SeveralRelays => {
            "each device enrols with a code, seals, chains and signs its entries, then uploads them."
        }
        _ => "each device enrols with a code and uploads its entries as they are.",
    }
}

/// What happened, in ten lines.
fn summary(
    node: &Node,
    chain_folder: &std::path::Path,
    registered: &trial::Registered,
    refused: usize,
    attempts: usize,
    heads: Heads,
) -> Result<()> {
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
    println!("  {}", heads.sentence());
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
