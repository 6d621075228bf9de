// SPDX-License-Identifier: Apache-2.0

//! What is known of devices, and where it is kept.
//!
//! The rules of this library — what is sealed, sent, believed, when a device stops — are written once, over a [`Book`]. A phone's
//! is a [`Ledger`](crate::ledger::Ledger) over the host's [`PhoneStore`](crate::host::PhoneStore); programs with thousands of devices
//! have one in SQLite.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use hashchain::{
    DeviceId, Enrolment, Entry, LinkHash, Native, Run, RunEntry, Sealer, Secret, Sha256, StudyId,
};
use mhealth_evidence::Anchor;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use mhealth_api::{EnrolmentCode, Predecessor};

pub use crate::freeze::FreezeReason;
use crate::{
    error::Error,
    key::{readable, DeviceKey, PublicKey, Signature},
    proof::{FinalHead, HeadChecker},
    seal,
};

/// The study's name for a participant: never a real name, a chart number or an account of some vendor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Participant(pub String);

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the devices of one book are enrolled under. Chain and study are fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Hash of the chain's genesis block.
    pub chain: [u8; 32],
    /// The study on that chain.
    pub study: StudyId,
    /// The study's X25519 key, to which the secrets of new devices are escrowed.
    pub auditor_key: [u8; 32],
    /// How many keys the study had before it. A device keeps the key of its day.
    pub auditor_epoch: u32,
}

/// A device's place in its book. Means nothing elsewhere; the chain's number is [`DeviceRecord::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(pub i64);

/// What is known of a device, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its place in the book.
    pub id: LocalId,
    /// Whose device it is.
    pub participant: Participant,
    /// Its key and account.
    pub key: PublicKey,
    /// `H("secret", S)`.
    pub secret_commitment: [u8; 32],
    /// `S` sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// The key that the auditor had then.
    pub auditor_key: [u8; 32],
    /// Which of the auditor's keys that was.
    pub auditor_epoch: u32,
    /// The participant's key, to which its payloads are sealed; `None` where they are sealed to nobody.
    pub recipient: Option<[u8; 32]>,
    /// The device that this one replaces.
    pub predecessor: Option<Predecessor>,
    /// `h_0`.
    pub genesis: LinkHash,
    /// The number that the chain gave it, or that a server named; `None` before it is enrolled.
    pub number: Option<DeviceId>,
    /// Whether the chain has its enrolment under that number, and not only a server's word for it.
    pub proved: bool,
    /// How many entries it sealed.
    pub length: u64,
    /// The hash of the last of them, or `h_0`.
    pub head: LinkHash,
    /// How many of them the chain has finalised.
    pub confirmed: u64,
    /// Why it was stopped, if it was.
    pub frozen: Option<FreezeReason>,
}

impl DeviceRecord {
    /// What the chain keeps of the key to which its payloads are sealed.
    pub fn participant_digest(&self) -> [u8; 32] {
        hashchain::participant_digest::<Native>(self.recipient.as_ref())
    }

    /// Entries that are sealed and not finalised.
    pub fn queued(&self) -> u64 {
        self.length - self.confirmed
    }
}

/// A run that was formed and is not confirmed, with the last refusal it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRun {
    /// Its entries, in order; the first one's `previous` is the run's.
    pub entries: Vec<Entry>,
    /// Over the last entry's hash.
    pub signature: Signature,
    /// Stable name of why the chain refused it last; `None` when it was never refused.
    pub refusal: Option<String>,
    /// Base addresses of the relays that acknowledged it; kept only while several have to.
    pub holders: Vec<String>,
}

impl QueuedRun {
    /// The run, as the chain gets it of the device of this number.
    pub fn run(&self, device: DeviceId) -> Run {
        Run {
            device,
            first_sequence: self.first().sequence,
            previous: self.first().previous,
            entries: self.entries.iter().map(RunEntry::from).collect(),
            signature: Some(self.signature.0),
        }
    }

