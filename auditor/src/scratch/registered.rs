// SPDX-License-Identifier: Apache-2.0

//! The entries that are registered, as the chain's state has them.

use hashchain::{DataDigest, DeviceId, LinkHash};
use rusqlite::{params, OptionalExtension, Row};

use super::{sequence, Scratch};
use crate::case::RegisteredEntry;

impl Scratch {
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
            query.execute(params![device.0, first.sequence.cast_signed(), parts])?;
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
        let entries = query.query_row(params![device.0, sequence.cast_signed()], stretch);
        let entries = entries.optional()?.unwrap_or_default();
        let mut entries = entries.into_iter();
        Ok(entries
            .find(|entry| entry.sequence == sequence)
            .map(|entry| entry.link))
    }
}

/// Registered entries of a device that follow each other, from their first sequence and their hashes.
fn stretch(row: &Row<'_>) -> Result<Vec<RegisteredEntry>, rusqlite::Error> {
    let first = sequence(row, 0)?;
    let parts: Vec<u8> = row.get(1)?;
    let entries = parts.as_chunks::<32>().0.as_chunks::<2>().0.iter();
    Ok((first..=u64::MAX)
        .zip(entries)
        .map(|(sequence, [digest, link])| RegisteredEntry {
            sequence,
            digest: DataDigest(*digest),
            link: LinkHash(*link),
        })
        .collect())
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

    #[test]
    fn sequences_are_those_of_the_state_up_to_the_last_number() {
        let scratch = Scratch::temporary().expect("there is room");
        let middle = 1 << 63;
        let sequences = [1, middle - 1, middle, u64::MAX - 1, u64::MAX];
        let entries = sequences.map(|at| (DeviceId(1), entry(at)));
        scratch
            .add_registered(entries.to_vec())
            .expect("there is room");
        let registered = scratch.registered(DeviceId(1)).expect("it is read");
        assert_eq!(registered, sequences.map(entry));
        for at in [1, 2, middle - 1, u64::MAX - 2, u64::MAX] {
            let link = scratch.link(DeviceId(1), at).expect("it is read");
            let expected = sequences.contains(&at).then(|| entry(at).link);
            assert_eq!(link, expected, "{at}");
        }
    }
}
