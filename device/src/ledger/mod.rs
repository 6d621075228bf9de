// SPDX-License-Identifier: Apache-2.0

//! A phone's book, over the bytes by key that its host keeps.
//!
//! What a seal writes — the entry, its envelope, the next ratchet key, the new head — is one list of writes, and nothing is sent
//! before it is durable. So a phone that is killed at any point comes back with all of an entry or nothing of it, and a retry sends
//! the bytes that were stored. The spent key is overwritten in that list.

mod book;
mod devices;
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
        position_checksum, DeviceRecord, FreezeReason, LocalId, Participant, Predecessor, Terms,
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

pub(crate) use devices::Candidate;
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

    /// The device that seals and sends: the one that was made last.
    pub(crate) fn current(&self) -> Result<LocalId, Error> {
        let last = self.ids()?.last().copied();
        last.ok_or_else(|| corrupt("there is no device"))
    }

    /// The block in which a device's head was proved last.
    pub(crate) fn seen(&self, id: LocalId) -> Result<u32, Error> {
        Ok(self.state(id)?.seen)
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