    /// Its first entry.
    pub fn first(&self) -> &Entry {
        self.entries
            .first()
            .expect("a run is made of at least one entry; qed")
    }

    /// Its last entry.
    pub fn last(&self) -> &Entry {
        self.entries
            .last()
            .expect("a run is made of at least one entry; qed")
    }
}

/// Counts over all devices of a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Devices.
    pub devices: u64,
    /// Devices that the chain has given a number.
    pub enrolled: u64,
    /// Devices that were stopped.
    pub frozen: u64,
    /// Entries sealed.
    pub entries: u64,
    /// Entries that the chain has finalised.
    pub finalised: u64,
    /// Entries that are in refused runs, or queued by stopped devices.
    pub refused: u64,
}

/// A device that nobody knows yet: a key, a secret, the escrow of it, and the hash that its chain starts from.
pub struct NewDevice {
    /// Its key.
    pub key: DeviceKey,
    /// `H("secret", S)`.
    pub secret_commitment: [u8; 32],
    /// `S` sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// The device that it goes on from.
    pub predecessor: Option<Predecessor>,
    /// Where its hashchain begins: `h_0` and the first ratchet key.
    pub begin: Sealer,
}

impl NewDevice {
    /// Makes one. It can seal at once; the chain gets to know it later.
    pub fn make<R: CryptoRng + RngCore>(
        terms: &Terms,
        predecessor: Option<Predecessor>,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let key = DeviceKey::generate(rng);
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        let secret = Secret::from_bytes(&bytes);
        let escrow = seal::escrow(&secret, &terms.auditor_key, &key.public(), rng)?;
        let secret_commitment = hashchain::secret_commitment::<Native>(&secret);
        let before = predecessor.as_ref();
        let genesis = genesis(terms, &key.public(), before, &secret_commitment, &escrow);
        Ok(Self {
            begin: Sealer::begin(genesis, &secret),
            key,
            secret_commitment,
            escrow,
            predecessor,
        })
    }
}

/// `h_0` of a device.
pub(crate) fn genesis(
    terms: &Terms,
    key: &PublicKey,
    predecessor: Option<&Predecessor>,
    secret_commitment: &[u8; 32],
    escrow: &[u8],
) -> LinkHash {
    hashchain::genesis::<Native>(&Enrolment {
        chain: &terms.chain,
        study: terms.study,
        device_key: &key.0,
        predecessor: predecessor.map(|before| before.head),
        secret_commitment,
        escrow_commitment: &hashchain::escrow_commitment::<Native>(escrow),
    })
}

/// Sixteen bytes that say whether length, head and ratchet key are the ones that were written together: a damaged key would
/// otherwise show only when an auditor finds every later tag wrong.
pub fn position_checksum(sealer: &Sealer) -> [u8; 16] {
    let (length, LinkHash(head)) = (sealer.sequence().to_be_bytes(), sealer.head());
    let key = sealer.key().expose();
    short_digest(&[b"mhealth-device/position", &length, &head, key])
}

/// The first half of a hash.
pub(crate) fn short_digest(parts: &[&[u8]]) -> [u8; 16] {
    let digest = Native::sha256_of_parts(parts);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// An entry with what is kept beside it.
#[derive(Clone, Copy, Debug)]
pub struct SealedEntry<'a> {
    /// The caller's name for what was sealed.
    pub source: &'a str,
    /// Tells a repetition of the source from a correction.
    pub content: [u8; 16],
    /// The entry.
    pub entry: &'a Entry,
    /// Its envelope.
    pub envelope: &'a [u8],
}

/// Where devices are kept. All writes of a call are durable together when it returns, or, within [`together`](Self::together), when
/// that returns.
///
/// Nothing here decides anything: it reads and writes. Errors are about the place itself.
pub trait Book {
    /// What new devices are enrolled under.
    fn terms(&self) -> &Terms;

    /// Something in the book does not fit the rest.
    fn corrupt(&self, what: String) -> Error;

    /// Does several writes, all or none of them.
    fn together<T, E: From<Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E>;

