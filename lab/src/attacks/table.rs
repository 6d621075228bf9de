// SPDX-License-Identifier: Apache-2.0

//! What was measured, as a table for people and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{json, Value};

use crate::attack::Attack;
use crate::judge::{Fate, Named};
use crate::play::{After, Played, Tried};

/// Counts of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) attempts: usize,
    pub(crate) prevented: usize,
    pub(crate) detected: usize,
    pub(crate) unseen: usize,
    /// Of which the audit shows something, and names who did it, alone or among others.
    pub(crate) alone: usize,
    pub(crate) among: usize,
    pub(crate) misattributed: usize,
    pub(crate) unattributed: usize,
    /// Which did not end as they must where phones chain.
    pub(crate) unmet: usize,
}

impl Counts {
    fn of<'a>(tried: impl Iterator<Item = &'a Tried>) -> Self {
        let mut counts = Counts::default();
        for tried in tried {
            counts.attempts += 1;
            counts.unmet += usize::from(!tried.is_right());
            match tried.verdict.fate {
                Fate::Prevented => counts.prevented += 1,
                Fate::Detected => counts.detected += 1,
                Fate::Unseen => counts.unseen += 1,
            }
            match tried.verdict.named {
                Some(Named::Alone) => counts.alone += 1,
                Some(Named::Among) => counts.among += 1,
                Some(Named::Wrong) => counts.misattributed += 1,
                Some(Named::Nobody) => counts.unattributed += 1,
                None => {}
            }
        }
        counts
    }

    /// The sum of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Counts {
            attempts: self.attempts + other.attempts,
            prevented: self.prevented + other.prevented,
            detected: self.detected + other.detected,
            unseen: self.unseen + other.unseen,
            alone: self.alone + other.alone,
            among: self.among + other.among,
            misattributed: self.misattributed + other.misattributed,
            unattributed: self.unattributed + other.unattributed,
            unmet: self.unmet + other.unmet,
        }
    }

    fn json(self) -> Value {
        json!({
            "attempts": self.attempts, "prevented": self.prevented, "detected": self.detected,
            "unseen": self.unseen, "named_alone": self.alone, "named_among": self.among,
            "misattributed": self.misattributed, "named_nobody": self.unattributed, "unmet": self.unmet,
        })
    }
}

/// All that was measured.
pub(crate) struct Measured {
    pub(crate) seed: u64,
    pub(crate) attempts: u32,
    pub(crate) played: Vec<Played>,
}

/// The last line.
pub(crate) struct Sum {
    pub(crate) counts: Counts,
    pub(crate) false_alarms: usize,
    pub(crate) silenced_unseen: usize,
}

impl Sum {
    /// Whether the hashchain kept what it promises.
    pub(crate) fn held(&self) -> bool {
        let Counts {
            unseen,
            misattributed,
            unmet,
            ..
        } = self.counts;
        unseen + misattributed + unmet + self.false_alarms == 0
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempts={} prevented={} detected={} unseen={} misattributed={} false_alarms={} silenced_unseen={} unmet={}",
            self.counts.attempts,
            self.counts.prevented,
            self.counts.detected,
            self.counts.unseen,
            self.counts.misattributed,
            self.false_alarms,
            self.silenced_unseen,
            self.counts.unmet
        )
    }
}

impl Measured {
    /// The sum over the hashchain's two policies. The silenced phone is counted apart.
    pub(crate) fn sum(&self) -> Sum {
        let chained = || self.played.iter().filter(|played| played.column.chained());
        let tried = || chained().flat_map(|played| &played.tried);
        let silenced = |tried: &&Tried| tried.attack == Attack::Silenced;
        Sum {
            counts: Counts::of(tried().filter(|tried| !silenced(tried))),
            false_alarms: chained().map(|played| played.alarms.len()).sum(),
            silenced_unseen: Counts::of(tried().filter(silenced)).unseen,
        }
    }

    /// Everything, for programs.
    pub(crate) fn json(&self) -> Value {
        let columns = self.played.iter().map(|played| {
            let cells = cells(played).map(|(attack, counts)| {
                let mut cell = counts.json();
                cell["attack"] = json!(attack);
                cell["figure"] = json!(attack.figure());
                // One of them in the laboratory's own words, for people who ask what was done.
                let example = of(played, attack).next().map(|tried| &tried.about);
                cell["example"] = json!(example);
                cell["waited_seconds"] = json!(waited(played, attack).map(|it| it.as_secs_f64()));
                if let Some((median, longest)) = times(played, attack) {
                    cell["median_blocks"] = json!(median.blocks);
                    cell["median_seconds"] = json!(median.seconds);
                    cell["longest_blocks"] = json!(longest.blocks);
                    cell["longest_seconds"] = json!(longest.seconds);
                }
                cell
            });
            json!({
                "column": played.column, "title": played.column.title(),
                "honest_entries": played.honest, "false_alarms": played.alarms.len(),
                "audits": played.audits, "seconds": played.took.as_secs_f64(),
                "attacks": cells.collect::<Vec<_>>(),
            })
        });
        json!({
            "schema": "mhealth-attacks/1", "seed": self.seed, "attempts_a_cell": self.attempts,
            "columns": columns.collect::<Vec<_>>(), "last_line": self.sum().to_string(),
        })
    }
}

