// SPDX-License-Identifier: Apache-2.0

//! Measures what an entry costs, on mHealth Chain and beside it. `scripts/bench` runs it.

mod author;
mod chain;
mod direct;
mod extrinsic;
mod generator;
mod growth;
mod ladder;
mod measured;
mod origin;
mod picture;
mod plan;
mod postgres;
mod prepared;
mod proposals;
mod report;
mod shapes;
mod signatures;
mod sqlite;
mod start;
mod state;
mod tally;
mod usage;
mod workload;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use clap::Parser;
use hashchain::StudyId;
use mhealth_testing::topology::{PAPER_STUDY as PAPER, SIGNED_STUDY as SIGNED};
use pallet_client_hashchain::run_checks::GROUP;

use crate::chain::Chain;
use crate::direct::Direct;
use crate::ladder::Step;
use crate::plan::{Plan, Spread, SINGLE_RUNS};
use crate::postgres::{Check, Form, Way};
use crate::report::{Part, Report};
use crate::workload::{EntryFile, Phones};

/// As in the node, whose client this program has inside.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What our own node is called in tables.
const OURS: &str = "mHealth Chain, submitted to finalised";

/// Entries that are sent one at a time to a chain that has nothing else to do, and how many a second: no multiple of a slot, so that
/// they come at any moment of one.
const ALONE: usize = 30;
const ALONE_RATE: f64 = 0.73;

/// Measures entries a second in finalised blocks, and beside them PostgreSQL on the same entry file.
///
/// The last line is for machines: `entries_per_s= ratio_postgresql= us_per_entry= discarded= final_p50_s=`.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Options {
    /// 10,000 devices of each study and 15 seconds a measurement, instead of 100,000 and 60; beside the node only PostgreSQL, in fewer
    /// ways. Takes some six minutes on two cores.
    #[arg(long)]
    quick: bool,

    /// Devices of each study.
    #[arg(long)]
    devices: Option<u32>,

    /// Seconds that each measurement of the node takes about.
    #[arg(long)]
    seconds: Option<usize>,

    /// Entries a second that relays bring; without it, as many as the node takes.
    #[arg(long)]
    rate: Option<usize>,

    /// Measures instead what an entry costs with 10,000, 100,000 and 1,000,000 devices (or so many as told), and after ten
    /// million entries.
    #[arg(long)]
    growth: bool,

    /// Measures instead whether any transaction takes more than twice what it is charged, in the shapes of an adversary.
    #[arg(long)]
    shapes: bool,

    /// Measures instead how long a node takes from its start until it answers, with its runtime compiled and without.
    #[arg(long, conflicts_with_all = ["growth", "shapes"])]
    start: bool,

    /// Random mixes of those shapes.
    #[arg(long, default_value_t = 100)]
    mixes: usize,

    /// Seed of the random mixes.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Four validators on this machine instead of one, each of which executes what the others make.
    #[arg(long)]
    network: bool,

    /// An argument for every node, such as `--node=--pool-type=fork-aware`; may be given several times.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    node: Vec<String>,

    /// Past states that a node keeps; without it, the default of the node.
    #[arg(long)]
    states: Option<u32>,

    /// Which devices write.
    #[arg(long, value_enum, default_value = "uniform")]
    spread: Spread,

    /// Entries of a batch; without it, 512 in runs of 1 and 1,024 in runs of 16.
    #[arg(long)]
    batch: Option<usize>,

    /// How many runs of a hundred name a wrong previous link.
    #[arg(long, default_value_t = 0.0)]
    wrong: f64,

    /// Writes what the node logged to this file.
    #[arg(long)]
    log: Option<PathBuf>,

    /// Writes JSON, picture and table into `performance/` of this folder of documentation.
    #[arg(long, value_name = "DOCS")]
    publish: Option<PathBuf>,

    /// Only runs of this kind.
    #[arg(long, value_enum)]
    only: Option<Kind>,
}