    /// Makes the digests of this book's sources unlike those of every other one.
    fn salt(&self) -> [u8; 32];

    /// All devices, in the order in which they were made.
    fn devices(&self) -> Result<Vec<DeviceRecord>, Error>;

    /// What is known of a device.
    fn device(&self, id: LocalId) -> Result<DeviceRecord, Error>;

    /// A device's private key.
    fn device_key(&self, id: LocalId) -> Result<DeviceKey, Error>;

    /// Where a device's hashchain stands, with its ratchet key. Refused if it does not fit together.
    fn sealer(&self, id: LocalId) -> Result<Sealer, Error>;

    /// The code that a device has not redeemed yet.
    fn code(&self, id: LocalId) -> Result<Option<EnrolmentCode>, Error>;

    /// Counts over all devices: entries that the chain has finalised.
    fn finalised(&self) -> Result<u64, Error>;

    /// Checks proofs, from what was proved before.
    fn checker(&self, trusts_words: bool) -> HeadChecker;

    /// Stores what was proved of the chain's authorities.
    fn write_anchor(&self, anchor: &Anchor) -> Result<(), Error>;

    /// Stores the number that a server said a device has; or (`None`) forgets it.
    fn set_said(&self, id: LocalId, number: Option<DeviceId>) -> Result<(), Error>;

    /// Stores a device's number, under which its own enrolment was proved, and erases the code that it redeemed.
    fn set_number(&self, id: LocalId, known: &FinalHead) -> Result<(), Error>;

    /// Stores that a device is stopped for good.
    fn set_frozen(&self, id: LocalId, reason: FreezeReason, block: u32) -> Result<(), Error>;

    /// Stores that the chain has a device's entries up to `sequence`, as proved in `block`. Neither goes back.
    fn set_confirmed(&self, id: LocalId, sequence: u64, block: u32) -> Result<(), Error>;

    /// Stores the key of a device's participant.
    fn write_recipient(&self, id: LocalId, key: Option<[u8; 32]>) -> Result<(), Error>;

    /// The last entry of a source, and the digest of its content.
    fn last_of_source(&self, id: LocalId, source: &str) -> Result<Option<(u64, [u8; 16])>, Error>;

    /// Stores an entry and the state after it. The key before is overwritten.
    fn write_entry(
        &self,
        id: LocalId,
        sealed: &SealedEntry<'_>,
        after: &Sealer,
    ) -> Result<(), Error>;

