// SPDX-License-Identifier: Apache-2.0

//! The queue of what the chain has not finalised, and which relays hold what.

use mhealth_device::{chain::Signature, Error};
use rusqlite::{params, Row};

use super::{LocalId, QueuedRun, Store};

/// A run's row.
struct RunRow {
    first: u64,
    last: u64,
    signature: [u8; 64],
    refusal: Option<String>,
}

impl Store {
    /// Where runs end that were formed and not confirmed, and the number of entries that are in one or confirmed.
    pub(super) fn covered(&self, id: LocalId) -> Result<u64, Error> {
        self.connection
            .prepare_cached(
                "SELECT MAX(confirmed, COALESCE((SELECT MAX(last) FROM run WHERE device = ?1), 0)) \
                 FROM device WHERE id = ?1",
            )
            .and_then(|mut find| find.query_row([id.0], |row| row.get(0)))
            .map_err(|e| self.failed(e))
    }

    /// Makes a run's limits and signature durable.
    pub(super) fn add_run(
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

    /// The device's runs that were formed and are not delivered, in order.
    pub fn runs(&self, id: LocalId) -> Result<Vec<QueuedRun>, Error> {
        self.runs_from(id, "device = ?1 ORDER BY first LIMIT ?2", u32::MAX)
    }

    /// At most so many of the device's runs: those that the chain lacks, oldest first, then those of which a relay
    /// lacks its copy. In this order a relay that is down for long keeps nothing new from being registered.
    pub(super) fn runs_to_send(&self, id: LocalId, most: u32) -> Result<Vec<QueuedRun>, Error> {
        let order = "device = ?1 ORDER BY last <= (SELECT confirmed FROM device WHERE id = ?1), first LIMIT ?2";
        self.runs_from(id, order, most)
    }

    fn runs_from(&self, id: LocalId, which: &str, most: u32) -> Result<Vec<QueuedRun>, Error> {
        let read = |row: &Row<'_>| {
            Ok(RunRow {
                first: row.get(0)?,
                last: row.get(1)?,
                signature: row.get(2)?,
                refusal: row.get(3)?,
            })
        };
        let rows: Vec<RunRow> = self
            .connection
            .prepare_cached(&format!(
                "SELECT first, last, signature, refusal FROM run WHERE {which}"
            ))
            .and_then(|mut runs| runs.query_map((id.0, most), read)?.collect())
            .map_err(|e| self.failed(e))?;
        rows.into_iter().map(|row| self.run(id, row)).collect()
    }

    fn run(&self, id: LocalId, row: RunRow) -> Result<QueuedRun, Error> {
        let entries = self.entries(id, row.first, row.last)?;
        if entries.last().map(|entry| entry.sequence) != Some(row.last) {
            return Err(self.damaged("a run names entries that are not there"));
        }
        Ok(QueuedRun {
            entries,
            signature: Signature(row.signature),
            refusal: row.refusal,
            holders: self.holders(id, row.first)?,
        })
    }

    fn holders(&self, id: LocalId, first: u64) -> Result<Vec<String>, Error> {
        self.connection
            .prepare_cached("SELECT relay FROM copy WHERE device = ?1 AND first = ?2")
            .and_then(|mut relays| relays.query_map((id.0, first), |row| row.get(0))?.collect())
            .map_err(|e| self.failed(e))
    }

    /// A relay acknowledged the run that starts at `first`.
    pub(super) fn add_holder(&self, id: LocalId, first: u64, relay: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO copy (device, first, relay) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute((id.0, first, relay)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The chain refused the run that starts at `first`, or (`None`) it is to be tried afresh.
    pub fn set_refusal(&self, id: LocalId, first: u64, refusal: Option<&str>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE run SET refusal = ?3 WHERE device = ?1 AND first = ?2")
            .and_then(|mut update| update.execute((id.0, first, refusal)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The devices that are not stopped and have entries which no run holds yet.
    pub(super) fn devices_with_loose_entries(&self) -> Result<Vec<LocalId>, Error> {
        self.ids(
            "SELECT id FROM device WHERE frozen IS NULL AND length > MAX(confirmed, \
             COALESCE((SELECT MAX(last) FROM run WHERE run.device = device.id), 0)) ORDER BY id",
        )
    }

    /// The devices that are not stopped and have finalised runs of which some relay lacks its copy.
    pub(super) fn devices_short_of_copies(&self) -> Result<Vec<LocalId>, Error> {
        self.ids(
            "SELECT id FROM device WHERE frozen IS NULL AND EXISTS (SELECT 1 FROM run WHERE run.device = \
             device.id AND run.last <= device.confirmed) ORDER BY id",
        )
    }

    /// How many finalised runs wait for a copy at one relay or more.
    pub fn runs_short_of_copies(&self) -> Result<u64, Error> {
        self.connection
            .query_row(
                "SELECT COUNT(*) FROM run JOIN device ON run.device = device.id WHERE frozen IS NULL AND last <= \
                 confirmed",
                [],
                |row| row.get(0),
            )
            .map_err(|e| self.failed(e))
    }

    fn ids(&self, select: &str) -> Result<Vec<LocalId>, Error> {
        self.connection
            .prepare_cached(select)
            .and_then(|mut ids| {
                ids.query_map(params![], |row| row.get(0).map(LocalId))?
                    .collect()
            })
            .map_err(|e| self.failed(e))
    }

    /// How many bytes the envelopes of the device's entries from `first` to `last` have, in order.
    pub(super) fn envelope_lengths(
        &self,
        id: LocalId,
        first: u64,
        last: u64,
    ) -> Result<Vec<u64>, Error> {
        self.connection
            .prepare_cached(
                "SELECT LENGTH(envelope) FROM entry WHERE device = ?1 AND sequence BETWEEN ?2 AND ?3 ORDER BY sequence",
            )
            .and_then(|mut lengths| {
                lengths
                    .query_map((id.0, first, last), |row| row.get(0))?
                    .collect()
            })
            .map_err(|e| self.failed(e))
    }
}
