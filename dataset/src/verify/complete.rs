// SPDX-License-Identifier: Apache-2.0

//! Whether a file with every row has one for each entry that it should have, by the audit's report.

use std::collections::{BTreeMap, BTreeSet};

use hashchain::{participant_digest, DeviceId, Native};
use mhealth_auditor::Verdict;

use super::audited::{Audited, Contradiction};
use super::seen::Seen;
use crate::error::DataError;
use crate::manifest::Manifest;
use crate::registry::Registry;

/// What is held against the audit's report.
pub(super) struct Rows<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) registry: &'a Registry,
    /// The file.
    pub(super) file: &'a str,
    /// What it has a row for.
    pub(super) rows: &'a Seen,
    /// The parts of its records.
    pub(super) parts: &'a Seen,
}

impl Rows<'_> {
    /// The key that a device seals to, if it seals to one.
    fn sealed_to(&self, device: DeviceId) -> Option<[u8; 32]> {
        let registered = self.registry.devices.get(&device)?;
        let nobody = participant_digest::<Native>(None);
        Some(registered.participant).filter(|key| *key != nobody)
    }

    /// Fails where an entry has no row that should have one, or the manifest counts otherwise. Gives the devices whose valid entries are
    /// left out because their participant's key is destroyed, as the holder says: of such a participant there is no valid row at all.
    pub(super) fn held_against(&self, audited: &Audited) -> Result<Vec<DeviceId>, DataError> {
        let manifest = self.manifest;
        let is_package = manifest.participant.is_some();
        let own = self.rows.devices();
        let keys: BTreeSet<[u8; 32]> = own.iter().filter_map(|it| self.sealed_to(*it)).collect();
        if is_package && keys.len() > 1 {
            let why = "it is of one participant, and its devices seal to several";
            return Err(Contradiction::Manifest(why).into());
        }
        // One participant's package has the devices that have rows, and what seals to the same key.
        let is_wanted = |device: DeviceId| {
            let key = self.sealed_to(device);
            !is_package || own.contains(&device) || key.is_some_and(|key| keys.contains(&key))
        };
        let (mut verdicts, mut left_out) = (BTreeMap::new(), BTreeMap::new());
        // By the key that they are sealed to.
        let (mut kept, mut lacking) = (BTreeSet::new(), BTreeMap::new());
        let mut gone = BTreeSet::new();
        let lacks = |device, sequence, verdict| Contradiction::LeftOut {
            file: self.file.to_owned(),
            device,
            sequence,
            verdict,
        };
        let wanted = audited.devices.iter().filter(|(it, _)| is_wanted(**it));
        for (device, judged) in wanted {
            if !is_package {
                self.registry.device(*device)?;
            }
            let key = self.sealed_to(*device);
            for (entry, sequence) in judged.registered.iter().zip(1..) {
                let verdict = entry.verdict;
                count(&mut verdicts, verdict.as_str());
                let has = self.rows.has(*device, sequence) || self.parts.has(*device, sequence);
                match (has, verdict, key) {
                    (true, Verdict::Valid, Some(key)) => {
                        kept.insert(key);
                    }
                    (true, ..) => {}
                    (false, Verdict::Valid, Some(key)) => {
                        count(&mut left_out, "key_destroyed");
                        gone.insert(*device);
                        lacking.entry(key).or_insert((*device, sequence));
                    }
                    (false, Verdict::Valid, None) => {
                        return Err(lacks(*device, sequence, verdict).into());
                    }
                    (false, ..) if manifest.include_flagged => {
                        return Err(lacks(*device, sequence, verdict).into());
                    }
                    (false, ..) => count(&mut left_out, verdict.as_str()),
                }
            }
            for ((sequence, link), (_, entry)) in &judged.attempts {
                let verdict = entry.verdict;
                count(&mut verdicts, verdict.as_str());
                if !manifest.include_flagged {
                    count(&mut left_out, verdict.as_str());
                } else if !self.rows.has_attempt(*device, *sequence, *link) {
                    return Err(lacks(*device, *sequence, verdict).into());
                }
            }
        }
        let in_part = lacking.iter().find(|(key, _)| kept.contains(*key));
        if let Some((_, (device, sequence))) = in_part {
            return Err(lacks(*device, *sequence, Verdict::Valid).into());
        }
        if manifest.verdicts != verdicts || manifest.left_out != left_out {
            let why = "what it counts by verdict, or as left out, is not what the audit and the rows have";
            return Err(Contradiction::Manifest(why).into());
        }
        Ok(gone.into_iter().collect())
    }
}

fn count(counts: &mut BTreeMap<String, u64>, what: &str) {
    *counts.entry(what.to_owned()).or_default() += 1;
}
