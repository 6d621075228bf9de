// SPDX-License-Identifier: Apache-2.0

//! What a run of the benchmarks found, as a table, as JSON and as a picture.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mhealth_runtime::limits::SLOT_MILLISECONDS;
use serde::Serialize;

use crate::chain::Sync;
use crate::measured::{Latency, Measured};
use crate::origin::Origin;
use crate::picture::picture;
use crate::plan::Plan;
use crate::postgres::{Check, Way};
use crate::say;
use crate::workload::EntryFile;

/// Where the tables stand in the page that they are published in.
const MARKS: [&str; 2] = ["<!-- scripts/bench -->", "<!-- /scripts/bench -->"];
/// The same of a run in which relays brought so many entries a second and no more.
const MARKS_OF_RATE: [&str; 2] = [
    "<!-- scripts/bench --rate -->",
    "<!-- /scripts/bench --rate -->",
];

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where it comes from.
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// Devices of each study.
    pub(crate) devices: u32,
    /// Entries a second that relays brought; none if they brought what the node took.
    pub(crate) rate: Option<usize>,
    /// One for each entry file.
    pub(crate) parts: Vec<Part>,
    /// How long entries take that come one at a time, on a chain that has nothing else to do.
    pub(crate) idle: Option<Latency>,
    /// How a second node came to have the same chain, where that was measured.
    pub(crate) sync: Option<Sync>,
}

/// What was measured with one entry file.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    /// How the file was made.
    pub(crate) plan: Plan,
    /// Its batches.
    pub(crate) batches: usize,
    /// Its entries.
    pub(crate) entries: usize,
    /// How many of them are to be refused.
    pub(crate) wrong: usize,
    /// What the systems made of it, our own first.
    pub(crate) measured: Vec<Measured>,
}

impl Part {
    /// Nothing measured yet.
    pub(crate) fn new(plan: Plan, file: &EntryFile) -> Self {
        Part {
            plan,
            batches: file.batches,
            entries: file.entries,
            wrong: file.wrong,
            measured: Vec::new(),
        }
    }

    /// Our own node.
    pub(crate) fn ours(&self) -> Option<&Measured> {
        self.measured.first()
    }

    /// How many times as fast as PostgreSQL's set-based function, where that was measured.
    pub(crate) fn ratio(&self, measured: &Measured) -> Option<f64> {
        let mut all = self.measured.iter();
        let reference = Way::SET_BASED.name();
        let reference = all.find(|measured| measured.system == reference)?;
        Some(measured.rate() / reference.rate())
    }

    /// How many times as fast as PostgreSQL doing the same work our node is: where runs are signed, with a server before it
    /// that checks each signature. None where that was not measured.
    fn same_work(&self) -> Option<f64> {
        let check = match self.plan.signed {
            true => Check::Each,
            false => Check::Nothing,
        };
        let name = Way {
            check,
            ..Way::SET_BASED
        }
        .name();
        let other = self.measured.iter().find(|it| it.system == name)?;
        Some(self.ours()?.rate() / other.rate())
    }
}

impl Report {
    /// An empty one about this machine.
    pub(crate) fn new(devices: u32, rate: Option<usize>) -> Self {
        Report {
            origin: Origin::here(),
            devices,
            rate,
            parts: Vec::new(),
            idle: None,
            sync: None,
        }
    }

