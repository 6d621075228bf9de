// SPDX-License-Identifier: Apache-2.0

//! Devices and runs as the store keeps them.

use hashchain::{
    DataDigest, DeviceId, Enrolment, Entry, LinkHash, Native, RatchetKey, Run, RunEntry, Sealer,
    Secret, Tag,
};
use mhealth_api::Predecessor;
use rand::{CryptoRng, RngCore};
use rusqlite::{OptionalExtension, Row};
use zeroize::Zeroizing;

use super::{Position, Store};
use crate::{
    error::Error,
    freeze::FreezeReason,
    key::{DeviceKey, PublicKey, Signature},
    payload::Participant,
    seal,
};

/// A device's row in its file. Means nothing elsewhere; the chain's number is [`DeviceRecord::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(pub(crate) i64);

/// What is known of a device, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its row in the file.
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

/// Counts over all devices of a file.
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

const COLUMNS: &str =
    "id, participant, key, secret_commitment, escrow, predecessor, predecessor_head, genesis, \
                       COALESCE(chain_id, said), length, head, confirmed, frozen, chain_id IS NOT NULL, auditor_key, auditor_epoch, \
                       recipient";

impl Store {
    /// Makes a device for a participant: a key, a secret, the escrow of it, and the hash that its chain starts
    /// from. It can seal at once; the chain gets to know it later.
    pub fn add_device<R: CryptoRng + RngCore>(
        &self,
        participant: &Participant,
        predecessor: Option<Predecessor>,
        rng: &mut R,
    ) -> Result<LocalId, Error> {
        let key = DeviceKey::generate(rng);
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        let secret = Secret::from_bytes(&bytes);

        let public = key.public();
        let escrow = seal::escrow(&secret, &self.terms.auditor_key, &public, rng)?;
        let secret_commitment = hashchain::secret_commitment::<Native>(&secret);
        let genesis = hashchain::genesis::<Native>(&Enrolment {
            chain: &self.terms.chain,
            study: self.terms.study,
            device_key: &public.0,
            predecessor: predecessor.map(|p| p.head),
            secret_commitment: &secret_commitment,
            escrow_commitment: &hashchain::escrow_commitment::<Native>(&escrow),
        });
        let position = Position {
            sealer: Sealer::begin(genesis, &secret),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO device (participant, key, seed, secret_commitment, escrow, predecessor, \
                 predecessor_head, genesis, length, head, ratchet, checksum, created, auditor_key, auditor_epoch) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?8, ?9, ?10, ?11, ?12, ?13)",
            )
            .and_then(|mut insert| {
                insert.insert((
                    &participant.0,
                    public.0,
                    *key.expose_seed(),
                    secret_commitment,
                    &escrow,
                    predecessor.map(|p| p.device.0),
                    predecessor.map(|p| p.head.0),
                    genesis.0,
                    position.sealer.key().expose(),
                    position.checksum(),
                    self.clock.now().unix_timestamp(),
                    self.terms.auditor_key,
                    self.terms.auditor_epoch,
                ))
            })
            .map(LocalId)
            .map_err(|e| self.failed(e))
    }

    /// The device of a participant, if there is one.
    pub fn device_of(&self, participant: &Participant) -> Result<Option<LocalId>, Error> {
        self.connection
            .prepare_cached("SELECT id FROM device WHERE participant = ?1")
            .and_then(|mut find| {
                find.query_row([&participant.0], |row| row.get(0))
                    .optional()
            })
            .map(|id| id.map(LocalId))
            .map_err(|e| self.failed(e))
    }

    /// What is known of a device.
    pub fn device(&self, id: LocalId) -> Result<DeviceRecord, Error> {
        self.connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM device WHERE id = ?1"))
            .and_then(|mut find| find.query_row([id.0], device_from))
            .map_err(|e| self.failed(e))
    }

    /// All devices, in the order in which they were made.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        self.connection
            .prepare(&format!("SELECT {COLUMNS} FROM device ORDER BY id"))
            .and_then(|mut all| all.query_map([], device_from)?.collect())
            .map_err(|e| self.failed(e))
    }

    /// A device's private key.
    pub fn device_key(&self, id: LocalId) -> Result<DeviceKey, Error> {
        self.connection
            .prepare_cached("SELECT seed FROM device WHERE id = ?1")
            .and_then(|mut find| find.query_row([id.0], |row| row.get(0).map(Zeroizing::new)))
            .map(|seed: Zeroizing<[u8; 32]>| DeviceKey::from_seed(&seed))
            .map_err(|e| self.failed(e))
    }

    /// Counts over all devices.
    pub fn totals(&self) -> Result<Totals, Error> {
        self.connection
            .query_row(
                "SELECT COUNT(*), COUNT(COALESCE(chain_id, said)), COUNT(frozen), COALESCE(SUM(length), 0), \
                 COALESCE(SUM(confirmed), 0), COALESCE(SUM(CASE WHEN frozen IS NULL THEN (SELECT \
                 COALESCE(SUM(MIN(last - first + 1, last - confirmed)), 0) FROM run WHERE device = id AND \
                 refusal IS NOT NULL AND last > confirmed) ELSE length - confirmed END), 0) FROM device",
                [],
                |row| {
                    Ok(Totals {
                        devices: row.get(0)?,
                        enrolled: row.get(1)?,
                        frozen: row.get(2)?,
                        entries: row.get(3)?,
                        finalised: row.get(4)?,
                        refused: row.get(5)?,
                    })
                },
            )
            .map_err(|e| self.failed(e))
    }

    /// The device's end of the chain, for making out whether entries of the chain are its own.
    pub(crate) fn sealer(&self, id: LocalId) -> Result<Sealer, Error> {
        self.position(id).map(|position| position.sealer)
    }

    /// Where a device's hashchain stands, from its row; refuses a row that does not fit together.
    pub(super) fn position(&self, id: LocalId) -> Result<Position, Error> {
        let stored = self
            .connection
            .prepare_cached("SELECT length, head, ratchet, checksum FROM device WHERE id = ?1")
            .and_then(|mut find| {
                find.query_row([id.0], |row| {
                    let ratchet = Zeroizing::new(row.get::<_, [u8; 32]>(2)?);
                    Ok((
                        row.get(0)?,
                        LinkHash(row.get(1)?),
                        ratchet,
                        row.get::<_, [u8; 16]>(3)?,
                    ))
                })
            });
        let (length, head, ratchet, checksum) = stored.map_err(|e| self.failed(e))?;
        let key = RatchetKey::restore(length, &ratchet)
            .map_err(|e| self.corrupt(format!("of a device {e}")))?;
        let position = Position {
            sealer: Sealer::resume(head, key),
        };
        if position.checksum() != checksum {
            return Err(self.corrupt("a device's position and ratchet key do not fit together"));
        }
        Ok(position)
    }
}

