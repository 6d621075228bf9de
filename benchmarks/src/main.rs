// SPDX-License-Identifier: Apache-2.0

//! Measures what an entry costs, on mHealth Chain and beside it. `scripts/bench` runs it.

mod chain;
mod extrinsic;
mod measured;
mod postgres;
mod usage;
mod workload;

use std::io::Write;

use anyhow::{Context, Result};
use clap::Parser;

use crate::chain::{Chain, Form};
use crate::measured::Measured;
use crate::workload::{Phones, Plan, Spread};

/// Study 0 of a development chain demands signatures, study 1 does not.
const SIGNED: u32 = 0;
const PAPER: u32 = 1;

/// Measures entries a second in finalised blocks, and beside them PostgreSQL on the same entry file.
///
/// The last line is for machines: `entries_per_s= ratio_postgresql= us_per_entry= discarded=`.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Options {
    /// Fewer devices and entries: under five minutes.
    #[arg(long)]
    quick: bool,

    /// Devices of each study.
    #[arg(long)]
    devices: Option<u32>,

    /// Seconds that each measurement of the node takes, at 12,000 entries a second.
    #[arg(long)]
    seconds: Option<usize>,

    /// Which devices write.
    #[arg(long, value_enum, default_value = "uniform")]
    spread: Spread,

    /// How many runs of a hundred name a wrong previous link.
    #[arg(long, default_value_t = 0.0)]
    wrong: f64,

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

    fn run(self) -> usize {
        match self {
            Kind::Sixteen => 16,
            _ => 1,
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Runtime::new()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let devices = options.devices.unwrap_or(match options.quick {
        true => 10_000,
        false => 100_000,
    });
    let seconds = options.seconds.unwrap_or(match options.quick {
        true => 20,
        false => 60,
    });
    let folder = tempfile::Builder::new()
        .prefix("mhealth-bench-")
        .tempdir()?;
    let mut chain = Chain::start().await?;
    say(format_args!("enrolling {devices} devices in each study\n"));
    let mut phones: Vec<Phones> = Vec::new();
    for study in [SIGNED, PAPER] {
        phones.push(chain.enrol(study, devices).await?);
    }
    let kinds = Kind::ALL
        .into_iter()
        .filter(|kind| options.only.is_none_or(|only| only == *kind));
    let mut last = None;
    for kind in kinds {
        let plan = Plan {
            run: kind.run(),
            signed: kind.signed(),
            entries: seconds * 12_000,
            batch: 1_024,
            spread: options.spread,
            wrong_percent: options.wrong,
        };
        let phones = &mut phones[usize::from(!kind.signed())];
        let heads: Vec<_> = phones.heads().collect();
        let file = phones.write(&plan, &folder.path().join("entries"))?;
        let measured = chain.measure(&plan.name(), &file, Form::Runs).await?;
        show(&measured);
        let set = postgres::measure(&file, &heads, postgres::Form::SetBased, false).await?;
        show(&set);
        last = Some((measured, set));
    }
    let (ours, theirs) = last.context("nothing was measured")?;
    say(format_args!(
        "entries_per_s={:.0} ratio_postgresql={:.2} us_per_entry={:.1} discarded={}\n",
        ours.rate(),
        ours.rate() / theirs.rate(),
        ours.microseconds(),
        ours.discarded.unwrap_or_default(),
    ));
    Ok(())
}

fn show(measured: &Measured) {
    say(format_args!(
        "{}: {:.0}/s, {measured:?}\n",
        measured.system,
        measured.rate()
    ));
}

fn say(text: std::fmt::Arguments<'_>) {
    // A reader who has left needs no output.
    let _ = std::io::stdout().write_fmt(text);
}
