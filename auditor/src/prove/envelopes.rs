// SPDX-License-Identifier: Apache-2.0

//! Takes envelopes from exports: those that the chain registered, each once, and onto the disk. What an export shows beside them
//! takes no memory.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;

use codec::{Compact, Encode};
use hashchain::{data_digest, DataDigest, DeviceId, Native, RunEntry, StudyId};
use mhealth_evidence::Blobs;

use super::search::Found;
use super::unfit;
use crate::audit::NamedExport;
use crate::error::AuditError;
use crate::export::{self, Expected, Holder, Limits, Reading, Taken};
use crate::scratch::Scratch;

/// The envelopes of devices, in a scratch file.
pub(super) struct Envelopes {
    scratch: Scratch,
    devices: BTreeSet<DeviceId>,
    /// Where each is that the chain registered, once it was shown.
    places: HashMap<DataDigest, Option<Place>>,
    /// How many are there.
    kept: u32,
}

/// A place in the scratch file, and the length of what is there.
#[derive(Clone, Copy)]
struct Place {
    number: NonZeroU32,
    length: u32,
}

impl Envelopes {
    /// What these exports show of these devices, but for those that were erased: everything that the chain registered of them, or an
    /// error, before anything is made of it.
    pub(super) async fn read(
        exports: &[NamedExport],
        chain: [u8; 32],
        study: StudyId,
        limits: Limits,
        found: &[Found],
    ) -> Result<Self, AuditError> {
        let shown = || found.iter().filter(|found| !found.is_erased);
        let entries = shown().flat_map(|found| &found.evidence.entries);
        let mut envelopes = Self {
            scratch: Scratch::temporary()?,
            devices: shown().map(|found| found.evidence.device).collect(),
            places: entries.map(|entry| (entry.digest, None)).collect(),
            kept: 0,
        };
        let expected = Expected {
            chain,
            study,
            holder: Holder::Relay,
            limits,
        };
        envelopes.scratch.begin()?;
        for named in exports {
            let before = envelopes.kept;
            let mut take = |taken: Taken, _: &mut Reading| match taken {
                Taken::Run { run, .. } if envelopes.devices.contains(&run.status.device) => {
                    let mut entries = run.entries.iter();
                    entries.try_for_each(|entry| envelopes.take(&entry.envelope.0))
                }
                _ => Ok(()),
            };
            let reading = export::read(&named.source, &expected, &mut take).await?;
            let of_none = envelopes.kept == before && !envelopes.places.is_empty();
            useful(named, &reading, of_none)?;
        }
        envelopes.scratch.end()?;
        let lacks = |found: &&Found| {
            let mut entries = found.evidence.entries.iter();
            entries.any(|entry| envelopes.place(entry).is_none())
        };
        let lacking = shown().find(lacks);
        match lacking {
            Some(found) => Err(unfit(&format!(
                "an envelope of device {} is in none of the exports",
                found.evidence.device
            ))),
            None => Ok(envelopes),
        }
    }

    /// Keeps an envelope that is wanted, and not there yet.
    fn take(&mut self, envelope: &[u8]) -> Result<(), AuditError> {
        let Some(place) = self.places.get_mut(&data_digest::<Native>(envelope)) else {
            return Ok(());
        };
        if place.is_some() {
            return Ok(());
        }
        let next = self.kept.checked_add(1);
        let number = next.and_then(NonZeroU32::new);
        let (Some(number), Ok(length)) = (number, u32::try_from(envelope.len())) else {
            return Err(unfit(
                "the exports hold more envelopes than a file has places",
            ));
        };
        self.scratch.add_envelope(number.get(), envelope)?;
        *place = Some(Place { number, length });
        self.kept = number.get();
        Ok(())
    }

    fn place(&self, entry: &RunEntry) -> Option<Place> {
        self.places.get(&entry.digest).copied().flatten()
    }

    /// How many bytes the envelopes of these entries have in a file.
    pub(super) fn size(&self, entries: &[RunEntry]) -> usize {
        let places = entries.iter().filter_map(|entry| self.place(entry));
        let sizes = places.map(|it| Compact(it.length).encoded_size() + it.length as usize);
        Compact(entries.len() as u32).encoded_size() + sizes.sum::<usize>()
    }

    /// The envelopes of these entries, in their order.
    pub(super) fn of(&self, entries: &[RunEntry]) -> Result<Blobs, AuditError> {
        let mut blobs = Blobs::default();
        for entry in entries {
            let place = self.place(entry);
            let place = place.expect("an export that lacks it was refused; qed");
            blobs.push(&self.scratch.envelope(place.number.get())?);
        }
        Ok(blobs)
    }
}

/// An export that gave nothing, or breaks off, is a mistake of whoever named it. Who signed it does not matter here: what is
/// taken is compared with the chain's digests.
fn useful(named: &NamedExport, reading: &Reading, of_none: bool) -> Result<(), AuditError> {
    let mut faults = reading.first_faults.iter();
    let why = match faults.find(|fault| !fault.is_about_signatures()) {
        Some(fault) => fault.to_string(),
        None if reading.runs == 0 => "there is no run in it".into(),
        None if of_none => "it holds no envelope of these devices that another one did not".into(),
        None => return Ok(()),
    };
    Err(AuditError::Input {
        file: format!("{} ({:?})", named.name, named.source),
        why,
    })
}
