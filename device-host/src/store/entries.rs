// SPDX-License-Identifier: Apache-2.0

//! Entries, and sealing them.

use hashchain::{Entry, LinkHash, Sealer};
use mhealth_device::{
    book::{position_checksum, SealedEntry},
    seal::{self, Change, Recipient, Record, Sealed},
    Error,
};
use rand::{CryptoRng, RngCore};
use rusqlite::OptionalExtension;

use super::{records::entry_from, DeviceRecord, Group, LocalId, Store};

impl Group<'_> {
    /// Seals a record as the device's next entry; one that is longer than an entry may be, as several, which are its
    /// [parts](hashchain::parts). Durable with [`commit`](Self::commit), all of it or nothing, and not before. The same source
    /// is sealed once.
    pub fn seal<R: CryptoRng + RngCore>(
        &self,
        id: LocalId,
        record: &Record<'_>,
        recipient: Recipient<'_>,
        rng: &mut R,
    ) -> Result<Sealed, Error> {
        let content = record.content();
        self.seal_content(id, record, &content, Change::Refuse, recipient, rng)
    }

    /// The same for a record whose source said `content`: two payloads that were made of it may differ in identifiers and
    /// times, and say the same.
    pub fn seal_content<R: CryptoRng + RngCore>(
        &self,
        id: LocalId,
        record: &Record<'_>,
        content: &[u8],
        change: Change,
        recipient: Recipient<'_>,
        rng: &mut R,
    ) -> Result<Sealed, Error> {
        seal::seal(self.store, id, record, content, change, recipient, rng)
    }
}

impl Store {
    /// The one place where an entry and the state after it are written.
    pub(super) fn write(
        &self,
        id: LocalId,
        sealed: &SealedEntry<'_>,
        after: &Sealer,
    ) -> rusqlite::Result<()> {
        let SealedEntry {
            source,
            content,
            entry,
            envelope,
        } = sealed;
        self.connection
            .prepare_cached(
                "INSERT INTO entry (device, sequence, source, digest, tag, hash, content, sealed, envelope) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                id.0,
                entry.sequence,
                source,
                entry.digest.0,
                entry.tag.0,
                entry.hash.0,
                content,
                self.clock.now().unix_timestamp(),
                envelope,
            ))?;
        let (length, head) = (after.sequence(), after.head().0);
        self.connection
            .prepare_cached(
                "UPDATE device SET length = ?2, head = ?3, ratchet = ?4, checksum = ?5 WHERE id = ?1",
            )?
            .execute((id.0, length, head, after.key().expose(), position_checksum(after)))?;
        Ok(())
    }

    /// The last entry of a source, and the digest of its content.
    pub(super) fn newest_of(
        &self,
        id: LocalId,
        source: &str,
    ) -> rusqlite::Result<Option<(u64, [u8; 16])>> {
        self.connection
            .prepare_cached(
                "SELECT sequence, content FROM entry WHERE device = ?1 AND source = ?2 \
                 ORDER BY sequence DESC LIMIT 1",
            )?
            .query_row((id.0, source), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Whether a source was sealed before, and with this content; `None` if it never was. Of several entries of a source
    /// the last one counts.
    pub fn sealed_before(
        &self,
        id: LocalId,
        source: &str,
        content: &[u8],
    ) -> Result<Option<Sealed>, Error> {
        seal::sealed_before(self, id, source, content)
    }

    /// Hands over all entries of a device with their envelopes, in order, until `take` wants no more.
    pub(super) fn each(
        &self,
        device: &DeviceRecord,
        take: &mut dyn FnMut(&Entry, &[u8]) -> bool,
    ) -> rusqlite::Result<()> {
        let mut entries = self.connection.prepare_cached(
            "SELECT sequence, digest, tag, hash, envelope FROM entry WHERE device = ?1 ORDER BY sequence",
        )?;
        let mut previous = device.genesis;
        let mut rows = entries.query([device.id.0])?;
        while let Some(row) = rows.next()? {
            let entry = entry_from(row, previous)?;
            previous = entry.hash;
            if !take(&entry, row.get_ref(4)?.as_blob()?) {
                break;
            }
        }
        Ok(())
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

    /// When an entry was sealed, in seconds since 1970 by the device's clock.
    pub(crate) fn sealed_at(&self, id: LocalId, sequence: u64) -> Result<u64, Error> {
        self.connection
            .prepare_cached("SELECT MAX(sealed, 0) FROM entry WHERE device = ?1 AND sequence = ?2")
            .and_then(|mut find| find.query_row((id.0, sequence), |row| row.get(0)))
            .map_err(|e| self.failed(e))
    }
}
