// SPDX-License-Identifier: Apache-2.0

//! What a phone shows: how it stands, and what is left on it of devices that were stopped.

use alloc::vec::Vec;

use mhealth_api::ExportedRun;

use super::{Phone, LONGEST_PAUSE};
use crate::{
    book::{Book, LocalId},
    error::Error,
    export::{export_queue, export_unenrolled, UnenrolledRun},
    host::{PhoneStore, Transport},
    ledger::Ledger,
    status::{Advice, Status},
};

impl<S: PhoneStore, T: Transport> Phone<S, T> {
    /// How the phone stands, for a screen. Asks nobody.
    pub fn status(&self) -> Result<Status, Error> {
        self.turns.alone(|| {
            let notes = self.opened.notes()?;
            let told = notes.advice.as_deref().and_then(Advice::from_code);
            // What was noted while the clock was years ahead would never be due.
            let latest = self.senses.now().saturating_add(LONGEST_PAUSE);
            let mut status = Status {
                key: None,
                study: None,
                device: None,
                sealed: 0,
                finalised: 0,
                queued: 0,
                left_behind: 0,
                proved_in: None,
                last_contact: self.transport.last().or(notes.last_contact),
                next_try: notes.next_try.map(|next| next.min(latest)),
                stopped: None,
                last_fault: notes.last_fault,
                advice: told.unwrap_or(Advice::Enrol),
            };
            let Some(ledger) = self.ledger() else {
                return Ok(status);
            };
            let id = ledger.current()?;
            let device = ledger.device(id)?;
            let left = ledger.left_behind()?;
            status.key = Some(device.key);
            status.study = Some(ledger.terms().study);
            status.device = device.number.filter(|_| device.proved);
            status.sealed = device.length;
            status.finalised = device.confirmed;
            status.queued = device.queued();
            status.left_behind = left.entries;
            status.proved_in = Some(ledger.seen(id)?).filter(|block| *block > 0);
            status.stopped = device.frozen;
            status.advice = match (device.frozen, told) {
                (Some(reason), _) => reason.advice(),
                (None, Some(advice)) => advice,
                (None, _) if device.queued() > 0 || !device.proved => Advice::Wait,
                (None, _) => Advice::Nothing,
            };
            // There is nothing else to do, and what nobody sends any more is on this phone alone, or was taken out of it.
            status.advice = match status.advice {
                Advice::Nothing | Advice::Wait if left.not_exported > 0 => Advice::HandOver,
                Advice::Nothing if left.entries > 0 => Advice::HandedOver,
                advice => advice,
            };
            Ok(status)
        })
    }

    /// What the chain is not known to have, as relays export it, oldest first: for the auditor, of a phone that was stopped. Devices
    /// that were never enrolled have no number that an auditor could look up: see [`export_unenrolled`](Self::export_unenrolled).
    pub fn export_queue(&self) -> Result<Vec<ExportedRun>, Error> {
        self.turns.alone(|| {
            let mut runs = Vec::new();
            let Some(ledger) = self.ledger() else {
                return Ok(runs);
            };
            let mut cursor = 0;
            for device in ledger.devices()? {
                let take = |run| {
                    runs.push(run);
                    Ok::<_, Error>(())
                };
                cursor = export_queue(&*ledger, &device, cursor, take)?;
                if device.number.is_some() {
                    noted(&ledger, device.id, device.length);
                }
            }
            Ok(runs)
        })
    }

    /// What was sealed with devices that could not be enrolled, oldest first: for whoever holds the participants' keys. No chain vouches
    /// for any of it.
    pub fn export_unenrolled(&self) -> Result<Vec<UnenrolledRun>, Error> {
        self.turns.alone(|| {
            let mut runs = Vec::new();
            let Some(ledger) = self.ledger() else {
                return Ok(runs);
            };
            for device in ledger.devices()? {
                if device.frozen.is_some() && device.number.is_none() {
                    runs.extend(export_unenrolled(&*ledger, &device)?);
                    noted(&ledger, device.id, device.length);
                }
            }
            Ok(runs)
        })
    }
}

/// Notes that a device's entries were taken out. A phone without room for the note gives them all the same.
fn noted<S: PhoneStore>(ledger: &Ledger<S>, id: LocalId, sequence: u64) {
    if let Err(error) = ledger.set_exported(id, sequence) {
        tracing::warn!(%error, "it is not noted that entries were taken out");
    }
}
