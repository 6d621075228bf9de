// SPDX-License-Identifier: Apache-2.0

//! What an entry costs when a chain has many devices, or has run for long.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::direct::{Direct, Registered};
use crate::origin::Origin;
use crate::plan::{policy, Plan, Spread, SINGLE_RUNS};
use crate::report::replace_between;
use crate::workload::Phones;
use crate::{say, PAPER, SIGNED};

/// Numbers of devices of each study that are measured.
const DEVICES: [u32; 3] = [10_000, 100_000, 1_000_000];
/// Entries of one measurement.
const ENTRIES: usize = 1_000_000;
/// Measurements of the chain that runs for long, and how many devices each of its studies has.
const LONG: (u32, usize) = (100_000, 10);
/// Where the table stands in the page that it is published in.
const MARKS: [&str; 2] = [
    "<!-- scripts/bench --growth -->",
    "<!-- /scripts/bench --growth -->",
];

/// Measures, prints the table, and puts it into the documentation.
pub(crate) fn run(devices: Option<u32>, publish: Option<&Path>) -> Result<()> {
    let origin = Origin::here();
    let mut table = String::from(
        "| devices of each study | policy | who writes | entries before | proposed, µs per entry | charged, µs | made, µs (processor) | \
         imported, µs (processor) | bytes per entry in blocks | bytes per entry on disk | entries a block |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let all = devices.map_or(DEVICES.to_vec(), |devices| vec![devices]);
    for devices in all {
        let folder = tempfile::Builder::new()
            .prefix("mhealth-growth-")
            .tempdir()?;
        let mut direct = Direct::new(folder.path())?;
        say(format_args!("enrolling {devices} devices in each study\n"));
        let mut phones = [
            Phones::new(direct.genesis(), PAPER, 0, devices),
            Phones::new(direct.genesis(), SIGNED, devices, devices),
        ];
        let mut note = |row: String| {
            say(format_args!("{row}"));
            table.push_str(&row);
        };
        for (study, phones) in [PAPER, SIGNED].into_iter().zip(&phones) {
            let enrolled = direct.enrol(study, phones)?;
            note(row(
                devices,
                policy(study == SIGNED),
                "enrolled",
                0,
                &enrolled,
            ));
        }
        let long = if devices == LONG.0 { LONG.1 } else { 1 };
        let measurements = std::iter::repeat_n((false, Spread::Uniform), long)
            .chain([(false, Spread::Neighbours)])
            .chain([(true, Spread::Uniform), (true, Spread::Neighbours)]);
        for (measurement, (signed, spread)) in measurements.enumerate() {
            let plan = Plan {
                run: 1,
                signed,
                entries: ENTRIES,
                batch: SINGLE_RUNS,
                spread,
                wrong_percent: 0.0,
                bad_percent: 0.0,
                bad_in_turn: false,
            };
            let phones = &mut phones[usize::from(signed)];
            let file = phones.write(&plan, &folder.path().join("entries"))?;
            let registered = direct.measure(&file)?;
            let spread = format!("{spread:?}");
            let before = measurement * ENTRIES;
            note(row(devices, plan.policy(), &spread, before, &registered));
        }
    }
    say(format_args!("\n{table}"));
    let Some(docs) = publish else {
        return Ok(());
    };
    let text = format!("{origin}:\n\n{table}");
    replace_between(&docs.join("performance/growth.md"), MARKS, &text)
}

fn row(
    devices: u32,
    policy: &str,
    who: &str,
    before: usize,
    Registered {
        made,
        imported,
        proposed_seconds,
        blocks,
        bytes,
    }: &Registered,
) -> String {
    let mut row = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        row,
        "| {devices} | {policy} | {who} | {before} | {:.1} | {:.1} | {:.1} ({:.1}) | {:.1} ({:.1}) | {:.0} | {:.0} | {} |",
        proposed_seconds * 1e6 / made.entries as f64,
        made.charged_microseconds().unwrap_or_default(),
        made.microseconds(),
        made.processor_per_million(),
        imported.microseconds(),
        imported.processor_per_million(),
        *bytes as f64 / made.entries as f64,
        imported.bytes_per_entry.unwrap_or_default(),
        made.entries / *blocks as usize,
    );
    row
}
