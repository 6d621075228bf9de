// SPDX-License-Identifier: Apache-2.0

//! Devices as the store keeps them.

use hashchain::{DataDigest, DeviceId, Entry, LinkHash, RatchetKey, Sealer, Tag};
use mhealth_device::{
    book::{
        position_checksum, DeviceRecord, FreezeReason, LocalId, NewDevice, Predecessor, Totals,
    },
    chain::DeviceKey,
    Error, Participant, PublicKey,
};
use rand::{CryptoRng, RngCore};
use rusqlite::{OptionalExtension, Row};
use zeroize::Zeroizing;

use super::Store;

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
        let made = NewDevice::make(&self.terms, predecessor, rng)?;
        let begin = &made.begin;
        self.connection
            .prepare_cached(
                "INSERT INTO device (participant, key, seed, secret_commitment, escrow, predecessor, \
                 predecessor_head, genesis, length, head, ratchet, checksum, created, auditor_key, auditor_epoch) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?8, ?9, ?10, ?11, ?12, ?13)",
            )
            .and_then(|mut insert| {
                insert.insert((
                    &participant.0,
                    made.key.public().0,
                    *made.key.expose_seed(),
                    made.secret_commitment,
                    &made.escrow,
                    predecessor.map(|p| p.device.0),
                    predecessor.map(|p| p.head.0),
                    begin.head().0,
                    begin.key().expose(),
                    position_checksum(begin),
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

    /// Where a device's hashchain stands, from its row; refuses a row that does not fit together.
    pub(super) fn position(&self, id: LocalId) -> Result<Sealer, Error> {
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
            .map_err(|e| self.damaged(format!("of a device {e}")))?;
        let position = Sealer::resume(head, key);
        if position_checksum(&position) != checksum {
            return Err(self.damaged("a device's position and ratchet key do not fit together"));
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
