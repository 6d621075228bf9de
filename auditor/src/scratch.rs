// SPDX-License-Identifier: Apache-2.0

//! Where an audit keeps what it has read until all of it is there: chain and exports come in their own order, and the judge
//! wants one device at a time. A file, so that a study of millions of entries fits into little memory.

use std::path::Path;
use std::str::FromStr;

use hashchain::{DataDigest, DeviceId, LinkHash, Run, RunEntry, Tag};
use mhealth_api::{Refusal, RunState};
use rusqlite::types::Type;
use rusqlite::{params, Connection, OptionalExtension, Row};

use crate::case::{BroughtRun, Fate, HeldEnvelope, HeldRun, RegisteredEntry};
use crate::verdict::Content;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (number INTEGER PRIMARY KEY, time INTEGER);
CREATE TABLE IF NOT EXISTS header (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stretch (
    device INTEGER NOT NULL, sequence INTEGER NOT NULL, parts BLOB NOT NULL,
    PRIMARY KEY (device, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS brought (
    device INTEGER NOT NULL, block INTEGER NOT NULL, extrinsic INTEGER NOT NULL, position INTEGER NOT NULL,
    submitter BLOB NOT NULL, fate TEXT, sequence INTEGER NOT NULL, previous BLOB NOT NULL, parts BLOB NOT NULL,
    signature BLOB, head BLOB NOT NULL, PRIMARY KEY (device, block, extrinsic, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS brought_run ON brought (device, sequence);
CREATE TABLE IF NOT EXISTS held (
    device INTEGER NOT NULL, store INTEGER NOT NULL, line INTEGER NOT NULL, sequence INTEGER NOT NULL,
    previous BLOB NOT NULL, parts BLOB NOT NULL, signature BLOB, state TEXT NOT NULL, reason TEXT,
    received_at INTEGER NOT NULL, consistent INTEGER NOT NULL, settled INTEGER, head BLOB NOT NULL,
    PRIMARY KEY (device, store, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
    store INTEGER NOT NULL, line INTEGER NOT NULL, block INTEGER NOT NULL,
    PRIMARY KEY (store, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unknown (
    store INTEGER NOT NULL, line INTEGER NOT NULL, run BLOB NOT NULL,
    PRIMARY KEY (store, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS since (
    store INTEGER NOT NULL, line INTEGER NOT NULL, block INTEGER NOT NULL,
    PRIMARY KEY (store, line)) WITHOUT ROWID;
";

/// Bytes of an entry of a relay's run.
const HELD_PART: usize = 97;
/// KiB of the file that stay in memory. Chain and exports come in another order than devices, so pages are written to again and
/// again.
const CACHE: i64 = 64 * 1_024;

/// The audit's scratch file.
pub struct Scratch(Connection);

impl Scratch {
    /// A file that is gone when it is dropped.
    pub fn temporary() -> Result<Self, rusqlite::Error> {
        // An empty name is SQLite's temporary database: on disk once it grows, and deleted when closed.
        Self::over(Connection::open("")?)
    }

    /// A file that stays, so that an audit which was cut short can go on from it.
    pub fn kept(path: &Path) -> Result<Self, rusqlite::Error> {
        Self::over(Connection::open(path)?)
    }

    fn over(connection: Connection) -> Result<Self, rusqlite::Error> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        // Below 0 it is a number of KiB, above one of pages.
        connection.pragma_update(None, "cache_size", -CACHE)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    /// Does several writes as one.
    pub fn together<T, E: From<rusqlite::Error>>(
        &self,
        writes: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.execute_batch("BEGIN")?;
        match writes(self) {
            Ok(done) => {
                self.0.execute_batch("COMMIT")?;
                Ok(done)
            }
            Err(error) => {
                self.0.execute_batch("ROLLBACK")?;
                Err(error)
            }
        }
    }

    /// Begins writes that [`Scratch::end`] makes durable together.
    pub fn begin(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("BEGIN")
    }

    /// Ends what [`Scratch::begin`] began.
    pub fn end(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("COMMIT")
    }

    /// Drops what was read from exports: their receipts change, so an audit reads them anew.
    pub fn forget_held(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch(
            "DELETE FROM held; DELETE FROM answer; DELETE FROM since; DELETE FROM unknown",
        )
    }

    /// Begins the runs of one answer of a relay, which are kept or dropped together. Within [`Scratch::begin`].
    pub fn begin_answer(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("SAVEPOINT answer")
    }

    /// Keeps them.
    pub fn keep_answer(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("RELEASE answer")
    }

    /// Drops them.
    pub fn drop_answer(&self) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("ROLLBACK TO answer; RELEASE answer")
    }

    /// The runs of a store up to a line, and after the answer before, are signed: by somebody who had seen this block.
    pub fn add_answer(&self, store: usize, line: u64, block: u64) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3)")?;
        query.execute(params![store as u64, line, block]).map(drop)
    }

    /// Finds, for a store that an account signed, since when its runs have been in it at the latest: an account that says that it
    /// brought a later run of its store in a block, and did so, had all those before. Only the places where that changes are
    /// kept.
    pub fn find_since(&self, store: usize, account: [u8; 32]) -> Result<(), rusqlite::Error> {
        let mut brought = self.0.prepare(
            "SELECT held.line, MIN(brought.block) FROM held JOIN brought USING (device, sequence, head)
             WHERE held.store = ?1 AND brought.submitter = ?2 AND brought.block = held.settled GROUP BY held.line ORDER BY held.line DESC",
        )?;
        let mut rows = brought.query(params![store as u64, account])?;
        let mut since: Vec<(u64, u64)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (line, block) = (row.get(0)?, row.get(1)?);
            if since.last().is_none_or(|(_, earliest)| block < *earliest) {
                since.push((line, block));
            }
        }
        let mut insert = self
            .0
            .prepare("INSERT OR REPLACE INTO since VALUES (?1, ?2, ?3)")?;
        for (line, block) in since {
            insert.execute(params![store as u64, line, block])?;
        }
        Ok(())
    }

    /// The accounts that brought runs as relays do: not those whom the chain refused for not being one of the study's.
    pub fn submitters(&self) -> Result<Vec<[u8; 32]>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare("SELECT DISTINCT submitter FROM brought WHERE fate IS NOT ?1")?;
        let stranger = Refusal::NotARelayOfThisStudy;
        let rows = query.query_map([stranger.as_str()], |row| row.get(0))?;
        rows.collect()
    }

    /// Something to remember about the audit itself.
    pub fn fact(&self, name: &str) -> Result<Option<String>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("SELECT value FROM fact WHERE name = ?1")?;
        query.query_row([name], |row| row.get(0)).optional()
    }

    /// Remembers it.
    pub fn remember(&self, name: &str, value: &str) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2)")?;
        query.execute([name, value]).map(drop)
    }

    /// A block and the seconds since 1970 that it names.
    pub fn add_block(&self, number: u64, time: Option<u64>) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO block VALUES (?1, ?2)")?;
        query.execute(params![number, time]).map(drop)
    }

    /// The hash of a block that leads to the block of the audit.
    pub fn add_header(&self, number: u64, hash: &[u8; 32]) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO header VALUES (?1, ?2)")?;
        query.execute(params![number, hash]).map(drop)
    }

    /// The hash of a block, if it was read.
    pub fn header(&self, number: u64) -> Result<Option<[u8; 32]>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("SELECT hash FROM header WHERE number = ?1")?;
        query.query_row([number], |row| row.get(0)).optional()
    }

    /// When a block was made, if that is known.
    pub fn block_time(&self, number: u64) -> Result<Option<u64>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("SELECT time FROM block WHERE number = ?1")?;
        let time = query.query_row([number], |row| row.get(0)).optional()?;
        Ok(time.flatten())
    }

    /// Registered entries, in any order. Those of a device that follow each other stand together: a row for each would be most of
    /// what an audit writes.
    pub fn add_registered(
        &self,
        mut entries: Vec<(DeviceId, RegisteredEntry)>,
    ) -> Result<(), rusqlite::Error> {
        entries.sort_by_key(|(device, entry)| (*device, entry.sequence));
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO stretch VALUES (?1, ?2, ?3)")?;
        for stretch in entries.chunk_by(|(device, entry), (next_device, next)| {
            device == next_device && entry.sequence.checked_add(1) == Some(next.sequence)
        }) {
            let (device, first) = &stretch[0];
            let parts = stretch.iter().flat_map(|(_, it)| [it.digest.0, it.link.0]);
            let parts: Vec<u8> = parts.flatten().collect();
            query.execute(params![device.0, first.sequence, parts])?;
        }
        Ok(())
    }

    /// The registered entries of a device, oldest first.
    pub fn registered(&self, device: DeviceId) -> Result<Vec<RegisteredEntry>, rusqlite::Error> {
        let mut query = self.0.prepare_cached(
            "SELECT sequence, parts FROM stretch WHERE device = ?1 ORDER BY sequence",
        )?;
        let mut rows = query.query([device.0])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.extend(stretch(row)?);
        }
        // No chain has two entries of a device with the same sequence.
        entries.sort_by_key(|entry| entry.sequence);
        entries.dedup_by_key(|entry| entry.sequence);
        Ok(entries)
    }

    /// A registered link.
    pub fn link(
        &self,
        device: DeviceId,
        sequence: u64,
    ) -> Result<Option<LinkHash>, rusqlite::Error> {
        let mut query = self.0.prepare_cached(
            "SELECT sequence, parts FROM stretch WHERE device = ?1 AND sequence <= ?2
             ORDER BY sequence DESC LIMIT 1",
        )?;
        let entries = query.query_row(params![device.0, sequence], stretch);
        let entries = entries.optional()?.unwrap_or_default();
        let mut entries = entries.into_iter();
        Ok(entries
            .find(|entry| entry.sequence == sequence)
            .map(|entry| entry.link))
    }

    /// A run that a block brought.
    pub fn add_brought(&self, position: u32, brought: &BroughtRun) -> Result<(), rusqlite::Error> {
        let run = &brought.run;
        let parts: Vec<u8> = run.entries.iter().flat_map(RunEntry::to_bytes).collect();
        let mut query = self.0.prepare_cached(
            "INSERT OR REPLACE INTO brought VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        query
            .execute(params![
                run.device.0,
                brought.block,
                brought.extrinsic,
                position,
                brought.submitter,
                match &brought.fate {
                    Fate::Registered => Some(REGISTERED),
                    Fate::Refused(why) => Some(why.as_str()),
                    Fate::Untold => None,
                },
                run.first_sequence,
                run.previous.0,
                parts,
                run.signature,
                run.last_link().0,
            ])
            .map(drop)
    }

    /// Tells of the account `present` what `former` brought, which was given up for it.
    pub fn rename_submitter(
        &self,
        former: [u8; 32],
        present: [u8; 32],
    ) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("UPDATE brought SET submitter = ?2 WHERE submitter = ?1")?;
        query.execute(params![former, present]).map(drop)
    }

    /// The runs of a device that blocks brought, in the chain's order.
    pub fn brought(&self, device: DeviceId) -> Result<Vec<BroughtRun>, rusqlite::Error> {
        let mut query = self.0.prepare_cached(
            "SELECT block, extrinsic, submitter, fate, sequence, previous, parts, signature FROM brought
             WHERE device = ?1 ORDER BY block, extrinsic, position",
        )?;
        let rows = query.query_map([device.0], |row| {
            let parts: Vec<u8> = row.get(6)?;
            let entries = parts.as_chunks().0.iter();
            Ok(BroughtRun {
                block: row.get(0)?,
                extrinsic: row.get(1)?,
                submitter: row.get(2)?,
                fate: fate(row, 3)?,
                run: Run {
                    device,
                    first_sequence: row.get(4)?,
                    previous: LinkHash(row.get(5)?),
                    entries: entries.map(RunEntry::from_bytes).collect(),
                    signature: row.get(7)?,
                },
            })
        })?;
        rows.collect()
    }

    /// A run in a relay's store.
    pub fn add_held(&self, store: usize, line: u64, held: &HeldRun) -> Result<(), rusqlite::Error> {
        let run = &held.run;
        let mut parts = Vec::with_capacity(run.entries.len() * HELD_PART);
        for (entry, envelope) in run.entries.iter().zip(&held.envelopes) {
            parts.extend(entry.to_bytes());
            parts.extend(envelope.digest.0);
            parts.push(
                CONTENTS
                    .iter()
                    .position(|content| *content == envelope.content)
                    .unwrap_or(0) as u8,
            );
        }
        let mut query = self.0.prepare_cached(
            "INSERT OR REPLACE INTO held VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        query
            .execute(params![
                run.device.0,
                store as u64,
                line,
                run.first_sequence,
                run.previous.0,
                parts,
                run.signature,
                held.state.as_str(),
                held.reason.as_ref().map(Refusal::as_str),
                held.received_at,
                held.consistent,
                held.settled_at,
                run.last_link().0,
            ])
            .map(drop)
    }

    /// A run, as it stands in an export, of a device that is not known yet.
    pub fn add_unknown(&self, store: usize, line: u64, run: &[u8]) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT OR REPLACE INTO unknown VALUES (?1, ?2, ?3)")?;
        query.execute(params![store as u64, line, run]).map(drop)
    }

    /// All of them, by line.
    pub fn unknown(&self, store: usize) -> Result<Vec<(u64, Vec<u8>)>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("SELECT line, run FROM unknown WHERE store = ?1 ORDER BY line")?;
        let rows = query.query_map([store as u64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// The runs of a device in one relay's store, in the order in which the relay stored them.
    pub fn held(&self, device: DeviceId, store: usize) -> Result<Vec<HeldRun>, rusqlite::Error> {
        let mut query = self.0.prepare_cached(
            "SELECT sequence, previous, parts, signature, state, reason, received_at, consistent, settled,
                (SELECT block FROM answer WHERE answer.store = held.store AND answer.line >= held.line
                 ORDER BY answer.line LIMIT 1),
                (SELECT block FROM since WHERE since.store = held.store AND since.line >= held.line
                 ORDER BY since.line LIMIT 1)
             FROM held WHERE device = ?1 AND store = ?2 ORDER BY line",
        )?;
        let rows = query.query_map(params![device.0, store as u64], |row| held_run(device, row))?;
        rows.collect()
    }
}

const CONTENTS: [Content; 6] = [
    Content::Absent,
    Content::Plain,
    Content::Sealed,
    Content::Opened,
    Content::Unreadable,
    Content::Erased,
];

/// What stands in the place of a reason for a run that was not refused. No reason has no letters.
const REGISTERED: &str = "";

/// What became of a run, from a column.
fn fate(row: &Row<'_>, column: usize) -> Result<Fate, rusqlite::Error> {
    let text: Option<String> = row.get(column)?;
    match text.as_deref() {
        None => Ok(Fate::Untold),
        Some(REGISTERED) => Ok(Fate::Registered),
        Some(_) => Ok(word(row, column)?.map_or(Fate::Untold, Fate::Refused)),
    }
}

/// A word from a column, as it was written there.
fn word<T: FromStr>(row: &Row<'_>, column: usize) -> Result<Option<T>, rusqlite::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    let unreadable =
        |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error));
    text.map(|text| text.parse().map_err(unreadable))
        .transpose()
}

