// SPDX-License-Identifier: Apache-2.0

//! Where an audit keeps what it has read until all of it is there: chain and exports come in their own order, and the judge
//! wants one device at a time. A file, so that a study of millions of entries fits into little memory.

mod envelopes;
mod registered;
mod runs;

use std::path::Path;

use rusqlite::{params, Connection, OptionalExtension, Row};

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
CREATE TABLE IF NOT EXISTS envelope (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
";

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
}

/// A sequence from a column. All 64 bits are kept, as SQLite's signed numbers: those that are greater than these stand there as
/// negative ones.
fn sequence(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    row.get(column).map(i64::cast_unsigned)
}
