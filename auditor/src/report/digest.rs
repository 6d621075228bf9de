// SPDX-License-Identifier: Apache-2.0

//! What a report keeps of a judged device: little, however many entries it has.

use std::collections::BTreeMap;

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{DeviceStatus, Key};
use serde::{Deserialize, Serialize};

use crate::audit::{ErasedDevice, Judged};
use crate::participants::ParticipantList;
use crate::verdict::{Finding, JudgedConflict, JudgedEntry, Outcome, Uncovered, Verdict};

/// How many entries that are not right a page shows of one device. All are counted, and all are in the JSON report.
const SHOWN: usize = 100;

/// Upper ends of the delays that are told apart, in seconds, with their names.
pub(super) const DELAYS: [(u64, &str); 7] = [
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 day"),
    (u64::MAX, "longer"),
];

/// The whole audit in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Devices that were judged.
    pub devices: u64,
    /// Entries that are on the chain.
    pub registered: u64,
    /// Entries that got a verdict: those, and all others that were seen.
    pub entries: u64,
    /// How many entries got each verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// How many findings there are on devices.
    pub findings: u64,
    /// How many rival histories the chain recorded.
    pub conflicts: u64,
    /// Registered entries that no extrinsic accounts for.
    pub unaccounted: u64,
    /// `right`, `wrong` or `not_covered`.
    pub outcome: Option<Outcome>,
}

impl Summary {
    /// Adds a device.
    pub fn add(&mut self, judged: &Judged<'_>) {
        let judgement = &judged.judgement;
        self.devices += 1;
        self.registered += judged.record.length;
        self.entries += judgement.entries.len() as u64;
        self.findings += judgement.findings.len() as u64;
        self.conflicts += judgement.conflicts.len() as u64;
        self.unaccounted += judgement.unaccounted();
        for verdict in Verdict::ALL {
            *self.verdicts.entry(verdict).or_default() += judgement.count(verdict);
        }
        self.worse(judgement.outcome());
    }

    /// Makes the outcome at least as bad as this.
    pub fn worse(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(Some(outcome));
    }

    /// How many entries got this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// The outcome. An audit in which nothing was judged is right about nothing: not covered.
    pub fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or(Outcome::NotCovered)
    }
}

/// What was registered of a device on one day, by the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) entries: u64,
    /// The worst verdict of these entries.
    pub(super) verdict: Verdict,
}

impl Day {
    /// Adds to what is there, if there is anything.
    pub(super) fn add(self, there: Option<Day>) -> Day {
        match there {
            None => self,
            Some(there) => Day {
                entries: self.entries + there.entries,
                verdict: match badness(there.verdict) > badness(self.verdict) {
                    true => there.verdict,
                    false => self.verdict,
                },
            },
        }
    }
}

/// Verdicts in order: what is worse is greater. As with an entry to which several apply.
fn badness(verdict: Verdict) -> usize {
    const ORDER: [Verdict; 8] = [
        Verdict::Valid,
        Verdict::Erased,
        Verdict::Unregistered,
        Verdict::NotCovered,
        Verdict::Missing,
        Verdict::Altered,
        Verdict::Disputed,
        Verdict::Forged,
    ];
    let place = ORDER.iter().position(|other| *other == verdict);
    place.unwrap_or(ORDER.len())
}

/// A device, as the page shows it.
#[derive(Clone, Debug)]
pub(super) struct DeviceDigest {
    pub(super) device: DeviceId,
    /// Whose it is, if the key to which it seals says so.
    pub(super) pseudonym: Option<String>,
    pub(super) key: Key,
    pub(super) status: DeviceStatus,
    pub(super) predecessor: Option<DeviceId>,
    pub(super) successor: Option<DeviceId>,
    pub(super) length: u64,
    pub(super) head: LinkHash,
    pub(super) trusted_to: u64,
    pub(super) trusted_head: LinkHash,
    pub(super) outcome: Outcome,
    pub(super) counts: BTreeMap<Verdict, u64>,
    /// Verdicts in order of sequences, equal neighbours together.
    pub(super) strip: Vec<(Verdict, u64)>,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    /// Registered entries by the day (UTC) of their block, from 1970-01-01.
    pub(super) days: BTreeMap<u64, Day>,
    /// Registered entries whose block's time is not known.
    pub(super) undated: u64,
    /// Days on which no entry was registered, first and last of each stretch.
    pub(super) gaps: Vec<(u64, u64)>,
    pub(super) findings: Vec<Finding>,
    pub(super) conflicts: Vec<JudgedConflict>,
    pub(super) conflicts_not_stored: u32,
    pub(super) uncovered: Vec<Uncovered>,
    pub(super) shown: Vec<JudgedEntry>,
    pub(super) hidden: u64,
    pub(super) erasure: Option<ErasedDevice>,
}

