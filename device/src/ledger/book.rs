// SPDX-License-Identifier: Apache-2.0

//! What the rules read and write of a phone's devices.

use alloc::{borrow::ToOwned, collections::BTreeMap, string::String, vec::Vec};

use hashchain::{DataDigest, DeviceId, Entry, LinkHash, Sealer, Tag};
use mhealth_evidence::Anchor;

use super::{
    corrupt, failed,
    stored::{self, Line, RunLine},
    Ledger,
};
use crate::{
    book::{
        position_checksum, Book, DeviceRecord, EnrolmentCode, FreezeReason, LocalId, QueuedRun,
        SealedEntry, Terms,
    },
    error::Error,
    host::PhoneStore,
    key::{DeviceKey, Signature},
    proof::{FinalHead, HeadChecker},
};

/// Entries that are read at a time.
const PAGE: u64 = 64;

impl<S: PhoneStore> Ledger<S> {
    fn lines(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<(u64, Line)>, Error> {
        let from = stored::line(id, first);
        let until = stored::line(id, last.saturating_add(1));
        let found = self.opened.store.scan(&from, &until, usize::MAX);
        let found = found.map_err(failed)?.into_iter();
        found
            .map(|(key, value)| {
                let sequence = stored::sequence(&key);
                let sequence = sequence.ok_or_else(|| corrupt("a key has another length"))?;
                Ok((sequence, super::decode(&value)?))
            })
            .collect()
    }

    fn run_lines(&self, id: LocalId) -> Result<Vec<(u64, RunLine)>, Error> {
        let from = stored::run(id, 0);
        let found = self
            .opened
            .store
            .scan(&from, &stored::runs_end(id), usize::MAX);
        let found = found.map_err(failed)?.into_iter();
        found
            .map(|(key, value)| {
                let first = stored::sequence(&key);
                let first = first.ok_or_else(|| corrupt("a key has another length"))?;
                Ok((first, super::decode(&value)?))
            })
            .collect()
    }

    fn change_run(
        &self,
        id: LocalId,
        first: u64,
        change: impl FnOnce(&mut RunLine),
    ) -> Result<(), Error> {
        let key = stored::run(id, first);
        let Some(mut run) = self.opened.read::<RunLine>(&key)? else {
            return Ok(()); // It is delivered.
        };
        change(&mut run);
        self.opened.put(key, &run)
    }

    fn queued(&self, id: LocalId, first: u64, run: RunLine) -> Result<QueuedRun, Error> {
        let entries = self.entries(id, first, run.last)?;
        if entries.last().map(|entry| entry.sequence) != Some(run.last) {
            return Err(corrupt("a run names entries that are not there"));
        }
        Ok(QueuedRun {
            entries,
            signature: Signature(run.signature),
            refusal: run.refusal,
            holders: run.holders,
        })
    }

    /// The devices that are not stopped and of which this holds.
    fn going(
        &self,
        holds: impl Fn(&DeviceRecord) -> Result<bool, Error>,
    ) -> Result<Vec<LocalId>, Error> {
        let mut found = Vec::new();
        for device in self.devices()? {
            if device.frozen.is_none() && holds(&device)? {
                found.push(device.id);
            }
        }
        Ok(found)
    }
}

impl<S: PhoneStore> Book for Ledger<S> {
    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn corrupt(&self, what: String) -> Error {
        corrupt(&what)
    }

    fn together<T, E: From<Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.opened.together(work)
    }

    fn salt(&self) -> [u8; 32] {
        self.salt
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        self.ids()?.into_iter().map(|id| self.record(id)).collect()
    }

    fn device(&self, id: LocalId) -> Result<DeviceRecord, Error> {
        self.record(id)
    }

    fn device_key(&self, id: LocalId) -> Result<DeviceKey, Error> {
        self.key(id)
    }

    fn sealer(&self, id: LocalId) -> Result<Sealer, Error> {
        self.position(id)
    }

    fn code(&self, id: LocalId) -> Result<Option<EnrolmentCode>, Error> {
        let Some(code) = self.state(id)?.code else {
            return Ok(None);
        };
        let code = self.reveal(b"code", id, 0, &code)?;
        let code = core::str::from_utf8(&code)
            .ok()
            .and_then(|it| it.parse().ok());
        code.map(Some)
            .ok_or_else(|| corrupt("what it keeps for an enrolment code is none"))
    }