/// A device from a row of [`COLUMNS`].
fn device_from(row: &Row<'_>) -> rusqlite::Result<DeviceRecord> {
    let predecessor: (Option<u32>, Option<[u8; 32]>) = (row.get(5)?, row.get(6)?);
    let frozen: Option<String> = row.get(12)?;
    Ok(DeviceRecord {
        id: LocalId(row.get(0)?),
        participant: Participant(row.get(1)?),
        key: PublicKey(row.get(2)?),
        secret_commitment: row.get(3)?,
        escrow: row.get(4)?,
        auditor_key: row.get(14)?,
        auditor_epoch: row.get(15)?,
        recipient: row.get(16)?,
        predecessor: match predecessor {
            (Some(device), Some(head)) => Some(Predecessor {
                device: DeviceId(device),
                head: LinkHash(head),
            }),
            _ => None,
        },
        genesis: LinkHash(row.get(7)?),
        number: row.get::<_, Option<u32>>(8)?.map(DeviceId),
        proved: row.get(13)?,
        length: row.get(9)?,
        head: LinkHash(row.get(10)?),
        confirmed: row.get(11)?,
        // An unknown reason was written by somebody else; the device stays stopped.
        frozen: frozen
            .map(|code| FreezeReason::from_code(&code).unwrap_or(FreezeReason::ForeignHead)),
    })
}

/// An entry from a row of `sequence, digest, tag, hash`; the hash before it comes from the row before it.
pub(super) fn entry_from(row: &Row<'_>, previous: LinkHash) -> rusqlite::Result<Entry> {
    Ok(Entry {
        sequence: row.get(0)?,
        previous,
        digest: DataDigest(row.get(1)?),
        tag: Tag(row.get(2)?),
        hash: LinkHash(row.get(3)?),
    })
}