    /// A device's entries from sequence `first` to `last`, in order; those that exist.
    fn entries(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<Entry>, Error>;

    /// Hands over all of a device's entries with their envelopes, in order, until `take` wants no more.
    fn each_entry(
        &self,
        id: LocalId,
        take: &mut dyn FnMut(&Entry, &[u8]) -> bool,
    ) -> Result<(), Error>;

    /// The hash of a device's entry, `h_0` for 0; `None` past its head.
    fn hash_at(&self, id: LocalId, sequence: u64) -> Result<Option<LinkHash>, Error>;

    /// The envelope of an entry.
    fn envelope(&self, id: LocalId, sequence: u64) -> Result<Option<Vec<u8>>, Error>;

    /// How many bytes the envelopes of the entries from `first` to `last` have, in order.
    fn envelope_lengths(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<u64>, Error>;

    /// When an entry was sealed, in seconds since 1970 by the device's clock.
    fn sealed_at(&self, id: LocalId, sequence: u64) -> Result<u64, Error>;

    /// The number of entries that are in a run or confirmed.
    fn covered(&self, id: LocalId) -> Result<u64, Error>;

    /// Stores a run's limits and signature.
    fn add_run(
        &self,
        id: LocalId,
        first: u64,
        last: u64,
        signature: &Signature,
    ) -> Result<(), Error>;

    /// A device's runs that were formed and are not delivered, in order.
    fn runs(&self, id: LocalId) -> Result<Vec<QueuedRun>, Error>;

    /// At most so many of a device's runs: those that the chain lacks, oldest first, then those of which a relay lacks its copy.
    /// In this order a relay that is down for long keeps nothing new from being registered.
    fn runs_to_send(&self, id: LocalId, most: u32) -> Result<Vec<QueuedRun>, Error>;

    /// Stores that a relay acknowledged the run that starts at `first`.
    fn add_holder(&self, id: LocalId, first: u64, relay: &str) -> Result<(), Error>;

    /// Stores that the run that starts at `first` was refused, or (`None`) is to be tried afresh.
    fn set_refusal(&self, id: LocalId, first: u64, refusal: Option<&str>) -> Result<(), Error>;

    /// Forgets the runs that are confirmed and held by as many relays as are wanted.
    fn forget_copied(&self, id: LocalId, copies: u32) -> Result<(), Error>;

    /// The devices that are not stopped and have entries which no run holds yet.
    fn devices_with_loose_entries(&self) -> Result<Vec<LocalId>, Error>;

    /// The devices that are not stopped and have finalised runs of which some relay lacks its copy.
    fn devices_short_of_copies(&self) -> Result<Vec<LocalId>, Error>;

    /// The relays that did not do what they said, and until when others are turned to first, in seconds since 1970.
    fn doubts(&self) -> Result<BTreeMap<String, i64>, Error>;

    /// Stores these doubts instead of those before.
    fn set_doubts(&self, doubts: &BTreeMap<String, i64>) -> Result<(), Error>;

    /// Checks that the book was made for this chain.
    fn expect_chain(&self, genesis: &[u8; 32]) -> Result<(), Error> {
        let found = &self.terms().chain;
        if found == genesis {
            return Ok(());
        }
        Err(Error::OtherChain {
            expected: readable(genesis),
            found: readable(found),
        })
    }

    /// Keeps the public key of a device's participant, to which its payloads are sealed from the first on, and which it is enrolled
    /// with. Refused are a weak key, and any other key than before once the device is enrolled or has sealed something.
    fn set_recipient(&self, id: LocalId, key: Option<[u8; 32]>) -> Result<(), Error> {
        if key.is_some_and(|key| hashchain::is_weak_sealing_key(&key)) {
            return Err(Error::WeakParticipantKey);
        }
        let device = self.device(id)?;
        if device.recipient == key {
            return Ok(());
        }
        if device.number.is_some() || device.length > 0 {
            return Err(Error::AnotherParticipantKey);
        }
        self.write_recipient(id, key)
    }

    /// [`together`](Self::together) for writes about what was proved. When they did not become durable, the chain's authorities did
    /// not either: they are written with the next.
    fn together_with_proofs<T, E: From<Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let done = self.together(work);
        if done.is_err() {
            self.checker(false).is_unsaved();
        }
        done
    }

    /// Makes durable what was proved of the chain's authorities.
    fn keep_anchor(&self) -> Result<(), Error> {
        let checker = self.checker(false);
        let Some(anchor) = checker.take_unsaved() else {
            return Ok(());
        };
        let kept = self.write_anchor(&anchor);
        if kept.is_err() {
            checker.is_unsaved();
        }
        kept
    }

    /// The chain has finalised the device's entries up to `sequence`, which never goes back. Runs that are finalised leave the queue;
    /// when each is to be held by several relays, not before so many acknowledged it.
    fn confirm(
        &self,
        id: LocalId,
        sequence: u64,
        copies: u32,
        known: &FinalHead,
    ) -> Result<(), Error> {
        let sequence = sequence.min(known.head().length);
        self.together_with_proofs(|| {
            self.keep_anchor()?;
            self.set_confirmed(id, sequence, known.block().unwrap_or(0))?;
            self.forget_copied(id, copies)
        })
    }

    /// Stops a device for good, because of what the chain has of it.
    fn freeze(&self, id: LocalId, reason: FreezeReason, known: &FinalHead) -> Result<(), Error> {
        self.set_frozen(id, reason, known.block().unwrap_or(0))
    }

    /// An entry without its data.
    fn lacks_envelope(&self) -> Error {
        self.corrupt("an entry has no envelope".into())
    }
}
