// SPDX-License-Identifier: Apache-2.0

//! The raw ladder: the same check on plain arrays, then one thing after the other that a chain adds to it, and the layouts
//! that its state could have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Result};
use hashchain::{link, DataDigest, LinkHash, Native, Tag};
use pallet_client_hashchain::Run;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::TestExternalities;

use crate::measured::Measured;
use crate::usage;
use crate::workload::{EntryFile, Heads};

/// Batches that go into one block, as far as the trie is concerned.
const BLOCK: usize = 20;
/// Bytes of an entry in the state: number and sequence, digest, link, and where the device's entry before it stands.
const ENTRY: usize = 4 + 8 + 32 + 32 + 9;

/// How far up the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Link computed, head compared and moved in an array.
    Array,
    /// And every entry appended to a file.
    Log,
    /// And every changed head committed to ParityDB, batch by batch.
    Database,
    /// And what has changed put into a state trie in memory, whose root is computed block by block.
    Trie(Layout),
}

/// Under which keys heads and entries stand in the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layout {
    /// Neighbouring devices whose heads share a value.
    heads: usize,
    /// Entries that share a value, in the order in which they come; none if they do not go into the state.
    entries: Option<usize>,
}

impl Layout {
    const fn step(heads: usize, entries: Option<usize>) -> Step {
        Step::Trie(Layout { heads, entries })
    }
}

impl Step {
    /// All, from the bottom.
    pub(crate) const ALL: [Step; 10] = [
        Step::Array,
        Step::Log,
        Step::Database,
        Layout::step(1, None),
        Layout::step(8, None),
        Layout::step(32, None),
        Layout::step(128, None),
        Layout::step(1, Some(1)),
        Layout::step(32, Some(1)),
        Layout::step(32, Some(64)),
    ];

    fn name(self) -> String {
        match self {
            Step::Array => "Without a chain: link, array".into(),
            Step::Log => "Without a chain: link, array, log".into(),
            Step::Database => "Without a chain: link, array, log, ParityDB".into(),
            Step::Trie(Layout { heads, entries }) => match entries {
                None => format!("State trie alone, heads per key: {heads}"),
                Some(entries) => {
                    format!("State trie alone, heads per key: {heads}, entries per key: {entries}")
                }
            },
        }
    }

    fn has_log(self) -> bool {
        self != Step::Array
    }

    fn has_database(self) -> bool {
        matches!(self, Step::Database | Step::Trie(_))
    }

    fn layout(self) -> Option<Layout> {
        match self {
            Step::Trie(layout) => Some(layout),
            _ => None,
        }
    }
}

struct Ladder {
    first: u32,
    heads: Vec<(u64, LinkHash)>,
    log: Option<BufWriter<File>>,
    database: Option<parity_db::Db>,
    trie: Option<(Layout, TestExternalities<BlakeTwo256>)>,
    changed: BTreeSet<u32>,
    /// Entries that go into the trie with the next block.
    entries: Vec<[u8; ENTRY]>,
    /// How many have gone there before.
    written: usize,
}