/// What relays bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Runs of one entry in a `HashchainOnly` study.
    Paper,
    /// Signed runs of one entry.
    Signed,
    /// Signed runs of sixteen entries.
    Sixteen,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Paper, Kind::Signed, Kind::Sixteen];

    fn signed(self) -> bool {
        self != Kind::Paper
    }

    fn study(self) -> StudyId {
        match self.signed() {
            true => SIGNED,
            false => PAPER,
        }
    }

    fn run(self) -> usize {
        match self {
            Kind::Sixteen => 16,
            _ => 1,
        }
    }

    /// Entries of a batch.
    fn batch(self) -> usize {
        match self {
            Kind::Sixteen => 1_024,
            _ => SINGLE_RUNS,
        }
    }

    /// Entries a second that the node takes about, for the length of a measurement.
    fn about(self) -> usize {
        match self {
            Kind::Paper => 55_000,
            Kind::Signed => 25_000,
            Kind::Sixteen => 90_000,
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Runtime::new()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    if options.growth {
        return growth::run(options.devices, options.publish.as_deref());
    }
    let folder = tempfile::Builder::new()
        .prefix("mhealth-bench-")
        .tempdir()?;
    if options.shapes {
        let publish = options.publish.as_deref();
        return shapes::run(options.seed, options.mixes, folder.path(), publish);
    }
    if options.start {
        return start::run(folder.path(), options.publish.as_deref()).await;
    }
    let devices = options.devices.unwrap_or(match options.quick {
        true => 10_000,
        false => 100_000,
    });
    let seconds = options.seconds.unwrap_or(match options.quick {
        true => 15,
        false => 60,
    });
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| options.only.is_none_or(|only| only == *kind))
        .collect();
    let mut studies = vec![SIGNED, PAPER];
    studies.retain(|study| kinds.iter().any(|kind| kind.study() == *study));
    say(format_args!("enrolling {devices} devices in each study\n"));
    let (network, states) = (options.network, options.states);
    let (mut chain, mut phones) =
        Chain::start(network, states, &options.node, &studies, devices).await?;
    let mut direct = match options.quick || options.network {
        true => None,
        false => Some(Direct::new(folder.path())?),
    };
    if let Some(direct) = &mut direct {
        ensure!(
            direct.genesis() == chain.genesis(),
            "the two begin with different blocks"
        );
        for (study, phones) in studies.iter().zip(&phones) {
            direct.enrol(*study, phones)?;
        }
    }
    let mut report = Report::new(devices, options.rate);
    for kind in kinds {
        let plan = Plan {
            run: kind.run(),
            signed: kind.signed(),
            entries: seconds * options.rate.unwrap_or(kind.about()),
            batch: options.batch.unwrap_or(kind.batch()),
            spread: options.spread,
            wrong_percent: options.wrong,
            bad_percent: 0.0,
            bad_in_turn: false,
        };
        let place = studies.iter().position(|study| *study == kind.study());
        let phones = &mut phones[place.context("a kind without devices")?];
        let heads = phones.heads();
        let keys = Arc::new(phones.keys());
        let path = folder.path().join("entries");
        let file = begin(&mut report, phones, plan, &path)?;
        let rate = options.rate.map(|rate| rate as f64);
        report.keep(chain.measure(OURS, &file, rate).await?);
        if let Some(log) = &options.log {
            std::fs::write(log, chain.log())?;
        }
        for way in ways(kind, options) {
            report.keep(postgres::measure(&file, &heads, &keys, way).await?);
        }
        if let Some(direct) = &mut direct {
            let registered = direct.measure(&file)?;
            report.keep(registered.made);
            report.keep(registered.imported);
            for synchronous in ["NORMAL", "FULL"] {
                report.keep(sqlite::measure(&file, &heads, synchronous, folder.path())?);
            }
            for step in Step::ALL {
                report.keep(ladder::measure(&file, &heads, step, folder.path())?);
            }
        }
        if kind != Kind::Signed || options.rate.is_some() || options.wrong > 0.0 {
            continue;
        }
        for spoiled in spoil(plan, options.quick) {
            let file = begin(&mut report, phones, spoiled, &path)?;
            report.keep(chain.measure(OURS, &file, None).await?);
            if let Some(direct) = &mut direct {
                let registered = direct.measure(&file)?;
                report.keep(registered.made);
                report.keep(registered.imported);
            }
        }
    }
    if options.rate.is_none() {
        let plan = Plan {
            run: 1,
            signed: studies[0] == SIGNED,
            entries: ALONE,
            batch: 1,
            spread: options.spread,
            wrong_percent: 0.0,
            bad_percent: 0.0,
            bad_in_turn: false,
        };
        say(format_args!("one entry at a time\n"));
        let path = folder.path().join("alone");
        let file = phones[0].write(&plan, &path)?;
        report.idle = chain.measure(OURS, &file, Some(ALONE_RATE)).await?.latency;
    }
    if !options.quick {
        say(format_args!("a second node fetches the chain\n"));
        report.sync = Some(chain.synchronise().await?);
    }
    say(format_args!("\n{}", report.table()));
    if let Some(docs) = &options.publish {
        report.publish(docs)?;
    }
    say(format_args!("{}\n", report.last_line()?));
    Ok(())
}

/// The same with some runs among the others that are to be refused.
fn spoil(plan: Plan, quick: bool) -> Vec<Plan> {
    let mut plans = vec![
        Plan {
            wrong_percent: 1.0,
            ..plan
        },
        Plan {
            bad_percent: 1.0,
            ..plan
        },
    ];
    if !quick {
        // The fewest with which the node has to check every signature by itself.
        plans.push(Plan {
            bad_percent: 100.0 / GROUP as f64,
            bad_in_turn: true,
            ..plan
        });
    }
    plans
}

/// Makes an entry file, and a part of the report for it.
fn begin(report: &mut Report, phones: &mut Phones, plan: Plan, path: &Path) -> Result<EntryFile> {
    say(format_args!("{}: making the entry file\n", plan.title()));
    let file = phones.write(&plan, path)?;
    report.parts.push(Part::new(plan, &file));
    Ok(file)
}

/// How PostgreSQL registers the entries of a kind.
fn ways(kind: Kind, options: &Options) -> Vec<Way> {
    let plain = Way::SET_BASED;
    if options.rate.is_some() {
        return vec![plain];
    }
    let mut ways = vec![
        plain,
        Way {
            connections: 2,
            ..plain
        },
    ];
    if kind.signed() {
        for check in [Check::Each, Check::Together] {
            ways.push(Way { check, ..plain });
        }
    }
    if !options.quick && !options.network {
        ways.push(Way {
            synchronous: true,
            ..plain
        });
        for form in [Form::Loop, Form::RowTrigger] {
            for synchronous in [false, true] {
                ways.push(Way {
                    form,
                    synchronous,
                    ..plain
                });
            }
        }
    }
    ways
}

fn say(text: std::fmt::Arguments<'_>) {
    // A reader who has left needs no output.
    let _ = std::io::stdout().write_fmt(text);
}
