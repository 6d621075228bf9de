// SPDX-License-Identifier: Apache-2.0

//! What the file's devices believe of the chain and of relays.

use std::{collections::BTreeMap, sync::Arc};

use hashchain::DeviceId;
use mhealth_device::{
    book::{Book, FreezeReason},
    chain::{FinalHead, HeadChecker},
    Error,
};
use mhealth_evidence::{Anchor, Checkpoint};
use rusqlite::{params, Connection};

use super::{LocalId, Store};

/// The blocks that are trusted.
pub(super) fn checkpoints(connection: &Connection) -> rusqlite::Result<Arc<[Checkpoint]>> {
    let mut select = connection.prepare("SELECT hash, number FROM checkpoint ORDER BY number")?;
    let rows = select.query_map([], |row| {
        Ok(Checkpoint {
            hash: row.get(0)?,
            number: row.get(1)?,
        })
    })?;
    rows.collect()
}

impl Store {
    /// Checks proofs for the devices of this file, from what was proved before. With `trusts_words`, for chains that have no
    /// proofs, words do.
    pub fn checker(&self, trusts_words: bool) -> HeadChecker {
        HeadChecker::of(self.known.clone(), trusts_words, self.checkpoints.clone())
    }

    /// Trusts a block from now on: proofs may lead over a change of the chain's authorities by force that it makes. It comes
    /// from the consortium, through the app or a letter, and never from a relay.
    pub fn trust(&mut self, checkpoint: Checkpoint) -> Result<(), Error> {
        let insert = "INSERT INTO checkpoint (number, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let insert = self
            .connection
            .execute(insert, (checkpoint.number, checkpoint.hash));
        insert.map_err(|e| self.failed(e))?;
        self.checkpoints = checkpoints(&self.connection).map_err(|e| self.failed(e))?;
        Ok(())
    }

    pub(super) fn write_anchor(&self, anchor: &Anchor) -> Result<(), Error> {
        let replace = "INSERT INTO anchor (only_one, known) VALUES (1, ?1) ON CONFLICT (only_one) DO UPDATE SET known = ?1";
        self.connection
            .prepare_cached(replace)
            .and_then(|mut replace| replace.execute([codec::Encode::encode(anchor)]))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// A server says that the chain gave a device this number; or (`None`) it did not tell the truth.
    pub fn set_said(&self, id: LocalId, number: Option<DeviceId>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE device SET said = ?2 WHERE id = ?1")
            .and_then(|mut update| update.execute((id.0, number.map(|number| number.0))))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// Remembers a device's number on the chain, under which its own enrolment was found, and erases the code that the device
    /// redeemed for it.
    pub fn set_number(&self, id: LocalId, known: &FinalHead) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "UPDATE device SET chain_id = ?2, said = NULL, code = NULL WHERE id = ?1",
            )
            .and_then(|mut update| update.execute((id.0, known.device().0)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The chain has finalised the device's entries up to `sequence`, which never goes back. Runs that are finalised
    /// leave the queue; when each is to be held by several relays, not before so many acknowledged it.
    pub fn confirm(
        &self,
        id: LocalId,
        sequence: u64,
        copies: u32,
        known: &FinalHead,
    ) -> Result<(), Error> {
        Book::confirm(self, id, sequence, copies, known)
    }

    /// Takes out of the queue what is finalised and held by as many relays as are wanted.
    pub(super) fn forget_copied(&self, id: LocalId, copies: u32) -> Result<(), Error> {
        let forget = || -> rusqlite::Result<()> {
            self.connection
                .prepare_cached(
                    "DELETE FROM run WHERE device = ?1 AND last <= (SELECT confirmed FROM device WHERE id = ?1) AND \
                     (?2 <= 1 OR ?2 <= (SELECT COUNT(*) FROM copy WHERE copy.device = run.device AND copy.first = \
                     run.first))",
                )?
                .execute((id.0, copies))?;
            self.connection
                .prepare_cached(
                    "DELETE FROM copy WHERE device = ?1 AND NOT EXISTS (SELECT 1 FROM run WHERE \
                     run.device = copy.device AND run.first = copy.first)",
                )?
                .execute([id.0])?;
            Ok(())
        };
        forget().map_err(|e| self.failed(e))
    }

    /// Stops a device for good, because of what the chain has of it.
    pub fn freeze(
        &self,
        id: LocalId,
        reason: FreezeReason,
        known: &FinalHead,
    ) -> Result<(), Error> {
        Book::freeze(self, id, reason, known)
    }

    /// The relays that did not do what they said, and until when others are turned to first, in seconds since 1970.
    pub fn doubts(&self) -> Result<BTreeMap<String, i64>, Error> {
        self.connection
            .prepare_cached("SELECT relay, until FROM doubt")
            .and_then(|mut doubts| {
                doubts
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(|e| self.failed(e))
    }

    /// Remembers these doubts instead of those before.
    pub fn set_doubts(&self, doubts: &BTreeMap<String, i64>) -> Result<(), Error> {
        let write = || -> rusqlite::Result<()> {
            self.connection.execute("DELETE FROM doubt", [])?;
            let mut insert = self
                .connection
                .prepare_cached("INSERT INTO doubt (relay, until) VALUES (?1, ?2)")?;
            for (relay, until) in doubts {
                insert.execute(params![relay, until])?;
            }
            Ok(())
        };
        self.together(|| write().map_err(|e| self.failed(e)))
    }
}