/// Registers a file, with everything up to a step.
pub(crate) fn measure(
    file: &EntryFile,
    heads: &Heads,
    step: Step,
    folder: &Path,
) -> Result<Measured> {
    let folder = tempfile::Builder::new()
        .prefix("ladder-")
        .tempdir_in(folder)?;
    let log = step
        .has_log()
        .then(|| File::create(folder.path().join("log")));
    let options = parity_db::Options::with_columns(&folder.path().join("parity"), 1);
    let database = step
        .has_database()
        .then(|| parity_db::Db::open_or_create(&options));
    let mut ladder = Ladder {
        first: heads.first().map_or(0, |head| head.0),
        heads: heads.iter().map(|head| (head.1, head.2)).collect(),
        log: log.transpose()?.map(BufWriter::new),
        database: database.transpose()?,
        trie: step
            .layout()
            .map(|layout| (layout, TestExternalities::default())),
        changed: BTreeSet::new(),
        entries: Vec::new(),
        written: 0,
    };
    // Every head stands in the trie already, as on a chain on which the devices are enrolled.
    if ladder.trie.is_some() {
        ladder.changed = (0..ladder.heads.len() as u32).collect();
        ladder.block()?;
    }

    let processor_before = usage::processor(std::process::id())?;
    let mut entries = 0;
    let began = Instant::now();
    for (number, runs) in file.runs()?.enumerate() {
        entries += ladder.batch(&runs?)?;
        if ladder.trie.is_some() && (number + 1).is_multiple_of(BLOCK) {
            ladder.block()?;
        }
    }
    ladder.block()?;
    if let Some(log) = &mut ladder.log {
        log.flush()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = usage::processor(std::process::id())? - processor_before;
    ensure!(
        entries == file.right(),
        "{entries} of {} entries were registered",
        file.right()
    );
    Ok(Measured {
        system: step.name(),
        entries,
        refused: file.wrong,
        seconds,
        processor_seconds,
        ..Measured::default()
    })
}

impl Ladder {
    fn batch(&mut self, runs: &[Run]) -> Result<usize> {
        let mut entries = 0;
        let mut moved = BTreeMap::new();
        for run in runs {
            let place = run.device - self.first;
            let head = &mut self.heads[place as usize];
            if run.sequence != head.0 + 1 || run.previous.0 != head.1 .0 {
                continue;
            }
            for entry in &run.entries {
                head.0 += 1;
                let digest = DataDigest(entry.digest.0);
                // Not `hashchain::entries`: the first step measures the bare link, and nothing around it.
                head.1 = link::<Native>(head.0, &head.1, &digest, &Tag(entry.tag.0));
                if let Some((
                    Layout {
                        entries: Some(_), ..
                    },
                    _,
                )) = &self.trie
                {
                    let mut entry = [0; ENTRY];
                    entry[..4].copy_from_slice(&run.device.to_le_bytes());
                    entry[4..12].copy_from_slice(&head.0.to_le_bytes());
                    entry[12..44].copy_from_slice(&digest.0);
                    entry[44..76].copy_from_slice(&head.1 .0);
                    self.entries.push(entry);
                }
                if let Some(log) = &mut self.log {
                    log.write_all(&run.device.to_le_bytes())?;
                    log.write_all(&head.0.to_le_bytes())?;
                    log.write_all(&digest.0)?;
                    log.write_all(&head.1 .0)?;
                }
            }
            entries += run.entries.len();
            if self.database.is_some() {
                moved.insert(place, *head);
            }
        }
        if let Some(database) = &self.database {
            let changes = moved.iter().map(|(place, head)| {
                (
                    0,
                    place.to_be_bytes().to_vec(),
                    Some(encoded(head).to_vec()),
                )
            });
            database.commit(changes)?;
        }
        if self.trie.is_some() {
            self.changed.extend(moved.keys());
        }
        Ok(entries)
    }

    /// Puts what has changed since the last block into the trie.
    fn block(&mut self) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        let entries = std::mem::take(&mut self.entries);
        let Some((layout, trie)) = &mut self.trie else {
            return Ok(());
        };
        let per_page = layout.heads as u32;
        let per_key = layout.entries.unwrap_or(1);
        trie.execute_with(|| {
            let pages: BTreeSet<u32> = changed.iter().map(|place| place / per_page).collect();
            for page in pages {
                let first = page as usize * layout.heads;
                let last = self.heads.len().min(first + layout.heads);
                let value: Vec<u8> = self.heads[first..last].iter().flat_map(encoded).collect();
                sp_io::storage::set(&key(HEADS, page), &value);
            }
            for (number, page) in (self.written.div_ceil(per_key)..).zip(entries.chunks(per_key)) {
                sp_io::storage::set(&key(ENTRIES, number as u32), &page.concat());
            }
        });
        self.written += entries.len();
        trie.commit_all()
            .map_err(|error| anyhow::anyhow!("the trie: {error}"))
    }
}

/// What keys of heads and of entries begin with.
const HEADS: u8 = 7;
const ENTRIES: u8 = 8;

fn encoded(head: &(u64, LinkHash)) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&head.0.to_le_bytes());
    bytes[8..].copy_from_slice(&head.1 .0);
    bytes
}

fn key(of: u8, number: u32) -> [u8; 36] {
    // As under a pallet's prefix of 32 bytes.
    let mut key = [of; 36];
    key[32..].copy_from_slice(&number.to_be_bytes());
    key
}
