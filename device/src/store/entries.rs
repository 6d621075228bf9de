// SPDX-License-Identifier: Apache-2.0

//! Sealing, and the queue of what the chain has not finalised.

use hashchain::{Entry, LinkHash, Native, Sealer, PART_MEDIA_TYPE};
use rand::{CryptoRng, RngCore};
use rusqlite::{OptionalExtension, Row};

use super::{records::entry_from, DeviceRecord, Group, LocalId, Position, Store};
use crate::{
    error::Error,
    payload::correcting,
    seal::{self, Recipient, Record},
};

/// What sealing a record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A new entry; of a record in parts, the last of them.
    New(Entry),
    /// Its source was sealed before with the same content, as the entry of this sequence (of a record in parts, the last
    /// of them); nothing was written.
    Before(u64),
    /// Its source was sealed before with other content, as the entry of this sequence; nothing was written.
    Differs(u64),
}

/// What is done with a record whose source was sealed before with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not sealed: [`Sealed::Differs`].
    Refuse,
    /// It is sealed as a new entry, whose media type names the entry that it
    /// [corrects](crate::payload::correcting).
    Correct,
}

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
        let store = self.store;
        let media_type = match store.sealed_before(id, record.source, content)? {
            Some(Sealed::Differs(before)) if change == Change::Correct => {
                Some(correcting(record.media_type, before))
            }
            Some(sealed) => return Ok(sealed),
            None => None,
        };
        let device = store.device(id)?;
        if let Some(reason) = device.frozen {
            return Err(Error::Frozen {
                key: device.key,
                reason,
            });
        }
        let named = match recipient {
            Recipient::Anybody => None,
            Recipient::Participant(key) => Some(key.0),
        };
        match (device.recipient, named) {
            (known, named) if known == named => {}
            // Named with the first entry, of a device that is not enrolled yet.
            (None, Some(_)) => store.set_recipient(id, named)?,
            _ => return Err(Error::AnotherParticipantKey),
        }
        let record = Record {
            media_type: media_type.as_deref().unwrap_or(record.media_type),
            ..*record
        };
        let Some(split) = seal::in_parts(&record)? else {
            let entry = self.append(&device, &record, content, recipient, rng)?;
            return Ok(Sealed::New(entry));
        };
        let mut last = None;
        for part in split.parts() {
            let record = Record {
                source: record.source,
                media_type: PART_MEDIA_TYPE,
                payload: &part.payload(),
            };
            last = Some(self.append(&device, &record, content, recipient, rng)?);
        }
        Ok(Sealed::New(
            last.expect("a record is cut into two parts at least; qed"),
        ))
    }

    /// The next entry of the device.
    fn append<R: CryptoRng + RngCore>(
        &self,
        device: &DeviceRecord,
        record: &Record<'_>,
        content: &[u8],
        recipient: Recipient<'_>,
        rng: &mut R,
    ) -> Result<Entry, Error> {
        let store = self.store;
        let Position { sealer } = store.position(device.id)?;
        let sequence = sealer.sequence() + 1;
        let envelope = seal::envelope(record, recipient, &device.key, sequence, rng)?;
        let (entry, after) = sealer.draft(&hashchain::data_digest::<Native>(&envelope));
        store.write(device.id, record.source, content, &entry, &envelope, after)?;
        Ok(entry)
    }
}

impl Store {
    /// The one place where an entry and the state after it are written.
    fn write(
        &self,
        id: LocalId,
        source: &str,
        content: &[u8],
        entry: &Entry,
        envelope: &[u8],
        after: Sealer,
    ) -> Result<(), Error> {
        let after = Position { sealer: after };
        let write = || -> rusqlite::Result<()> {
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
                    self.content_digest(id, source, content),
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

    /// Whether a source was sealed before, and with this content; `None` if it never was. Of several entries of a source
    /// the last one counts.
    pub fn sealed_before(
        &self,
        id: LocalId,
        source: &str,
        content: &[u8],
    ) -> Result<Option<Sealed>, Error> {
        let before = self
            .connection
            .prepare_cached(
                "SELECT sequence, content FROM entry WHERE device = ?1 AND source = ?2 \
                 ORDER BY sequence DESC LIMIT 1",
            )
            .and_then(|mut find| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, [u8; 16]>(1)?));
                find.query_row((id.0, source), row).optional()
            })
            .map_err(|e| self.failed(e))?;
        Ok(before.map(|(sequence, digest)| {
            match digest == self.content_digest(id, source, content) {
                true => Sealed::Before(sequence),
                false => Sealed::Differs(sequence),
            }
        }))
    }

    /// Tells whether two contents of a source are the same, and nothing to whoever does not have this file.
    fn content_digest(&self, id: LocalId, source: &str, content: &[u8]) -> [u8; 16] {
        use hashchain::Sha256;
        let (device, length) = (id.0.to_be_bytes(), (source.len() as u64).to_be_bytes());
        let parts: [&[u8]; 6] = [
            b"mhealth-device/content",
            &self.salt,
            &device,
            &length,
            source.as_bytes(),
            content,
        ];
        let digest = hashchain::Native::sha256_of_parts(&parts);
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        short
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

    /// An entry without its data.
    pub(crate) fn lacks_envelope(&self) -> Error {
        self.corrupt("an entry has no envelope")
    }
}
