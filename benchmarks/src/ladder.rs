// SPDX-License-Identifier: Apache-2.0

//! The raw ladder: the same check on plain arrays, then one thing after the other that a chain adds to it.
//!
//! Each step does everything that the one before it does.

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
/// Devices whose heads share a key.
const PAGE: usize = 32;

/// How far up the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Link computed, head compared and moved in an array.
    Array,
    /// And every entry appended to a file.
    Log,
    /// And every changed head committed to ParityDB, batch by batch.
    Database,
    /// And every changed page of heads put into a state trie in memory, whose root is computed block by block.
    PagedTrie,
    /// The same with a key for each device.
    Trie,
}

impl Step {
    /// All, from the bottom.
    pub(crate) const ALL: [Step; 5] = [
        Step::Array,
        Step::Log,
        Step::Database,
        Step::PagedTrie,
        Step::Trie,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Array => "Raw: link and array",
            Step::Log => "Raw: and log",
            Step::Database => "Raw: and ParityDB",
            Step::PagedTrie => "Raw: and trie, heads paged",
            Step::Trie => "Raw: and trie, a key a device",
        }
    }
}

struct Ladder {
    first: u32,
    heads: Vec<(u64, [u8; 32])>,
    log: Option<BufWriter<File>>,
    database: Option<parity_db::Db>,
    trie: Option<TestExternalities<BlakeTwo256>>,
    changed: BTreeSet<u32>,
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
    let log = (step >= Step::Log).then(|| File::create(folder.path().join("log")));
    let options = parity_db::Options::with_columns(&folder.path().join("parity"), 1);
    let database = (step >= Step::Database).then(|| parity_db::Db::open_or_create(&options));
    let mut ladder = Ladder {
        first: heads.first().map_or(0, |head| head.0),
        heads: heads.iter().map(|head| (head.1, head.2)).collect(),
        log: log.transpose()?.map(BufWriter::new),
        database: database.transpose()?,
        trie: (step >= Step::PagedTrie).then(TestExternalities::default),
        changed: BTreeSet::new(),
    };
    // Every head stands in the trie already, as on a chain on which the devices are enrolled.
    if ladder.trie.is_some() {
        ladder.changed = (0..ladder.heads.len() as u32).collect();
        ladder.block(step)?;
    }

    let processor_before = usage::processor(std::process::id())?;
    let mut entries = 0;
    let began = Instant::now();
    for (number, runs) in file.runs()?.enumerate() {
        entries += ladder.batch(&runs?)?;
        if ladder.trie.is_some() && (number + 1).is_multiple_of(BLOCK) {
            ladder.block(step)?;
        }
    }
    ladder.block(step)?;
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
        system: step.name().to_owned(),
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
            if run.sequence != head.0 + 1 || run.previous.0 != head.1 {
                continue;
            }
            for entry in &run.entries {
                head.0 += 1;
                let digest = DataDigest(entry.digest.0);
                head.1 = link::<Native>(head.0, &LinkHash(head.1), &digest, &Tag(entry.tag.0)).0;
                if let Some(log) = &mut self.log {
                    log.write_all(&run.device.to_le_bytes())?;
                    log.write_all(&head.0.to_le_bytes())?;
                    log.write_all(&digest.0)?;
                    log.write_all(&head.1)?;
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
    fn block(&mut self, step: Step) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        let Some(trie) = &mut self.trie else {
            return Ok(());
        };
        trie.execute_with(|| match step {
            Step::Trie => {
                for place in changed {
                    let value = encoded(&self.heads[place as usize]);
                    sp_io::storage::set(&key(place), &value);
                }
            }
            _ => {
                let pages: BTreeSet<u32> =
                    changed.iter().map(|place| place / PAGE as u32).collect();
                for page in pages {
                    let first = page as usize * PAGE;
                    let last = self.heads.len().min(first + PAGE);
                    let value: Vec<u8> = self.heads[first..last].iter().flat_map(encoded).collect();
                    sp_io::storage::set(&key(page), &value);
                }
            }
        });
        trie.commit_all()
            .map_err(|error| anyhow::anyhow!("the trie: {error}"))
    }
}

fn encoded(head: &(u64, [u8; 32])) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&head.0.to_le_bytes());
    bytes[8..].copy_from_slice(&head.1);
    bytes
}

fn key(number: u32) -> [u8; 36] {
    // As under a pallet's prefix of 32 bytes.
    let mut key = [7; 36];
    key[32..].copy_from_slice(&number.to_be_bytes());
    key
}
