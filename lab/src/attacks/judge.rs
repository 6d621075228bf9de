// SPDX-License-Identifier: Apache-2.0

//! Compares what the auditor says with what the laboratory knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hashchain::{DeviceId, LinkHash};
use mhealth_api::Key;
use mhealth_testing::audit::{Device, Entry, Finding, Party, Report};
use serde::Serialize;

use crate::attack::Column;
use crate::truth::{Culprit, Effect, Planted};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It had no effect on the chain.
    Prevented,
    /// It had, and the auditor says so.
    Detected,
    /// It had, and the auditor takes it for honest.
    Unseen,
}

/// Whom the auditor names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Named {
    /// Who did it, and nobody else.
    Alone,
    /// Who did it, among others: one of these.
    Among,
    /// Somebody, and not who did it.
    Wrong,
    /// Nobody.
    Nobody,
}

/// An attempt as the audit shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    /// None where the audit has nothing to show of it.
    pub(crate) named: Option<Named>,
}

/// What an audit says of an honest entry, besides that it is valid.
pub(crate) struct Judge<'a> {
    column: Column,
    devices: BTreeMap<DeviceId, &'a Device>,
    /// The attempt on each attacked device.
    attacked: HashMap<DeviceId, &'a Planted>,
    /// How honest entries look where no entry can be valid.
    usual: BTreeSet<(&'a str, &'a [String])>,
}

impl<'a> Judge<'a> {
    /// With the devices that nobody attacked as a measure of what is usual.
    pub(crate) fn new(column: Column, report: &'a Report, planted: &'a [Planted]) -> Self {
        let attacked: HashMap<DeviceId, &Planted> = planted
            .iter()
            .map(|planted| (planted.device, planted))
            .collect();
        let honest = report
            .devices
            .iter()
            .filter(|device| !attacked.contains_key(&device.device));
        let usual = honest
            .flat_map(|device| &device.entries)
            .map(|entry| (entry.verdict.as_str(), entry.grounds.as_slice()))
            .collect();
        Judge {
            column,
            devices: report
                .devices
                .iter()
                .map(|device| (device.device, device))
                .collect(),
            attacked,
            usual,
        }
    }

    /// Says nothing about these devices, of which something else is known than an audit's verdict.
    pub(crate) fn setting_aside(mut self, devices: &BTreeSet<DeviceId>) -> Self {
        self.devices.retain(|device, _| !devices.contains(device));
        self
    }

    /// Whether the audit tells this entry from an honest one.
    fn seen(&self, entry: &Entry) -> bool {
        if self.column.chained() {
            return entry.verdict != "valid";
        }
        let look = (entry.verdict.as_str(), entry.grounds.as_slice());
        entry.verdict != "valid" && !self.usual.contains(&look)
    }