/// All that a page is made of.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// The audit in figures.
    pub summary: Summary,
    /// Who the participants are, if the auditor was told.
    listed: Option<ParticipantList>,
    pub(super) devices: Vec<DeviceDigest>,
    /// Registered entries by the minute of their block.
    pub(super) minutes: BTreeMap<u64, u64>,
    /// Registered entries by their delay, as in [`DELAYS`], from when the relay says that it got them.
    pub(super) delays: [u64; DELAYS.len()],
}

impl Digest {
    /// A digest that calls participants by the pseudonyms of this list.
    pub fn naming(listed: Option<&ParticipantList>) -> Self {
        Digest {
            listed: listed.cloned(),
            ..Digest::default()
        }
    }

    /// Adds a judged device.
    pub fn add(&mut self, judged: &Judged<'_>) {
        self.summary.add(judged);
        let (record, judgement) = (judged.record, &judged.judgement);
        let mut days: BTreeMap<u64, Day> = BTreeMap::new();
        let (mut first, mut last, mut undated) = (None, None, 0);
        let mut strip: Vec<(Verdict, u64)> = Vec::new();
        for entry in &judgement.entries {
            match strip.last_mut() {
                Some((verdict, count)) if *verdict == entry.verdict => *count += 1,
                _ => strip.push((entry.verdict, 1)),
            }
            let block = entry.block.filter(|_| entry.registered);
            let made = block.and_then(|block| judged.block_times.get(&block).copied().flatten());
            if let Some(made) = made {
                *self.minutes.entry(made / 60).or_default() += 1;
                // Blocks tell the days, and not the relays, which could hide with their clocks that a phone was silenced.
                let day = Day {
                    entries: 1,
                    verdict: entry.verdict,
                };
                let there = days.get(&(made / 86_400)).copied();
                days.insert(made / 86_400, day.add(there));
                first = Some(first.map_or(made, |first: u64| first.min(made)));
                last = last.max(Some(made));
                if let Some(received) = entry.received_at {
                    let delay = made.saturating_sub(received);
                    let bin = DELAYS.iter().position(|(end, _)| delay < *end);
                    self.delays[bin.unwrap_or(DELAYS.len() - 1)] += 1;
                }
            } else if entry.registered {
                undated += 1;
            }
        }
        let wrong = |entry: &&JudgedEntry| entry.outcome() != Outcome::Right;
        let shown: Vec<JudgedEntry> = judgement
            .entries
            .iter()
            .filter(wrong)
            .take(SHOWN)
            .cloned()
            .collect();
        let all = judgement.entries.iter().filter(wrong).count();
        let listed = self.listed.as_ref();
        let pseudonym = listed.and_then(|listed| listed.pseudonym(&record.participant));
        self.devices.push(DeviceDigest {
            device: record.device,
            pseudonym: pseudonym.map(str::to_owned),
            key: Key(record.key),
            status: record.status.clone(),
            predecessor: record.predecessor.map(|predecessor| predecessor.device),
            successor: record.successor,
            length: record.length,
            head: record.head,
            trusted_to: judgement.trusted_to,
            trusted_head: judgement.trusted_head,
            outcome: judgement.outcome(),
            counts: Verdict::ALL
                .into_iter()
                .map(|verdict| (verdict, judgement.count(verdict)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            strip,
            first,
            last,
            gaps: gaps(days.keys()),
            days,
            undated,
            findings: judgement.findings.clone(),
            conflicts: judgement.conflicts.clone(),
            conflicts_not_stored: judgement.conflicts_not_stored,
            uncovered: judgement.uncovered.clone(),
            hidden: (all - shown.len()) as u64,
            shown,
            erasure: judged.erasure.clone(),
        });
    }

    /// The devices, each followed by the one that goes on from it.
    pub(super) fn lineages(&self) -> Vec<Vec<&DeviceDigest>> {
        let by_number: BTreeMap<DeviceId, &DeviceDigest> = self
            .devices
            .iter()
            .map(|device| (device.device, device))
            .collect();
        let roots = self.devices.iter().filter(|device| {
            device
                .predecessor
                .is_none_or(|before| !by_number.contains_key(&before))
        });
        roots
            .map(|root| {
                let mut line = vec![root];
                let mut next = root.successor;
                while let Some(device) = next.and_then(|next| by_number.get(&next)) {
                    // A successor has a greater number than its predecessor, so this ends.
                    if line.last().is_some_and(|last| last.device >= device.device) {
                        break;
                    }
                    line.push(device);
                    next = device.successor;
                }
                line
            })
            .collect()
    }
}

/// Stretches of days between the first and the last that are not there.
pub(super) fn gaps<'a>(days: impl Iterator<Item = &'a u64>) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut before: Option<u64> = None;
    for &day in days {
        if let Some(before) = before.filter(|before| day > before + 1) {
            gaps.push((before + 1, day - 1));
        }
        before = Some(day);
    }
    gaps
}