/// Registered entries of a device that follow each other, from their first sequence and their hashes.
fn stretch(row: &Row<'_>) -> Result<Vec<RegisteredEntry>, rusqlite::Error> {
    let first: u64 = row.get(0)?;
    let parts: Vec<u8> = row.get(1)?;
    let entries = parts.as_chunks::<32>().0.as_chunks::<2>().0.iter();
    Ok((first..)
        .zip(entries)
        .map(|(sequence, [digest, link])| RegisteredEntry {
            sequence,
            digest: DataDigest(*digest),
            link: LinkHash(*link),
        })
        .collect())
}

fn held_run(device: DeviceId, row: &Row<'_>) -> Result<HeldRun, rusqlite::Error> {
    let parts: Vec<u8> = row.get(2)?;
    let (mut entries, mut envelopes) = (Vec::new(), Vec::new());
    for part in parts.as_chunks::<HELD_PART>().0 {
        let hashes = part.as_chunks().0;
        let content = CONTENTS.get(usize::from(part[HELD_PART - 1]));
        entries.push(RunEntry {
            digest: DataDigest(hashes[0]),
            tag: Tag(hashes[1]),
        });
        envelopes.push(HeldEnvelope {
            digest: DataDigest(hashes[2]),
            content: content.copied().unwrap_or(Content::Unreadable),
        });
    }
    Ok(HeldRun {
        run: Run {
            device,
            first_sequence: row.get(0)?,
            previous: LinkHash(row.get(1)?),
            entries,
            signature: row.get(3)?,
        },
        envelopes,
        state: word(row, 4)?.unwrap_or(RunState::Pending),
        reason: word(row, 5)?,
        received_at: row.get(6)?,
        consistent: row.get(7)?,
        settled_at: row.get(8)?,
        signed_at: row.get(9)?,
        held_since: row.get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> RegisteredEntry {
        RegisteredEntry {
            sequence,
            digest: DataDigest([sequence as u8; 32]),
            link: LinkHash([!sequence as u8; 32]),
        }
    }

    #[test]
    fn registered_entries_are_those_that_were_added_in_whatever_parts_they_came() {
        let scratch = Scratch::temporary().expect("there is room");
        let add = |entries: &[(u32, u64)]| {
            let entries = entries
                .iter()
                .map(|(device, at)| (DeviceId(*device), entry(*at)));
            scratch
                .add_registered(entries.collect())
                .expect("there is room");
        };
        add(&[(2, 3), (1, 1), (2, 1), (1, 2), (1, 4)]);
        add(&[(2, 2), (1, 3)]);
        add(&[(1, 5), (1, 6)]);
        // An audit that goes on reads the last part again, which is longer by then.
        add(&[(1, 5), (1, 6), (1, 7)]);
        let registered = |device| scratch.registered(DeviceId(device)).expect("it is read");
        assert_eq!(registered(1), (1..=7).map(entry).collect::<Vec<_>>());
        assert_eq!(registered(2), (1..=3).map(entry).collect::<Vec<_>>());
        assert_eq!(registered(3), []);
        for sequence in 0..=8 {
            let link = scratch.link(DeviceId(1), sequence).expect("it is read");
            let expected = (1..=7).contains(&sequence).then(|| entry(sequence).link);
            assert_eq!(link, expected, "{sequence}");
        }
        assert_eq!(scratch.link(DeviceId(3), 1).expect("it is read"), None);
    }
}
