// SPDX-License-Identifier: Apache-2.0

//! Envelopes that go into evidence.

use rusqlite::params;

use super::Scratch;

impl Scratch {
    /// An envelope by a number of its own. In the order of their numbers they are written one after the other.
    pub fn add_envelope(&self, number: u32, bytes: &[u8]) -> Result<(), rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("INSERT INTO envelope VALUES (?1, ?2)")?;
        query.execute(params![number, bytes]).map(drop)
    }

    /// The envelope of this number.
    pub fn envelope(&self, number: u32) -> Result<Vec<u8>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare_cached("SELECT bytes FROM envelope WHERE number = ?1")?;
        query.query_row([number], |row| row.get(0))
    }
}
