// SPDX-License-Identifier: Apache-2.0
//! Sealing, and the queue of what the chain has not finalised.

use hashchain::{Entry, LinkHash, Native, Sealer};
use rand::{CryptoRng, RngCore};
use rusqlite::OptionalExtension;

use super::{records::entry_from, Group, LocalId, Position, QueuedRun, Store};
use crate::{
    key::Signature,
    seal::{self, Recipient},
    Error,
};

/// Something to seal.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The caller's name for it, unique for the device, such as the day of the night: the same source is never
    /// sealed twice, whatever happens in between.
    pub source: &'a str,
    /// Says how to read the payload; see [`MEDIA_TYPE`](crate::payload::MEDIA_TYPE).
    pub media_type: &'a str,
    /// The bytes.
    pub payload: &'a [u8],
}

/// What sealing a record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A new entry.
    New(Entry),
    /// Its source was sealed before, as the entry of this sequence; nothing was written.
    Before(u64),
}

impl Group<'_> {
    /// Seals a record as the device's next entry. Durable with [`commit`](Self::commit), not before.
    pub fn seal<R: CryptoRng + RngCore>(
        &self,
        id: LocalId,
        record: &Record<'_>,
        recipient: Recipient<'_>,
        rng: &mut R,
    ) -> Result<Sealed, Error> {
        let store = self.store;
        if let Some(sequence) = store.sealed_before(id, record.source)? {
            return Ok(Sealed::Before(sequence));
        }
        let device = store.device(id)?;
        if let Some(reason) = device.frozen {
            return Err(Error::Frozen {
                key: device.key,
                reason,
            });
        }
        let Position { sealer } = store.position(id)?;
        let sequence = sealer.sequence() + 1;
        let envelope = seal::envelope(record, recipient, &device.key, sequence, rng)?;
        let (entry, after) = sealer.draft(&hashchain::data_digest::<Native>(&envelope));
        store.write(id, record.source, &entry, &envelope, after)?;
        Ok(Sealed::New(entry))
    }
}