    fn finalised(&self) -> Result<u64, Error> {
        let devices = self.devices()?;
        Ok(devices.iter().map(|device| device.confirmed).sum())
    }

    fn checker(&self, trusts_words: bool) -> HeadChecker {
        HeadChecker::of(self.learned.clone(), trusts_words, self.checkpoints.clone())
    }

    fn write_anchor(&self, anchor: &Anchor) -> Result<(), Error> {
        self.opened.put(stored::ANCHOR.into(), anchor)
    }

    fn set_said(&self, id: LocalId, number: Option<DeviceId>) -> Result<(), Error> {
        self.change(id, |state| state.said = number.map(|number| number.0))
    }

    fn set_number(&self, id: LocalId, known: &FinalHead) -> Result<(), Error> {
        let code = self.code(id)?;
        self.opened.together(|| {
            if let Some(code) = code {
                self.opened.put(stored::redeemed(id), &code.hash())?;
            }
            self.change(id, |state| {
                state.number = Some(known.device().0);
                (state.said, state.code) = (None, None);
            })
        })
    }

    fn set_frozen(&self, id: LocalId, reason: FreezeReason, block: u32) -> Result<(), Error> {
        self.change(id, |state| {
            state.frozen = Some(reason.code().into());
            state.seen = state.seen.max(block);
        })
    }

    fn set_confirmed(&self, id: LocalId, sequence: u64, block: u32) -> Result<(), Error> {
        self.change(id, |state| {
            state.confirmed = state.confirmed.max(sequence);
            state.seen = state.seen.max(block);
        })
    }

    fn write_recipient(&self, id: LocalId, key: Option<[u8; 32]>) -> Result<(), Error> {
        self.change(id, |state| state.recipient = key)
    }

    fn last_of_source(&self, id: LocalId, source: &str) -> Result<Option<(u64, [u8; 16])>, Error> {
        let last: Option<u64> = self.opened.read(&stored::source(&self.salt, id, source))?;
        let Some(last) = last else {
            return Ok(None);
        };
        let line: Option<Line> = self.opened.read(&stored::line(id, last))?;
        let line = line.ok_or_else(|| corrupt("a source names an entry that is not there"))?;
        Ok(Some((last, line.content)))
    }

    fn write_entry(
        &self,
        id: LocalId,
        sealed: &SealedEntry<'_>,
        after: &Sealer,
    ) -> Result<(), Error> {
        let entry = sealed.entry;
        let line = Line {
            digest: entry.digest.0,
            tag: entry.tag.0,
            hash: entry.hash.0,
            content: sealed.content,
            sealed: self.opened.senses.now(),
            bytes: sealed.envelope.len() as u64,
        };
        let ratchet = self.close(b"ratchet", id, after.sequence(), after.key().expose())?;
        self.opened.together(|| {
            self.opened.put(stored::line(id, entry.sequence), &line)?;
            let envelope = stored::envelope(id, entry.sequence);
            let put = self.opened.store.put(envelope, sealed.envelope.to_owned());
            put.map_err(failed)?;
            let source = stored::source(&self.salt, id, sealed.source);
            self.opened.put(source, &entry.sequence)?;
            self.change(id, |state| {
                state.length = after.sequence();
                state.head = after.head().0;
                state.ratchet = ratchet;
                state.checksum = position_checksum(after);
            })
        })
    }