    /// The tables, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "**{}**: {} devices, {} entries in batches of {}\n",
                part.plan.title(),
                self.devices,
                part.entries,
                part.plan.batch
            );
            text.push_str(
                "| system | entries/s | µs per entry | times PostgreSQL | processor seconds per million entries | bytes per entry | permanent | p50, p99, longest | refused | discarded | longest proposal |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|\n",
            );
            for measured in &part.measured {
                let latency = measured.latency.map(|latency| {
                    format!(
                        "{}, {}, {}",
                        span(latency.p50),
                        span(latency.p99),
                        span(latency.max)
                    )
                });
                let ratio = part.ratio(measured).map(|ratio| format!("{ratio:.2}"));
                let whole = |bytes: f64| format!("{bytes:.0}");
                let discarded = measured.discarded.map(|count| count.to_string());
                let longest = measured.longest_proposal.map(proposal);
                let _ = writeln!(
                    text,
                    "| {} | {:.0} | {:.1} | {} | {:.1} | {} | {} | {} | {} | {} | {} |",
                    measured.system,
                    measured.rate(),
                    measured.microseconds(),
                    ratio.unwrap_or_default(),
                    measured.processor_per_million(),
                    measured.bytes_per_entry.map(whole).unwrap_or_default(),
                    measured.permanent_bytes.map(whole).unwrap_or_default(),
                    latency.unwrap_or_default(),
                    measured.refused,
                    discarded.unwrap_or_default(),
                    longest.unwrap_or_default(),
                );
            }
            text.push('\n');
            if let Some(ratio) = part.same_work() {
                let _ = writeln!(text, "The same work: {ratio:.2} times PostgreSQL.\n");
            }
            if let Some(share) = self.share_of_unspoiled(part) {
                let _ = writeln!(text, "{share:.2} of the rate without such runs.\n");
            }
        }
        if let Some(idle) = self.idle {
            let _ = writeln!(
                text,
                "One entry at a time, on a chain that has nothing else to do, is final after {} (half of them), {} (99 of 100), {} (all).\n",
                span(idle.p50),
                span(idle.p99),
                span(idle.max),
            );
        }
        if let Some(sync) = self.sync {
            let per_entry = |bytes: u64| bytes as f64 / sync.entries.max(1) as f64;
            let _ = writeln!(
                text,
                "A second node, started afterwards, fetched and executed the {} blocks with their {} entries in {:.0} s: {:.0} \
                 entries a second. The first node's database, all blocks and the latest states, takes {:.0} bytes an entry on \
                 disk; the second's, with the states of all blocks, {:.0}.\n",
                sync.blocks,
                sync.entries,
                sync.seconds,
                sync.entries as f64 / sync.seconds,
                per_entry(sync.bytes_pruned),
                per_entry(sync.bytes_archive),
            );
        }
        let ours = self.parts.iter().filter_map(Part::ours);
        let longest = ours.filter_map(|measured| measured.longest_proposal);
        if let Some(longest) = longest.max_by(f64::total_cmp) {
            let _ = writeln!(
                text,
                "The longest proposal was ready after {}.\n",
                proposal(longest)
            );
        }
        text
    }

    /// How fast our node is with runs that are to be refused among others, as a share of how fast it is with the same and
    /// without those.
    fn share_of_unspoiled(&self, part: &Part) -> Option<f64> {
        let alike = |other: &&Part| {
            let (one, other) = (&part.plan, &other.plan);
            !other.is_spoiled() && (one.run, one.signed) == (other.run, other.signed)
        };
        let without = self.parts.iter().find(alike)?.ours()?;
        part.plan
            .is_spoiled()
            .then_some(part.ours()?.rate() / without.rate())
    }

    /// The last line, for machines: the slowest of what our node was measured with, runs that are to be refused left out; the lowest
    /// ratio to PostgreSQL doing the same work; and after how long half of the entries are final that come one at a time, or
    /// at the rate that was asked for.
    pub(crate) fn last_line(&self) -> Result<String> {
        let ours = self
            .parts
            .iter()
            .filter_map(|part| Some((part, part.ours()?)));
        let discarded: usize = ours
            .clone()
            .filter_map(|(_, measured)| measured.discarded)
            .sum();
        let plain = || self.parts.iter().filter(|part| !part.plan.is_spoiled());
        let (_, slowest) = ours
            .filter(|(part, _)| plain().count() == 0 || !part.plan.is_spoiled())
            .min_by(|one, other| one.1.rate().total_cmp(&other.1.rate()))
            .context("nothing was measured")?;
        let ratios = self.parts.iter().filter_map(Part::same_work);
        let lowest = ratios.min_by(f64::total_cmp).unwrap_or(f64::NAN);
        let waits = self.parts.iter().filter_map(|part| part.ours()?.latency);
        let at_rate = waits.map(|latency| latency.p50).max_by(f64::total_cmp);
        let idle = self.idle.map(|latency| latency.p50);
        Ok(format!(
            "entries_per_s={:.0} ratio_postgresql={lowest:.3} us_per_entry={:.1} discarded={discarded} final_p50_s={:.2}",
            slowest.rate(),
            slowest.microseconds(),
            idle.or(at_rate).unwrap_or(f64::NAN),
        ))
    }

    /// Adds what was measured to the last part, and says so.
    pub(crate) fn keep(&mut self, measured: Measured) {
        say(format_args!(
            "{}: {:.0}/s\n",
            measured.system,
            measured.rate()
        ));
        if let Some(part) = self.parts.last_mut() {
            part.measured.push(measured);
        }
    }

    /// Writes JSON and picture into `performance/` of the documentation, and the table into the page of that name.
    pub(crate) fn publish(&self, docs: &Path) -> Result<()> {
        let (name, marks) = match self.rate {
            None => ("bench", MARKS),
            Some(_) => ("rate", MARKS_OF_RATE),
        };
        let folder = docs.join("performance");
        let json = serde_json::to_string_pretty(self)? + "\n";
        fs::write(folder.join(format!("{name}.json")), json)?;
        fs::write(folder.join(format!("{name}.svg")), picture(&self.parts))?;
        let text = format!(
            "{}; as [JSON]({name}.json).\n\n![entries a second]({name}.svg)\n\n{}",
            self.origin,
            self.table(),
        );
        replace_between(&folder.join(format!("{name}.md")), marks, &text)
    }
}

/// Puts a text between two marks of a page.
pub(crate) fn replace_between(page: &Path, marks: [&str; 2], between: &str) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let (before, rest) = text.split_once(marks[0]).context("the page has no mark")?;
    let (_, after) = rest
        .split_once(marks[1])
        .context("the page has no end mark")?;
    fs::write(
        page,
        format!("{before}{}\n{between}{}{after}", marks[0], marks[1]),
    )?;
    Ok(())
}

/// After how many seconds a proposal was ready, and which share of its slot that is.
fn proposal(seconds: f64) -> String {
    let share = seconds * 1e3 / SLOT_MILLISECONDS as f64;
    format!("{} ({share:.2} of its slot)", span(seconds))
}

/// A span of time in a unit that people can read.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests;