fn cells(played: &Played) -> impl Iterator<Item = (Attack, Counts)> + '_ {
    let counted = Attack::ALL
        .into_iter()
        .map(|attack| (attack, cell(played, attack)));
    counted.filter(|(_, counts)| counts.attempts > 0)
}

/// Counts of an attack in a column.
pub(crate) fn cell(played: &Played, attack: Attack) -> Counts {
    Counts::of(of(played, attack))
}

fn of(played: &Played, attack: Attack) -> impl Iterator<Item = &Tried> {
    let is = move |tried: &&Tried| tried.attack == attack;
    played.tried.iter().filter(is)
}

/// Median and longest time until an audit saw it.
fn times(played: &Played, attack: Attack) -> Option<(After, After)> {
    let after: Vec<After> = of(played, attack).filter_map(|tried| tried.after).collect();
    let mut blocks: Vec<u64> = after.iter().map(|after| after.blocks).collect();
    let mut seconds: Vec<f64> = after.iter().map(|after| after.seconds).collect();
    blocks.sort_unstable();
    seconds.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| {
        Some(After {
            blocks: *blocks.get(place)?,
            seconds: *seconds.get(place)?,
        })
    };
    Some((at(after.len() / 2)?, at(after.len().checked_sub(1)?)?))
}

/// How long an honest party waited at most.
pub(crate) fn waited(played: &Played, attack: Attack) -> Option<Duration> {
    of(played, attack).filter_map(|tried| tried.waited).max()
}

/// `12 prevented, 8 detected` of a cell.
fn words(counts: Counts) -> String {
    let parts = [
        (counts.prevented, "prevented"),
        (counts.detected, "detected"),
        (counts.unseen, "UNSEEN"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = parts
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    words.join(", ")
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:<31}", "figure", "attack")?;
        for played in &self.played {
            write!(f, " | {:<26}", played.column.title())?;
        }
        writeln!(f)?;
        let tried = |attack: &Attack| {
            self.played
                .iter()
                .any(|played| cell(played, *attack).attempts > 0)
        };
        for attack in Attack::ALL.into_iter().filter(tried) {
            let figure = attack
                .figure()
                .map_or("-".into(), |figure| figure.to_string());
            write!(f, "{figure:<6} {:<31}", attack.title())?;
            for played in &self.played {
                let cell = match attack.applies(played.column) {
                    true => words(cell(played, attack)),
                    false => "-".into(),
                };
                write!(f, " | {cell:<26}")?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<38}", "honest entries called wrong")?;
        for played in &self.played {
            let alarms = format!("{} of {}", played.alarms.len(), played.honest);
            write!(f, " | {alarms:<26}")?;
        }
        writeln!(f)?;
        for played in self.played.iter().filter(|played| played.column.chained()) {
            attribution(f, played)?;
        }
        Ok(())
    }
}

/// Who was named, and how long it took.
fn attribution(f: &mut fmt::Formatter<'_>, played: &Played) -> fmt::Result {
    writeln!(
        f,
        "\n{}: {} audits in {:.0} s while attacks went on. Who was named, of what an audit shows, how long detection took, and how long honest \
         parties waited at most:",
        played.column.title(),
        played.audits,
        played.took.as_secs_f64()
    )?;
    writeln!(
        f,
        "{:<31} {:>6} {:>6} {:>6} {:>6} {:>6}   {:<20} {:<20} {:>8}",
        "attack",
        "alone",
        "among",
        "wrong",
        "none",
        "unmet",
        "blocks (median, max)",
        "seconds (median, max)",
        "waited s"
    )?;
    for (attack, counts) in cells(played) {
        let (blocks, seconds) = match times(played, attack) {
            Some((median, longest)) => (
                format!("{}, {}", median.blocks, longest.blocks),
                format!("{:.1}, {:.1}", median.seconds, longest.seconds),
            ),
            None => ("-".into(), "-".into()),
        };
        let waited = waited(played, attack);
        let waited = waited.map_or("-".into(), |it| format!("{:.1}", it.as_secs_f64()));
        writeln!(
            f,
            "{:<31} {:>6} {:>6} {:>6} {:>6} {:>6}   {blocks:<20} {seconds:<20} {waited:>8}",
            attack.title(),
            counts.alone,
            counts.among,
            counts.misattributed,
            counts.unattributed,
            counts.unmet
        )?;
    }
    Ok(())
}