impl Store {
    /// The one place where an entry and the state after it are written.
    fn write(
        &self,
        id: LocalId,
        source: &str,
        entry: &Entry,
        envelope: &[u8],
        after: Sealer,
    ) -> Result<(), Error> {
        let after = Position { sealer: after };
        let write = || -> rusqlite::Result<()> {
            self.connection
                .prepare_cached(
                    "INSERT INTO entry (device, sequence, source, digest, tag, hash, sealed, envelope) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute((
                    id.0,
                    entry.sequence,
                    source,
                    entry.digest.0,
                    entry.tag.0,
                    entry.hash.0,
                    self.clock.now().unix_timestamp(),
                    envelope,
                ))?;
            let (length, head) = (after.sealer.sequence(), after.sealer.head().0);
            self.connection
                .prepare_cached(
                    "UPDATE device SET length = ?2, head = ?3, ratchet = ?4, checksum = ?5 WHERE id = ?1",
                )?
                .execute((id.0, length, head, after.sealer.key().expose(), after.checksum()))?;
            Ok(())
        };
        write().map_err(|e| self.failed(e))
    }

    fn sealed_before(&self, id: LocalId, source: &str) -> Result<Option<u64>, Error> {
        self.connection
            .prepare_cached("SELECT sequence FROM entry WHERE device = ?1 AND source = ?2")
            .and_then(|mut find| find.query_row((id.0, source), |row| row.get(0)).optional())
            .map_err(|e| self.failed(e))
    }

    /// The device's entries from sequence `first` to `last`, in order; those that exist.
    pub fn entries(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<Entry>, Error> {
        let mut previous = match self.hash_at(id, first.saturating_sub(1))? {
            Some(hash) => hash,
            None => return Ok(Vec::new()),
        };
        self.connection
            .prepare_cached(
                "SELECT sequence, digest, tag, hash FROM entry \
                 WHERE device = ?1 AND sequence BETWEEN ?2 AND ?3 ORDER BY sequence",
            )
            .and_then(|mut entries| {
                let entries = entries.query_map((id.0, first, last), |row| {
                    let entry = entry_from(row, previous)?;
                    previous = entry.hash;
                    Ok(entry)
                })?;
                entries.collect()
            })
            .map_err(|e| self.failed(e))
    }

    /// The hash of the device's entry `sequence`, `h_0` for 0; `None` past its head.
    pub fn hash_at(&self, id: LocalId, sequence: u64) -> Result<Option<LinkHash>, Error> {
        let find = match sequence {
            0 => "SELECT genesis FROM device WHERE id = ?1 AND ?2 = 0",
            _ => "SELECT hash FROM entry WHERE device = ?1 AND sequence = ?2",
        };
        self.connection
            .prepare_cached(find)
            .and_then(|mut find| {
                find.query_row((id.0, sequence), |row| row.get(0))
                    .optional()
            })
            .map(|hash| hash.map(LinkHash))
            .map_err(|e| self.failed(e))
    }

    /// The envelope of an entry: what a relay stores and an auditor compares with the digest.
    pub fn envelope(&self, id: LocalId, sequence: u64) -> Result<Option<Vec<u8>>, Error> {
        self.connection
            .prepare_cached("SELECT envelope FROM entry WHERE device = ?1 AND sequence = ?2")
            .and_then(|mut find| {
                find.query_row((id.0, sequence), |row| row.get(0))
                    .optional()
            })
            .map_err(|e| self.failed(e))
    }

    /// Where runs end that were formed and not confirmed, and the number of entries that are in one or confirmed.
    pub(crate) fn covered(&self, id: LocalId) -> Result<u64, Error> {
        self.connection
            .prepare_cached(
                "SELECT MAX(confirmed, COALESCE((SELECT MAX(last) FROM run WHERE device = ?1), 0)) \
                 FROM device WHERE id = ?1",
            )
            .and_then(|mut find| find.query_row([id.0], |row| row.get(0)))
            .map_err(|e| self.failed(e))
    }

    /// Makes a run's limits and signature durable.
    pub(crate) fn add_run(
        &self,
        id: LocalId,
        first: u64,
        last: u64,
        signature: &Signature,
    ) -> Result<(), Error> {
        let insert = "INSERT INTO run (device, first, last, signature) VALUES (?1, ?2, ?3, ?4)";
        self.connection
            .prepare_cached(insert)
            .and_then(|mut insert| insert.execute((id.0, first, last, signature.0)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The device's runs that were formed and are not confirmed, in order.
    pub fn runs(&self, id: LocalId) -> Result<Vec<QueuedRun>, Error> {
        let rows: Vec<(u64, u64, [u8; 64], Option<String>)> = self
            .connection
            .prepare_cached(
                "SELECT first, last, signature, refusal FROM run WHERE device = ?1 ORDER BY first",
            )
            .and_then(|mut runs| {
                let read = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                };
                runs.query_map([id.0], read)?.collect()
            })
            .map_err(|e| self.failed(e))?;
        rows.into_iter()
            .map(|(first, last, signature, refusal)| {
                let entries = self.entries(id, first, last)?;
                if entries.last().map(|entry| entry.sequence) != Some(last) {
                    return Err(self.corrupt("a run names entries that are not there"));
                }
                Ok(QueuedRun {
                    entries,
                    signature: Signature(signature),
                    refusal,
                })
            })
            .collect()
    }

    /// The chain has finalised the device's entries up to `sequence`, which never goes back.
    pub fn confirm(&self, id: LocalId, sequence: u64) -> Result<(), Error> {
        let confirm = || -> rusqlite::Result<()> {
            let transaction = self.connection.unchecked_transaction()?;
            transaction
                .prepare_cached("UPDATE device SET confirmed = MAX(confirmed, ?2) WHERE id = ?1")?
                .execute((id.0, sequence))?;
            transaction
                .prepare_cached("DELETE FROM run WHERE device = ?1 AND last <= ?2")?
                .execute((id.0, sequence))?;
            transaction.commit()
        };
        confirm().map_err(|e| self.failed(e))
    }

    /// The chain refused the run that starts at `first`, or (`None`) it is to be tried afresh.
    pub fn set_refusal(&self, id: LocalId, first: u64, refusal: Option<&str>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE run SET refusal = ?3 WHERE device = ?1 AND first = ?2")
            .and_then(|mut update| update.execute((id.0, first, refusal)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }
}
