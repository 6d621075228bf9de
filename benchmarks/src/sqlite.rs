// SPDX-License-Identifier: Apache-2.0

//! SQLite doing the same check, within this process: no server, no network.

use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Result};
use hashchain::{entries, DataDigest, LinkHash, Native, RunEntry, Tag};
use rusqlite::{params, Connection, Transaction};

use crate::measured::{Latency, Measured};
use crate::usage;
use crate::workload::{EntryFile, Heads};
use pallet_client_hashchain::Run;

const SCHEMA: &str = "
    CREATE TABLE head (device INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE entry (
        device INTEGER NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (device, sequence)
    ) WITHOUT ROWID;
";

/// Registers a file, one transaction a batch, in a new database in this folder.
pub(crate) fn measure(
    file: &EntryFile,
    heads: &Heads,
    synchronous: &str,
    folder: &Path,
) -> Result<Measured> {
    let folder = tempfile::Builder::new()
        .prefix("sqlite-")
        .tempdir_in(folder)?;
    let mut database = Connection::open(folder.path().join("entries.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", synchronous)?;
    database.pragma_update(None, "cache_size", -1_000_000)?;
    database.execute_batch(SCHEMA)?;
    let transaction = database.transaction()?;
    for (device, sequence, hash) in heads {
        transaction.execute(
            "INSERT INTO head VALUES (?1, ?2, ?3)",
            params![device, *sequence as i64, &hash.0[..]],
        )?;
    }
    transaction.commit()?;
    let before = usage::disk(folder.path())?;

    let processor_before = usage::processor(std::process::id())?;
    let (mut entries, mut waits) = (0, Vec::with_capacity(file.batches));
    let began = Instant::now();
    for runs in file.runs()? {
        let runs = runs?;
        let sent = Instant::now();
        let transaction = database.transaction()?;
        for run in &runs {
            entries += register(&transaction, run)?;
        }
        transaction.commit()?;
        waits.push(sent.elapsed().as_secs_f64());
    }
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = usage::processor(std::process::id())? - processor_before;
    ensure!(
        entries == file.right(),
        "SQLite registered {entries} of {} entries",
        file.right()
    );
    database.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
    let bytes = usage::disk(folder.path())?.saturating_sub(before);
    Ok(Measured {
        system: format!("SQLite, synchronous {synchronous}"),
        entries,
        refused: file.wrong,
        seconds,
        processor_seconds,
        bytes_per_entry: Some(bytes as f64 / entries as f64),
        latency: Latency::of(waits),
        ..Measured::default()
    })
}

/// Registers a run if it follows its device's head; returns how many entries were new.
fn register(transaction: &Transaction<'_>, run: &Run) -> Result<usize> {
    let (length, head) = transaction
        .prepare_cached("SELECT sequence, hash FROM head WHERE device = ?1")?
        .query_row([run.device], |row| {
            Ok((row.get::<_, i64>(0)? as u64, LinkHash(row.get(1)?)))
        })?;
    if run.sequence != length + 1 || run.previous.0 != head.0 {
        return Ok(0);
    }
    let mut hash = head;
    let mut keep = transaction.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4)")?;
    let given = run.entries.iter().map(|entry| RunEntry {
        digest: DataDigest(entry.digest.0),
        tag: Tag(entry.tag.0),
    });
    for entry in entries::<Native>(run.sequence, head, given) {
        hash = entry.hash;
        keep.execute(params![
            run.device,
            entry.sequence as i64,
            &entry.digest.0[..],
            &hash.0[..]
        ])?;
    }
    let length = length as i64 + run.entries.len() as i64;
    transaction
        .prepare_cached("UPDATE head SET sequence = ?2, hash = ?3 WHERE device = ?1")?
        .execute(params![run.device, length, &hash.0[..]])?;
    Ok(run.entries.len())
}
