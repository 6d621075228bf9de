// SPDX-License-Identifier: Apache-2.0

//! Devices of a phone that come and go: made for a code, erased or stopped when they are of no use, left behind with what they hold.

use alloc::{sync::Arc, vec::Vec};

use mhealth_evidence::Checkpoint;

use super::{
    failed,
    stored::{self, Fixed, State},
    Ledger, Opened,
};
use crate::{
    book::{
        position_checksum, Book, EnrolmentCode, FreezeReason, LocalId, NewDevice, Predecessor,
        Terms,
    },
    error::Error,
    host::PhoneStore,
    proof::Learned,
};

impl<S: PhoneStore> Ledger<S> {
    /// Begins a store's devices: the first one, which is to redeem this code at this address, becomes durable together with the
    /// terms.
    pub(crate) fn begin(
        opened: &Arc<Opened<S>>,
        checkpoints: Arc<[Checkpoint]>,
        terms: &Terms,
        candidate: &Candidate<'_>,
    ) -> Result<Self, Error> {
        let mut salt = [0; 32];
        let entropy = &opened.senses.entropy;
        entropy.fill(&mut salt).map_err(|_| Error::NoRandom)?;
        let ledger = Self {
            opened: opened.clone(),
            terms: *terms,
            salt,
            learned: Learned::new(terms.chain, None, Default::default()),
            checkpoints,
        };
        opened.together(|| {
            ledger.write_terms()?;
            ledger.add(candidate).map(drop)
        })?;
        Ok(ledger)
    }

    /// Adds a device for a code of the same study, beside those that were stopped. One that was not enrolled makes room: it is
    /// erased, or stopped if something was sealed with it.
    pub(crate) fn go_on(&self, terms: &Terms, candidate: &Candidate<'_>) -> Result<Self, Error> {
        self.expect_study(terms)?;
        let ledger = Self {
            opened: self.opened.clone(),
            terms: *terms,
            salt: self.salt,
            learned: self.learned.clone(),
            checkpoints: self.checkpoints.clone(),
        };
        self.opened.together(|| {
            ledger.write_terms()?;
            let present = ledger.record(ledger.current()?)?;
            match (present.frozen, present.proved, present.length) {
                (None, false, 0) => ledger.erase(present.id)?,
                (None, false, _) => {
                    ledger.set_said(present.id, None)?;
                    ledger.set_frozen(present.id, FreezeReason::NeverEnrolled, 0)?;
                }
                _ => {}
            }
            ledger.add(candidate).map(drop)
        })?;
        Ok(ledger)
    }

    /// Checks that a code is for the chain and the study that the devices are for.
    pub(crate) fn expect_study(&self, terms: &Terms) -> Result<(), Error> {
        self.expect_chain(&terms.chain)?;
        match terms.study == self.terms.study {
            true => Ok(()),
            false => Err(Error::OtherStudy {
                expected: terms.study,
                found: self.terms.study,
            }),
        }
    }

    /// Erases a device that was never enrolled and sealed nothing. Says whether there is another one; otherwise the store is as it was
    /// before anybody entered a code.
    pub(crate) fn take_back(&self, id: LocalId) -> Result<bool, Error> {
        self.together(|| {
            self.erase(id)?;
            if !self.ids()?.is_empty() {
                return Ok(true);
            }
            for key in [
                stored::BEGUN,
                stored::ANCHOR,
                stored::DOUBTS,
                stored::RELAYS,
            ] {
                self.opened.store.delete(key).map_err(failed)?;
            }
            let mut notes = self.opened.notes()?;
            notes.authentication = None;
            self.opened.set_notes(&notes)?;
            Ok::<_, Error>(false)
        })
    }

    /// Whether it was this code by which a device was enrolled.
    pub(crate) fn has_redeemed(&self, id: LocalId, code: &EnrolmentCode) -> Result<bool, Error> {
        let redeemed: Option<[u8; 32]> = self.opened.read(&stored::redeemed(id))?;
        Ok(redeemed.is_some_and(|redeemed| redeemed == code.hash()))
    }

