// SPDX-License-Identifier: Apache-2.0

//! Whether any transaction takes more than it is charged, in the shapes that somebody would choose who wants blocks to take long.
//!
//! Each shape stands alone in a block of its own, in the runtime as nodes run it. What the block takes, with its storage root,
//! is compared with what it is charged, both without what an empty block takes and is charged.

mod batches;
mod offices;
mod studies;

use std::fmt::Write;
use std::path::Path;

use anyhow::{ensure, Result};
use codec::Encode;
use hashchain::testing::Phone;
use rand::rngs::StdRng;
use rand::SeedableRng;
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{Alice, Bob};

use self::batches::{mix, Shape, SHAPES};
use crate::direct::{Alone, Direct};
use crate::extrinsic::Signer;
use crate::origin::Origin;
use crate::report::replace_between;
use crate::workload::Phones;
use crate::{say, PAPER, SIGNED};

/// How many times its charge a transaction may take.
const MOST: f64 = 2.0;
/// Devices of each study, of whom each plays one shape.
const DEVICES: u32 = 40_000;
/// How often a shape is measured, each time with other devices. The middle one counts.
const TIMES: usize = 3;
/// Where the table stands in the page that it is published in.
const MARKS: [&str; 2] = [
    "<!-- scripts/bench --shapes -->",
    "<!-- /scripts/bench --shapes -->",
];

/// Measures all shapes, and so many random mixes of them; prints the table and puts it into the documentation.
pub(crate) fn run(seed: u64, mixes: usize, folder: &Path, publish: Option<&Path>) -> Result<()> {
    let origin = Origin::here();
    let mut direct = Direct::new(folder)?;
    say(format_args!("enrolling {DEVICES} devices in each study\n"));
    let mut stage = Stage::new(&mut direct, seed)?;
    let mut worst: f64 = 0.0;
    let mut table =
        String::from("| shape | runs | bytes of them | took, µs | charged, µs | took of its charge |\n|---|---|---|---|---|---|\n");
    let mut note = |name: &str, row: Row| {
        let line = row.line(name);
        say(format_args!("{line}"));
        table.push_str(&line);
        worst = worst.max(row.ratio());
    };
    for (name, make) in SHAPES {
        let rows = (0..TIMES).map(|_| {
            let shape = make(&mut stage);
            stage.measure(&mut direct, shape)
        });
        note(name, middle(rows.collect::<Result<_>>()?));
    }
    crate::direct::rest()?;
    for (name, row) in stage.offices(&mut direct)? {
        note(name, row);
    }
    let mut mixed: Option<Row> = None;
    for number in 0..mixes as u64 {
        let mut play = || {
            let shape = mix(&mut stage, &mut StdRng::seed_from_u64(seed + number));
            stage.measure(&mut direct, shape)
        };
        let mut row = play()?;
        if row.ratio() > 1.0 {
            // Most often something else had the processor.
            row = middle(vec![row, play()?, play()?]);
        }
        if mixed
            .as_ref()
            .is_none_or(|worst| worst.ratio() < row.ratio())
        {
            mixed = Some(row);
        }
    }
    if let Some(row) = mixed {
        note(&format!("the worst of {mixes} random mixes"), row);
    }
    let shapes = SHAPES.len() + 1;
    let result = format!("shapes={shapes} mixes={mixes} seed={seed} worst={worst:.2}");
    if let Some(docs) = publish {
        let table = format!("{origin}: `{result}`\n\n{table}");
        replace_between(&docs.join("performance/growth.md"), MARKS, &table)?;
    }
    say(format_args!("{result}\n"));
    ensure!(
        worst <= MOST,
        "a transaction takes {worst:.2} times what it is charged"
    );
    Ok(())
}

/// What one measurement gave.
struct Row {
    runs: usize,
    bytes: usize,
    alone: Alone,
    empty: Alone,
}

impl Row {
    fn took(&self) -> f64 {
        (self.alone.seconds - self.empty.seconds).max(0.0)
    }

    fn charged(&self) -> f64 {
        self.alone.charged_seconds - self.empty.charged_seconds
    }

