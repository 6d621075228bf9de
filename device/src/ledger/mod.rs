// SPDX-License-Identifier: Apache-2.0

//! A phone's book, over the bytes by key that its host keeps.
//!
//! What a seal writes — the entry, its envelope, the next ratchet key, the new head — is one list of writes, and nothing is sent
//! before it is durable. So a phone that is killed at any point comes back with all of an entry or nothing of it, and a retry sends
//! the bytes that were stored. The spent key is overwritten in that list.

mod book;
mod pending;
mod stored;

use alloc::{string::String, sync::Arc, vec::Vec};

use codec::{DecodeAll, Encode};
use hashchain::{DeviceId, LinkHash, RatchetKey, Sealer, StudyId};
use mhealth_evidence::{Anchor, Checkpoint};
use zeroize::Zeroizing;

use crate::{
    audit::audit,
    book::{
        position_checksum, Book, DeviceRecord, EnrolmentCode, FreezeReason, LocalId, NewDevice,
        Participant, Predecessor, Terms,
    },
    error::Error,
    host::{Keystore, PhoneStore, StoreFault},
    key::{DeviceKey, PublicKey},
    proof::Learned,
    senses::Senses,
    servers::Address,
    vault::Vault,
};
use pending::Journaled;
use stored::{Fixed, Made, State};

pub(crate) use stored::Notes;

/// What errors call the store.
const NAME: &str = "of this app";

/// A store that was opened with its key, whether or not there is a device in it.
pub(crate) struct Opened<S> {
    store: Journaled<S>,
    vault: Vault,
    senses: Senses,
}

/// The devices of a phone: one, and those that were stopped before it.
pub struct Ledger<S> {
    opened: Arc<Opened<S>>,
    terms: Terms,
    salt: [u8; 32],
    learned: Learned,
    checkpoints: Arc<[Checkpoint]>,
}

impl<S: PhoneStore> Opened<S> {
    /// Opens a store, or makes it ready.
    pub(crate) async fn open(
        store: S,
        keystore: &impl Keystore,
        senses: Senses,
    ) -> Result<Self, Error> {
        let store = Journaled::new(store);
        let Some(made) = store.get(stored::MADE).map_err(failed)? else {
            let (vault, wrapped, probe) = Vault::make(keystore, &*senses.entropy).await?;
            let made = Made {
                version: stored::VERSION,
                wrapped,
                probe,
            };
            let put = store.put(stored::MADE.into(), made.encode());
            put.map_err(failed)?;
            return Ok(Self {
                store,
                vault,
                senses,
            });
        };
        // The version comes first, whatever follows it in others.
        let version = made.get(..4).and_then(|it| it.try_into().ok());
        let version = u32::from_le_bytes(version.ok_or_else(|| corrupt("it has no version"))?);
        if version > stored::VERSION {
            return Err(Error::Newer {
                path: NAME.into(),
                found: version.into(),
                known: stored::VERSION.into(),
            });
        }
        let made: Made = decode(&made)?;
        let vault = Vault::open(keystore, &made.wrapped, &made.probe).await?;
        Ok(Self {
            store,
            vault,
            senses,
        })
    }

    pub(crate) fn notes(&self) -> Result<Notes, Error> {
        Ok(self.read(stored::NOTES)?.unwrap_or_default())
    }

    pub(crate) fn set_notes(&self, notes: &Notes) -> Result<(), Error> {
        self.put(stored::NOTES.into(), notes)
    }

    fn read<V: DecodeAll>(&self, key: &[u8]) -> Result<Option<V>, Error> {
        let value = self.store.get(key).map_err(failed)?;
        value.map(|value| decode(&value)).transpose()
    }

    fn put(&self, key: Vec<u8>, value: &impl Encode) -> Result<(), Error> {
        self.store.put(key, value.encode()).map_err(failed)
    }

    pub(crate) fn together<T, E: From<Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(begun) = self.store.begin() else {
            return work();
        };
        let done = work()?;
        self.store.commit(begun).map_err(failed)?;
        Ok(done)
    }
}