    /// Whether a device was made for another code than this one, which was entered later. That stays true when the phone is
    /// interrupted.
    pub(crate) fn is_for_another(&self, id: LocalId, code: &EnrolmentCode) -> Result<bool, Error> {
        let made_for: Option<[u8; 32]> = self.opened.read(&stored::made_for(id))?;
        Ok(made_for.is_some_and(|made_for| made_for != code.hash()))
    }

    /// What is left of the devices before the present one.
    pub(crate) fn left_behind(&self) -> Result<LeftBehind, Error> {
        let present = self.current()?;
        let mut left = LeftBehind::default();
        for device in self.devices()? {
            if device.id == present {
                continue;
            }
            let exported: Option<u64> = self.opened.read(&stored::exported(device.id))?;
            let taken = exported.unwrap_or(0).max(device.confirmed);
            left.entries += device.queued();
            left.not_exported += device.length.saturating_sub(taken);
        }
        Ok(left)
    }

    /// Notes that a device's entries up to `sequence` were taken out.
    pub(crate) fn set_exported(&self, id: LocalId, sequence: u64) -> Result<(), Error> {
        self.opened.put(stored::exported(id), &sequence)
    }

    /// Keeps a code that a device will redeem, and where.
    pub(crate) fn keep_code(
        &self,
        id: LocalId,
        code: &EnrolmentCode,
        authentication: &str,
    ) -> Result<(), Error> {
        let code = self.closed_code(id, code)?;
        self.together(|| {
            self.change(id, |state| state.code = Some(code))?;
            let mut notes = self.opened.notes()?;
            notes.authentication = Some(authentication.into());
            self.opened.set_notes(&notes)
        })
    }

    fn add(&self, candidate: &Candidate<'_>) -> Result<LocalId, Error> {
        let mut rng = self.opened.senses.rng().map_err(|_| Error::NoRandom)?;
        let made = NewDevice::make(&self.terms, candidate.predecessor, &mut rng)?;
        let id = LocalId(self.ids()?.last().map_or(0, |last| last.0 + 1));
        let fixed = Fixed {
            key: made.key.public().0,
            seed: self.close(b"seed", id, 0, &*made.key.expose_seed())?,
            secret_commitment: made.secret_commitment,
            escrow: made.escrow,
            auditor_key: self.terms.auditor_key,
            auditor_epoch: self.terms.auditor_epoch,
            predecessor: made.predecessor.map(|it| (it.device.0, it.head.0)),
            genesis: made.begin.head().0,
        };
        let state = State {
            length: 0,
            head: fixed.genesis,
            ratchet: self.close(b"ratchet", id, 0, made.begin.key().expose())?,
            checksum: position_checksum(&made.begin),
            confirmed: 0,
            frozen: None,
            seen: 0,
            said: None,
            number: None,
            code: None,
            recipient: None,
        };
        self.opened.put(stored::fixed(id), &fixed)?;
        self.opened.put(stored::state(id), &state)?;
        let made_for = candidate.code.hash();
        self.opened.put(stored::made_for(id), &made_for)?;
        self.set_recipient(id, candidate.recipient)?;
        self.keep_code(id, candidate.code, candidate.authentication)?;
        Ok(id)
    }

    fn erase(&self, id: LocalId) -> Result<(), Error> {
        for key in [
            stored::fixed(id),
            stored::state(id),
            stored::made_for(id),
            stored::exported(id),
        ] {
            self.opened.store.delete(&key).map_err(failed)?;
        }
        Ok(())
    }

    fn closed_code(&self, id: LocalId, code: &EnrolmentCode) -> Result<Vec<u8>, Error> {
        self.close(b"code", id, 0, code.reveal().as_bytes())
    }
}

/// Entries that the chain is not known to have, and that nobody sends any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftBehind {
    pub(crate) entries: u64,
    /// Of these, entries that nobody has taken out yet.
    pub(crate) not_exported: u64,
}

/// A device that is to be made for a code.
pub(crate) struct Candidate<'a> {
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) recipient: Option<[u8; 32]>,
    pub(crate) code: &'a EnrolmentCode,
    pub(crate) authentication: &'a str,
}