    fn ratio(&self) -> f64 {
        self.took() / self.charged()
    }

    fn line(&self, name: &str) -> String {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            line,
            "| {name} | {} | {} | {:.0} | {:.0} | {:.2} |",
            self.runs,
            self.bytes,
            self.took() * 1e6,
            self.charged() * 1e6,
            self.ratio(),
        );
        line
    }
}

/// The devices that are left, who decides, and chance.
struct Stage {
    paper: Vec<Phone>,
    signed: Vec<Phone>,
    /// Of many small studies, so many devices of each.
    scattered: Vec<Vec<Phone>>,
    /// Of a study of others, whose relay nobody here is.
    foreign: Vec<Phone>,
    member: Signer,
    sponsor: Signer,
    rng: StdRng,
}

impl Stage {
    fn new(direct: &mut Direct, seed: u64) -> Result<Self> {
        let chain = direct.genesis();
        let mut enrolled = |study, first| -> Result<Vec<Phone>> {
            let phones = Phones::new(chain, study, first, DEVICES);
            direct.enrol(study, &phones)?;
            Ok(phones.each().collect())
        };
        let mut stage = Self {
            paper: enrolled(PAPER, 0)?,
            signed: enrolled(SIGNED, DEVICES)?,
            scattered: Vec::new(),
            foreign: Vec::new(),
            member: Signer::new(Alice, chain),
            sponsor: Signer::new(Bob, chain),
            rng: StdRng::seed_from_u64(seed),
        };
        stage.make_studies(direct)?;
        Ok(stage)
    }

    /// So many devices that play nothing else, their heads on as many pages as there are, or close together.
    fn take(&mut self, signed: bool, count: usize, apart: bool) -> Vec<Phone> {
        let phones = match signed {
            true => &mut self.signed,
            false => &mut self.paper,
        };
        let step = match apart {
            true => (phones.len() / count).max(1),
            false => 1,
        };
        // From behind, so that the places of those that stay do not change.
        let places: Vec<usize> = (0..count)
            .map(|place| phones.len() - 1 - place * step)
            .collect();
        places
            .into_iter()
            .map(|place| phones.remove(place))
            .collect()
    }

    /// One device that plays nothing else.
    fn one(&mut self, signed: bool) -> Phone {
        self.take(signed, 1, false).remove(0)
    }

    fn measure(&mut self, direct: &mut Direct, shape: Shape) -> Result<Row> {
        for batch in &shape.before {
            let transaction = direct.batch(&encoded(batch));
            direct.alone(vec![transaction])?;
        }
        let batch = encoded(&shape.measured);
        let row = alone(direct, batch.len(), |direct| vec![direct.batch(&batch)])?;
        Ok(Row {
            runs: shape.measured.len(),
            ..row
        })
    }
}

/// What transactions take that are made when all before them are in blocks.
fn alone(
    direct: &mut Direct,
    bytes: usize,
    make: impl FnOnce(&mut Direct) -> Vec<Vec<u8>>,
) -> Result<Row> {
    let empty = direct.alone(Vec::new())?;
    let transactions = make(direct);
    Ok(Row {
        runs: 0,
        bytes,
        alone: direct.alone(transactions)?,
        empty,
    })
}

/// The one in the middle, by how much of its charge it took.
fn middle(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    rows.swap_remove(rows.len() / 2)
}

/// Runs as a transaction brings them.
fn encoded(runs: &[hashchain::Run]) -> Vec<u8> {
    let runs: Vec<_> = runs.iter().map(on_chain).collect();
    runs.encode()
}

fn on_chain(run: &hashchain::Run) -> pallet_client_hashchain::Run {
    let entries = run
        .entries
        .iter()
        .map(|entry| pallet_client_hashchain::RunEntry {
            digest: H256(entry.digest.0),
            tag: H256(entry.tag.0),
        });
    pallet_client_hashchain::Run {
        device: run.device.0,
        sequence: run.first_sequence,
        previous: H256(run.previous.0),
        entries: entries
            .collect::<Vec<_>>()
            .try_into()
            .expect("no longer than runs are; qed"),
        signature: run.signature,
    }
}