impl<S: PhoneStore> Ledger<S> {
    /// The devices of a store; none if nobody has begun to enrol. All of it is checked.
    pub(crate) fn open(
        opened: Arc<Opened<S>>,
        checkpoints: Arc<[Checkpoint]>,
    ) -> Result<Option<Self>, Error> {
        let Some(begun) = opened.read::<stored::Begun>(stored::BEGUN)? else {
            return Ok(None);
        };
        let terms = Terms {
            chain: begun.chain,
            study: StudyId(begun.study),
            auditor_key: begun.auditor_key,
            auditor_epoch: begun.auditor_epoch,
        };
        let anchor: Option<Anchor> = opened.read(stored::ANCHOR)?;
        if anchor
            .as_ref()
            .is_some_and(|it| it.genesis() != terms.chain)
        {
            return Err(corrupt(
                "what it knows of the chain's authorities is of another chain",
            ));
        }
        let mut ledger = Self {
            opened,
            terms,
            salt: begun.salt,
            learned: Learned::new(terms.chain, None, Default::default()),
            checkpoints,
        };
        let mut seen = alloc::collections::BTreeMap::new();
        for id in ledger.ids()? {
            let state = ledger.state(id)?;
            if let (Some(number), 1..) = (state.number, state.seen) {
                seen.insert(DeviceId(number), state.seen);
            }
        }
        ledger.learned = Learned::new(terms.chain, anchor, seen);
        audit(&ledger)?;
        Ok(Some(ledger))
    }

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
        self.expect_chain(&terms.chain)?;
        if terms.study != self.terms.study {
            return Err(Error::OtherStudy {
                expected: terms.study,
                found: self.terms.study,
            });
        }
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
        Ok(redeemed.is_none_or(|redeemed| redeemed == code.hash()))
    }

    /// The device that seals and sends: the one that was made last.
    pub(crate) fn current(&self) -> Result<LocalId, Error> {
        let last = self.ids()?.last().copied();
        last.ok_or_else(|| corrupt("there is no device"))
    }

    /// The block in which a device's head was proved last.
    pub(crate) fn seen(&self, id: LocalId) -> Result<u32, Error> {
        Ok(self.state(id)?.seen)
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

    /// The relays that the authentication server named last.
    pub(crate) fn relays(&self) -> Result<Vec<Address>, Error> {
        let relays: Vec<String> = self.opened.read(stored::RELAYS)?.unwrap_or_default();
        Ok(relays
            .iter()
            .filter_map(|relay| relay.parse().ok())
            .collect())
    }

    /// Keeps them, if they are news.
    pub(crate) fn remember_relays(&self, relays: &[Address]) -> Result<(), Error> {
        if relays.is_empty() || self.relays()? == relays {
            return Ok(());
        }
        let relays: Vec<&str> = relays.iter().map(Address::as_str).collect();
        self.opened.put(stored::RELAYS.into(), &relays)
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

    fn write_terms(&self) -> Result<(), Error> {
        let Terms {
            chain,
            study,
            auditor_key,
            auditor_epoch,
        } = self.terms;
        let begun = stored::Begun {
            chain,
            study: study.0,
            auditor_key,
            auditor_epoch,
            salt: self.salt,
        };
        self.opened.put(stored::BEGUN.into(), &begun)
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
        self.set_recipient(id, candidate.recipient)?;
        self.keep_code(id, candidate.code, candidate.authentication)?;
        Ok(id)
    }

    fn erase(&self, id: LocalId) -> Result<(), Error> {
        for key in [stored::fixed(id), stored::state(id)] {
            self.opened.store.delete(&key).map_err(failed)?;
        }
        Ok(())
    }

    fn ids(&self) -> Result<Vec<LocalId>, Error> {
        let devices = self.opened.store.scan(b"d", b"e", usize::MAX);
        let devices = devices.map_err(failed)?;
        let ids = devices.iter().map(|(key, _)| stored::id(key));
        ids.collect::<Option<_>>()
            .ok_or_else(|| corrupt("a key has another length"))
    }

    fn fixed(&self, id: LocalId) -> Result<Fixed, Error> {
        let fixed = self.opened.read(&stored::fixed(id))?;
        fixed.ok_or_else(|| corrupt("it lacks a device"))
    }

    fn state(&self, id: LocalId) -> Result<State, Error> {
        let state = self.opened.read(&stored::state(id))?;
        state.ok_or_else(|| corrupt("it lacks the state of a device"))
    }

    fn change(&self, id: LocalId, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        let mut state = self.state(id)?;
        change(&mut state);
        self.opened.put(stored::state(id), &state)
    }

    fn close(&self, what: &[u8], id: LocalId, at: u64, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let entropy = &*self.opened.senses.entropy;
        self.opened
            .vault
            .close(&label(what, id, at), secret, entropy)
    }

    fn reveal(
        &self,
        what: &[u8],
        id: LocalId,
        at: u64,
        stored: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let secret = self.opened.vault.reveal(&label(what, id, at), stored);
        secret.ok_or_else(|| corrupt("a secret cannot be decrypted"))
    }

    fn closed_code(&self, id: LocalId, code: &EnrolmentCode) -> Result<Vec<u8>, Error> {
        self.close(b"code", id, 0, code.reveal().as_bytes())
    }

    fn key(&self, id: LocalId) -> Result<DeviceKey, Error> {
        let seed = self.reveal(b"seed", id, 0, &self.fixed(id)?.seed)?;
        Ok(DeviceKey::from_seed(&*secret_bytes(&seed)?))
    }

    fn position(&self, id: LocalId) -> Result<Sealer, Error> {
        let state = self.state(id)?;
        let ratchet = self.reveal(b"ratchet", id, state.length, &state.ratchet)?;
        let key = RatchetKey::restore(state.length, &*secret_bytes(&ratchet)?);
        let key = key.map_err(|_| corrupt("a device's length is out of range"))?;
        let sealer = Sealer::resume(LinkHash(state.head), key);
        match position_checksum(&sealer) == state.checksum {
            true => Ok(sealer),
            false => Err(corrupt(
                "a device's position and ratchet key do not fit together",
            )),
        }
    }

    fn record(&self, id: LocalId) -> Result<DeviceRecord, Error> {
        let (fixed, state) = (self.fixed(id)?, self.state(id)?);
        let predecessor = fixed.predecessor.map(|(device, head)| Predecessor {
            device: DeviceId(device),
            head: LinkHash(head),
        });
        // An unknown reason was written by somebody else; the device stays stopped.
        let frozen = state
            .frozen
            .map(|code| FreezeReason::from_code(&code).unwrap_or(FreezeReason::ForeignHead));
        Ok(DeviceRecord {
            id,
            participant: Participant(String::new()),
            key: PublicKey(fixed.key),
            secret_commitment: fixed.secret_commitment,
            escrow: fixed.escrow,
            auditor_key: fixed.auditor_key,
            auditor_epoch: fixed.auditor_epoch,
            recipient: state.recipient,
            predecessor,
            genesis: LinkHash(fixed.genesis),
            number: state.number.or(state.said).map(DeviceId),
            proved: state.number.is_some(),
            length: state.length,
            head: LinkHash(state.head),
            confirmed: state.confirmed,
            frozen,
        })
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

fn label(what: &[u8], id: LocalId, at: u64) -> Vec<u8> {
    [what, &id.0.to_be_bytes(), &at.to_be_bytes()].concat()
}

fn secret_bytes(secret: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let bytes = secret
        .try_into()
        .map_err(|_| corrupt("a key has another length"))?;
    Ok(Zeroizing::new(bytes))
}

fn decode<V: DecodeAll>(value: &[u8]) -> Result<V, Error> {
    V::decode_all(&mut &*value).map_err(|_| corrupt("a value has the wrong shape"))
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt {
        path: NAME.into(),
        what: what.into(),
    }
}

fn failed(fault: StoreFault) -> Error {
    match fault {
        StoreFault::Full => Error::DiskFull(NAME.into()),
        StoreFault::InUse => Error::InUse(NAME.into()),
        StoreFault::Unusable(reason) => Error::Unreadable {
            path: NAME.into(),
            reason,
        },
        StoreFault::Damaged(what) => Error::Corrupt {
            path: NAME.into(),
            what,
        },
    }
}
