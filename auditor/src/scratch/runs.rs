// SPDX-License-Identifier: Apache-2.0

//! The runs that blocks brought, and those that relays hold.

use std::collections::BTreeSet;
use std::str::FromStr;

use hashchain::{DataDigest, DeviceId, LinkHash, Run, RunEntry, Tag};
use mhealth_api::{Refusal, RunState};
use rusqlite::types::Type;
use rusqlite::{params, Row};

use super::{sequence, Scratch};
use crate::case::{BroughtRun, Fate, HeldEnvelope, HeldRun};
use crate::verdict::Content;

/// Bytes of an entry of a relay's run.
const HELD_PART: usize = 97;

impl Scratch {
    /// A run that a block brought. Whoever wrote it may have named any sequence: those that SQLite's signed numbers do not hold
    /// are kept as negative ones.
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
                run.first_sequence.cast_signed(),
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

    /// The accounts that brought runs as relays of the study, or as devices of it. Others may bring whatever they like, also within other
    /// calls: the chain refuses that, and it makes nobody a relay.
    pub fn submitters(&self) -> Result<Vec<[u8; 32]>, rusqlite::Error> {
        let mut query = self
            .0
            .prepare("SELECT DISTINCT submitter, fate FROM brought")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, fate(row, 1)?)))?;
        let mut submitters = BTreeSet::new();
        for row in rows {
            let (submitter, fate) = row?;
            if fate.shows_a_role() {
                submitters.insert(submitter);
            }
        }
        Ok(submitters.into_iter().collect())
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
                    first_sequence: sequence(row, 4)?,
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
                run.first_sequence.cast_signed(),
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

    /// How many entries of a device blocks and exports have, each as often as it is there. Of runs without entries there are none, and
    /// each counts as one.
    pub fn entries_shown(&self, device: DeviceId) -> Result<u64, rusqlite::Error> {
        let mut query = self.0.prepare_cached(
            "SELECT (SELECT COALESCE(SUM(MAX(LENGTH(parts) / ?2, 1)), 0) FROM brought WHERE device = ?1)
                + (SELECT COALESCE(SUM(MAX(LENGTH(parts) / ?3, 1)), 0) FROM held WHERE device = ?1)",
        )?;
        query.query_row(
            params![device.0, RunEntry::LENGTH as u64, HELD_PART as u64],
            |row| row.get(0),
        )
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
            first_sequence: sequence(row, 0)?,
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

    const DEVICE: DeviceId = DeviceId(3);

    fn entry(byte: u8) -> RunEntry {
        RunEntry {
            digest: DataDigest([byte; 32]),
            tag: Tag([!byte; 32]),
        }
    }

    /// A run that a relay's account brought in a block.
    fn brought(block: u64, first_sequence: u64, fate: Fate) -> BroughtRun {
        BroughtRun {
            block,
            extrinsic: 1,
            submitter: [7; 32],
            fate,
            run: Run {
                device: DEVICE,
                first_sequence,
                previous: LinkHash([1; 32]),
                entries: vec![entry(2), entry(3)],
                signature: Some([9; 64]),
            },
        }
    }

    #[test]
    fn a_run_in_a_block_is_read_back_whatever_sequence_it_names() {
        let scratch = Scratch::temporary().expect("there is room");
        let middle = 1 << 63;
        let sequences = [0, middle - 1, middle, middle + 1, u64::MAX - 1, u64::MAX];
        let runs = (1..).zip(sequences);
        let refused = || Fate::Refused(Refusal::InvalidSequence);
        let runs: Vec<BroughtRun> = runs
            .map(|(block, sequence)| brought(block, sequence, refused()))
            .collect();
        for run in &runs {
            scratch.add_brought(0, run).expect("it is kept");
        }
        assert_eq!(scratch.brought(DEVICE).expect("it is read"), runs);
        let shown = scratch.entries_shown(DEVICE).expect("it is read");
        assert_eq!(shown, 2 * runs.len() as u64);
        // An account that signed that it stored what it brought.
        let account = runs[0].submitter;
        scratch.find_since(0, account).expect("it is read");
    }

    #[test]
    fn only_who_may_bring_runs_of_the_study_is_asked_for_an_export() {
        /// What the chain says before it has asked whether the account is a relay of the study.
        const BEFORE: [Refusal; 4] = [
            Refusal::EmptyRun,
            Refusal::InvalidSequence,
            Refusal::UnknownDevice,
            Refusal::NotARelayOfThisStudy,
        ];
        let strangers = BEFORE.map(Fate::Refused);
        // A motion may hold a call with runs in it, and may fail itself.
        let failed = Fate::Refused(Refusal::Unknown("council.wrong_proposal_length".into()));
        let within = [Fate::Untold, failed];
        let scratch = Scratch::temporary().expect("there is room");
        for (block, fate) in (1..).zip(strangers.into_iter().chain(within)) {
            let run = brought(block, 1, fate);
            scratch.add_brought(0, &run).expect("it is kept");
            assert!(scratch.submitters().expect("it is read").is_empty());
        }
        for (fate, account) in [
            (Fate::Registered, 1),
            (Fate::Refused(Refusal::Gap), 2),
            (Fate::Refused(Refusal::StudyAllowanceUsed), 3),
        ] {
            let run = BroughtRun {
                submitter: [account; 32],
                ..brought(100 + u64::from(account), 1, fate)
            };
            scratch.add_brought(0, &run).expect("it is kept");
        }
        let submitters = scratch.submitters().expect("it is read");
        assert_eq!(submitters, [[1; 32], [2; 32], [3; 32]]);
    }
}
