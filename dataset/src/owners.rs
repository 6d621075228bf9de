// SPDX-License-Identifier: Apache-2.0

//! To whom each device seals, by what the chain has of it.

use std::collections::{BTreeMap, HashMap};

use hashchain::{participant_digest, DeviceId, Native, OpeningKey};
use mhealth_auditor::verdict::JudgedEntry;
use mhealth_auditor::Verdict;
use mhealth_device::payload::Participant;

use crate::error::DataError;
use crate::keys::KeyFolder;
pub(crate) use crate::keys::Names;
use crate::registry::Registry;

/// To whom a device seals.
pub(crate) enum Owner<'k> {
    /// To a participant whose key is at hand.
    Key(Participant, &'k OpeningKey),
    /// To a participant whose key was destroyed on record.
    Destroyed,
    /// To nobody: its data are plain.
    Nobody,
    /// To nobody, and it is on record as erased.
    Erased,
    /// To nobody, and the holder says whose it is.
    Plain(Participant),
    /// To a key that is not in the folder.
    Unknown,
}

impl Owner<'_> {
    /// Fails where an audit calls an entry valid of a device that is on record as erased: the audit is older than the erasure, or that
    /// is not finished. Of what was sealed, a destroyed key keeps it out.
    pub(crate) fn check(&self, entry: &JudgedEntry, device: DeviceId) -> Result<(), DataError> {
        match (self, entry.verdict) {
            (Owner::Erased, Verdict::Valid) => Err(DataError::Place {
                code: "audit_before_erasure",
                why: format!(
                    "device {device} is on record as erased, and the audit calls an entry of it valid: finish the erasure with \
                     `mhealth-data erase`, and take an audit, exports and evidence of after that"
                ),
            }),
            _ => Ok(()),
        }
    }
}

/// The only person whose devices are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Only<'a> {
    pub(crate) participant: &'a str,
    /// Devices of this person's that seal to nobody, as the holder says.
    pub(crate) plain: &'a [DeviceId],
}

/// Whose each device of the evidence is, of those of the keys' study.
pub(crate) struct Owners<'k> {
    pub(crate) devices: HashMap<DeviceId, Owner<'k>>,
    /// Pseudonyms that a key of the folder stands for, or stood for until it was destroyed. Only what is sealed to that key, by the
    /// chain, is this participant's, and not what a phone that seals to nobody says of itself.
    pub(crate) names: Names,
    /// Devices whose participant has a key, or had one until it was destroyed.
    pub(crate) found: BTreeMap<DeviceId, String>,
}

impl<'k> Owners<'k> {
    /// The chain has a digest of the key that a device seals to: whoever has the key finds the device by it. If a participant is
    /// named, only that person's devices.
    pub(crate) fn of(
        keys: &'k KeyFolder,
        registry: &Registry,
        only: Option<Only<'_>>,
    ) -> Result<Self, DataError> {
        let digest = |key: &[u8; 32]| participant_digest::<Native>(Some(key));
        let own: Vec<_> = keys.keys().collect();
        let held: HashMap<_, _> = own
            .iter()
            .map(|(participant, key)| (digest(&key.sealing_key().0), (participant, *key)))
            .collect();
        let gone: HashMap<_, _> = keys
            .destroyed()
            .filter_map(|record| Some((digest(&record.key?.0), &record.participant)))
            .collect();
        let nobody = participant_digest::<Native>(None);
        // There was no key to destroy: the record is all that keeps their data out.
        let mut erased: BTreeMap<DeviceId, &String> = BTreeMap::new();
        for record in keys.destroyed().filter(|record| record.key.is_none()) {
            let (named, participant) = (record.devices.iter(), &record.participant);
            erased.extend(named.map(|device| (*device, participant)));
        }
        erased.retain(|device, _| {
            let registered = registry.devices.get(device);
            registered.is_some_and(|it| it.participant == nobody)
        });
        let study = keys.whose().study;
        if let Some(only) = only {
            let name = only.participant;
            if keys.destroyed().any(|record| record.participant == name) {
                return Err(DataError::Destroyed(name.into()));
            }
            if let Some(other) = only.plain.iter().find_map(|device| erased.get(device)) {
                return Err(DataError::Destroyed((*other).clone()));
            }
            let mut own = own.iter();
            let key = own.find(|(participant, _)| participant.0 == name);
            if key.is_none() && only.plain.is_empty() {
                return Err(DataError::NoSuchParticipant(name.into()));
            }
            let mut plain = only.plain.iter();
            if let Some(device) = plain.find(|device| registry.is_of_another(**device, study)) {
                return Err(DataError::DeviceOfAnother(*device));
            }
            let key = key.map(|(_, key)| digest(&key.sealing_key().0));
            for device in only.plain {
                let sealed_to = registry.device(*device)?.participant;
                if sealed_to != nobody && Some(sealed_to) != key {
                    return Err(DataError::DeviceOfAnother(*device));
                }
            }
        }
        let (mut devices, mut found) = (HashMap::new(), BTreeMap::new());
        // One evidence may be of several studies, in which somebody may have one key.
        let of_study = registry.devices.iter().filter(|(_, it)| it.study == study);
        for (device, registered) in of_study {
            let owner = match (
                held.get(&registered.participant),
                gone.get(&registered.participant),
            ) {
                (Some((participant, key)), _) => {
                    found.insert(*device, participant.0.clone());
                    Owner::Key((*participant).clone(), key)
                }
                (None, Some(participant)) => {
                    found.insert(*device, (*participant).clone());
                    Owner::Destroyed
                }
                (None, None) if erased.contains_key(device) => Owner::Erased,
                (None, None) if registered.participant == nobody => match only {
                    Some(only) if only.plain.contains(device) => {
                        Owner::Plain(Participant(only.participant.to_owned()))
                    }
                    _ => Owner::Nobody,
                },
                (None, None) => Owner::Unknown,
            };
            let is_own = |name: &str| only.is_none_or(|only| only.participant == name);
            let wanted = match &owner {
                Owner::Key(participant, _) | Owner::Plain(participant) => is_own(&participant.0),
                // Of one participant, what nobody can tell apart from others' is left out.
                _ => only.is_none(),
            };
            if wanted {
                devices.insert(*device, owner);
            }
        }
        Ok(Owners {
            devices,
            names: keys.names(),
            found,
        })
    }

    pub(crate) fn is_wanted(&self, device: DeviceId) -> bool {
        self.devices.contains_key(&device)
    }
}