    fn entries(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<Entry>, Error> {
        let Some(mut previous) = self.hash_at(id, first.saturating_sub(1))? else {
            return Ok(Vec::new());
        };
        let lines = self.lines(id, first.max(1), last)?.into_iter();
        let entries = lines.map(|(sequence, line)| {
            let entry = Entry {
                sequence,
                previous,
                digest: DataDigest(line.digest),
                tag: Tag(line.tag),
                hash: LinkHash(line.hash),
            };
            previous = entry.hash;
            entry
        });
        Ok(entries.collect())
    }

    fn each_entry(
        &self,
        id: LocalId,
        take: &mut dyn FnMut(&Entry, &[u8]) -> bool,
    ) -> Result<(), Error> {
        let mut first = 1;
        loop {
            let entries = self.entries(id, first, first + PAGE - 1)?;
            for entry in &entries {
                let envelope = self.envelope(id, entry.sequence)?;
                let envelope = envelope.ok_or_else(|| self.lacks_envelope())?;
                if !take(entry, &envelope) {
                    return Ok(());
                }
            }
            if (entries.len() as u64) < PAGE {
                return Ok(());
            }
            first += PAGE;
        }
    }

    fn hash_at(&self, id: LocalId, sequence: u64) -> Result<Option<LinkHash>, Error> {
        if sequence == 0 {
            return Ok(Some(LinkHash(self.fixed(id)?.genesis)));
        }
        let line: Option<Line> = self.opened.read(&stored::line(id, sequence))?;
        Ok(line.map(|line| LinkHash(line.hash)))
    }

    fn envelope(&self, id: LocalId, sequence: u64) -> Result<Option<Vec<u8>>, Error> {
        let envelope = self.opened.store.get(&stored::envelope(id, sequence));
        envelope.map_err(failed)
    }

    fn envelope_lengths(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<u64>, Error> {
        let lines = self.lines(id, first, last)?;
        Ok(lines.into_iter().map(|(_, line)| line.bytes).collect())
    }

    fn sealed_at(&self, id: LocalId, sequence: u64) -> Result<u64, Error> {
        let line: Option<Line> = self.opened.read(&stored::line(id, sequence))?;
        let line = line.ok_or_else(|| corrupt("it lacks an entry"))?;
        Ok(line.sealed.try_into().unwrap_or(0))
    }

    fn covered(&self, id: LocalId) -> Result<u64, Error> {
        let confirmed = self.state(id)?.confirmed;
        let last = self.run_lines(id)?.last().map_or(0, |(_, run)| run.last);
        Ok(confirmed.max(last))
    }

    fn add_run(
        &self,
        id: LocalId,
        first: u64,
        last: u64,
        signature: &Signature,
    ) -> Result<(), Error> {
        let run = RunLine {
            last,
            signature: signature.0,
            refusal: None,
            holders: Vec::new(),
        };
        self.opened.put(stored::run(id, first), &run)
    }

    fn runs(&self, id: LocalId) -> Result<Vec<QueuedRun>, Error> {
        let runs = self.run_lines(id)?.into_iter();
        runs.map(|(first, run)| self.queued(id, first, run))
            .collect()
    }

    fn runs_to_send(&self, id: LocalId, most: u32) -> Result<Vec<QueuedRun>, Error> {
        let confirmed = self.state(id)?.confirmed;
        let mut runs = self.run_lines(id)?;
        runs.sort_by_key(|(first, run)| (run.last <= confirmed, *first));
        let runs = runs.into_iter().take(most as usize);
        runs.map(|(first, run)| self.queued(id, first, run))
            .collect()
    }

    fn add_holder(&self, id: LocalId, first: u64, relay: &str) -> Result<(), Error> {
        self.change_run(id, first, |run| {
            if !run.holders.iter().any(|holder| holder == relay) {
                run.holders.push(relay.to_owned());
            }
        })
    }

    fn set_refusal(&self, id: LocalId, first: u64, refusal: Option<&str>) -> Result<(), Error> {
        self.change_run(id, first, |run| {
            run.refusal = refusal.map(ToOwned::to_owned)
        })
    }

    fn forget_copied(&self, id: LocalId, copies: u32) -> Result<(), Error> {
        let confirmed = self.state(id)?.confirmed;
        for (first, run) in self.run_lines(id)? {
            let held = copies <= 1 || run.holders.len() >= copies as usize;
            if run.last <= confirmed && held {
                self.opened
                    .store
                    .delete(&stored::run(id, first))
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    fn devices_with_loose_entries(&self) -> Result<Vec<LocalId>, Error> {
        self.going(|device| Ok(device.length > self.covered(device.id)?))
    }

    fn devices_short_of_copies(&self) -> Result<Vec<LocalId>, Error> {
        self.going(|device| {
            let runs = self.run_lines(device.id)?;
            Ok(runs.iter().any(|(_, run)| run.last <= device.confirmed))
        })
    }

    fn doubts(&self) -> Result<BTreeMap<String, i64>, Error> {
        Ok(self.opened.read(stored::DOUBTS)?.unwrap_or_default())
    }

    fn set_doubts(&self, doubts: &BTreeMap<String, i64>) -> Result<(), Error> {
        self.opened.put(stored::DOUBTS.into(), doubts)
    }
}