    /// What became of an attempt.
    pub(crate) fn verdict(&self, planted: &Planted) -> Verdict {
        let verdict = |fate, parties: Option<Vec<&[Party]>>| Verdict {
            fate,
            named: parties.map(|parties| named(planted, &parties)),
        };
        let Some(device) = self.devices.get(&planted.device) else {
            return verdict(Fate::Unseen, None);
        };
        match &planted.effect {
            Effect::OutOfOrder(false) => verdict(Fate::Prevented, None),
            Effect::OutOfOrder(true) | Effect::Vanished => verdict(Fate::Unseen, None),
            Effect::Illegal(links) => {
                let found: Vec<&Entry> = links
                    .iter()
                    .filter_map(|(sequence, link)| device.entry(*sequence, *link))
                    .collect();
                let registered: Vec<&Entry> = found
                    .iter()
                    .copied()
                    .filter(|entry| entry.registered)
                    .collect();
                let parties = |entries: &[&'a Entry]| {
                    entries
                        .iter()
                        .map(|entry| entry.parties.as_slice())
                        .collect()
                };
                if registered.is_empty() {
                    let shown = !found.is_empty();
                    return verdict(Fate::Prevented, shown.then(|| parties(&found)));
                }
                match registered.iter().all(|entry| self.seen(entry)) {
                    true => verdict(Fate::Detected, Some(parties(&registered))),
                    false => verdict(Fate::Unseen, None),
                }
            }
            Effect::SignedOddly(links) => {
                let registered = |(sequence, link): &(u64, LinkHash)| {
                    let entry = device.entry(*sequence, *link);
                    entry.filter(|entry| entry.registered)
                };
                let entries: Vec<&Entry> = links.iter().filter_map(registered).collect();
                if entries.is_empty() {
                    return verdict(Fate::Prevented, None);
                }
                let found = entries.iter().map(|entry| device.found(entry.sequence));
                let found: Vec<&Finding> = found.flatten().collect();
                let odd = found.iter().any(|it| it.ground == "signature_not_strict");
                let still_judged = entries.iter().all(|entry| entry.verdict == "valid");
                // Whatever else is found of them speaks of the signature, too: nothing else is wrong with them.
                let parties = found.iter().map(|it| it.parties.as_slice()).collect();
                match found.is_empty() || (odd && !still_judged) {
                    true => verdict(Fate::Unseen, None),
                    false => verdict(Fate::Detected, Some(parties)),
                }
            }
            Effect::Kept(places) => {
                let mut parties = Vec::new();
                for place in places {
                    let seen = device.registered(*place).filter(|entry| self.seen(entry));
                    match seen {
                        Some(entry) => parties.push(entry.parties.as_slice()),
                        None => return verdict(Fate::Unseen, None),
                    }
                }
                verdict(Fate::Detected, Some(parties))
            }
            Effect::NotShown(places) => {
                let entries: Vec<&Entry> = places
                    .iter()
                    .filter_map(|place| device.registered(*place))
                    .collect();
                if entries.len() < places.len() || entries.iter().any(|it| it.verdict == "valid") {
                    return verdict(Fate::Unseen, None);
                }
                // Nobody is accused of what was not looked at. The report says whose export it lacks.
                let named = |entry: &&Entry| {
                    let culprit =
                        |account: Key| planted.culprits.contains(&Culprit::Relay(account));
                    let mut lacking = entry.uncovered.iter().filter_map(|it| it.account);
                    match entry.verdict == "not_covered" && entry.parties.is_empty() {
                        false => Named::Wrong,
                        true if lacking.clone().any(|account| !culprit(account)) => Named::Wrong,
                        true if lacking.any(culprit) => Named::Alone,
                        true => Named::Nobody,
                    }
                };
                Verdict {
                    fate: Fate::Detected,
                    named: worst(entries.iter().map(named)),
                }
            }
            Effect::Missing(links) => {
                let found: Vec<Option<&Entry>> = links
                    .iter()
                    .map(|(sequence, link)| device.entry(*sequence, *link))
                    .collect();
                let stands =
                    |entry: &Option<&Entry>| entry.is_some_and(|entry| entry.verdict == "valid");
                if found.iter().all(stands) {
                    return verdict(Fate::Prevented, None);
                }
                let missed = found
                    .iter()
                    .flatten()
                    .filter(|entry| !entry.grounds.is_empty());
                let parties: Vec<&[Party]> = missed.map(|entry| entry.parties.as_slice()).collect();
                match parties.is_empty() {
                    true => verdict(Fate::Unseen, None),
                    false => verdict(Fate::Detected, Some(parties)),
                }
            }
        }
    }

    /// Honest entries, and those of them with which something is said to be wrong.
    pub(crate) fn false_alarms(&self) -> (u64, Vec<String>) {
        let mut honest = 0;
        let mut alarms = Vec::new();
        for device in self.devices.values() {
            let attacked = self.attacked.get(&device.device);
            for entry in &device.entries {
                if attacked.is_some_and(|planted| entry.sequence > planted.honest_to) {
                    continue;
                }
                // A rival of an honest entry is the attacker's.
                if attacked.is_some() && !entry.registered {
                    continue;
                }
                honest += 1;
                // A finding about an attacked device may be about the attacker's rival of this entry.
                let found = attacked.is_none() && device.found(entry.sequence).next().is_some();
                if entry.verdict != "valid" || !entry.grounds.is_empty() || found {
                    alarms.push(format!(
                        "device {} entry {}: {} {:?}",
                        device.device, entry.sequence, entry.verdict, entry.grounds
                    ));
                }
            }
            if attacked.is_none() && device.entries.is_empty() && !device.findings.is_empty() {
                alarms.push(format!("device {}: {:?}", device.device, device.findings));
            }
        }
        (honest, alarms)
    }
}

fn named(planted: &Planted, entries: &[&[Party]]) -> Named {
    let of = |parties: &[Party]| {
        let culprit = |party: &Party| planted.culprits.iter().any(|culprit| culprit.is(party));
        match parties {
            [] => Named::Nobody,
            parties if parties.iter().all(culprit) => Named::Alone,
            parties if parties.iter().any(culprit) => Named::Among,
            _ => Named::Wrong,
        }
    };
    worst(entries.iter().map(|parties| of(parties))).unwrap_or(Named::Alone)
}

/// The worst that is said of any entry of an attempt.
fn worst(named: impl Iterator<Item = Named>) -> Option<Named> {
    let all: Vec<Named> = named.collect();
    [Named::Wrong, Named::Nobody, Named::Among, Named::Alone]
        .into_iter()
        .find(|named| all.contains(named))
}

#[cfg(test)]
mod tests;
