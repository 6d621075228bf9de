// SPDX-License-Identifier: Apache-2.0

//! PostgreSQL doing the same check: an entry stands when it names the link that stands as its device's head; then its own
//! link is computed, the head moves, and the entry is kept. One trusted server, no signatures, no finality.

use std::time::Instant;

use anyhow::{Context, Result};
use mhealth_testing::postgres::Postgres;
use pallet_client_hashchain::Run;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::measured::{Latency, Measured};
use crate::usage;
use crate::workload::{EntryFile, Heads};

/// What the server is told beyond its defaults: memory for the tables, and no checkpoint in the middle of a measurement.
const SETTINGS: &[&str] = &[
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "wal_compression=off",
];

/// The check in SQL, once for each form.
const SCHEMA: &str = include_str!("postgres.sql");

/// How PostgreSQL does the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A trigger before every inserted row.
    RowTrigger,
    /// A PL/pgSQL function with a loop over the entries.
    Loop,
    /// One SQL statement for the whole batch.
    SetBased,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::RowTrigger => "row trigger",
            Form::Loop => "PL/pgSQL loop",
            Form::SetBased => "set-based function",
        }
    }

    /// The statement that takes a batch.
    fn statement(self, repeats: bool) -> &'static str {
        match self {
            Form::RowTrigger => "SELECT ingest_by_trigger($1, $2, $3, $4, $5)",
            Form::Loop => "SELECT ingest_in_a_loop($1, $2, $3, $4, $5)",
            // The quickest form needs every device at most once.
            Form::SetBased if repeats => "SELECT ingest_set_with_repeats($1, $2, $3, $4, $5)",
            Form::SetBased => "SELECT ingest_set($1, $2, $3, $4, $5)",
        }
    }
}

/// A batch as PostgreSQL takes it: one array a column.
#[derive(Default)]
struct Columns {
    devices: Vec<i32>,
    sequences: Vec<i64>,
    previous: Vec<Vec<u8>>,
    digests: Vec<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

impl Columns {
    fn of(runs: &[Run]) -> Self {
        let mut columns = Columns::default();
        for run in runs {
            for (place, entry) in run.entries.iter().enumerate() {
                columns.devices.push(run.device as i32);
                columns.sequences.push(run.sequence as i64 + place as i64);
                // Only a run's first entry names the link before it; the others follow the entry before them.
                let previous = (place == 0).then(|| run.previous.0.to_vec());
                columns.previous.push(previous.unwrap_or_default());
                columns.digests.push(entry.digest.0.to_vec());
                columns.tags.push(entry.tag.0.to_vec());
            }
        }
        columns
    }

    fn repeats(&self) -> bool {
        let mut seen = std::collections::HashSet::new();
        !self.devices.iter().all(|device| seen.insert(*device))
    }
}

/// Registers a file in a new database whose heads are as they were before the file.
pub(crate) async fn measure(
    file: &EntryFile,
    heads: &Heads,
    form: Form,
    synchronous: bool,
) -> Result<Measured> {
    let server = Postgres::start_with(SETTINGS)?;
    let url = server.new_database()?;
    let mut connection = PgConnection::connect(&url).await?;
    connection.execute(SCHEMA).await?;
    for some in heads.chunks(10_000) {
        let devices: Vec<i32> = some.iter().map(|head| head.0 as i32).collect();
        let lengths: Vec<i64> = some.iter().map(|head| head.1 as i64).collect();
        let hashes: Vec<Vec<u8>> = some.iter().map(|head| head.2 .0.to_vec()).collect();
        sqlx::query("INSERT INTO head SELECT * FROM unnest($1, $2, $3)")
            .bind(devices)
            .bind(lengths)
            .bind(hashes)
            .execute(&mut connection)
            .await?;
    }
    connection.execute("VACUUM ANALYZE head").await?;
    connection.execute("CHECKPOINT").await?;
    let synchronous_commit = if synchronous { "on" } else { "off" };
    connection
        .execute(AssertSqlSafe(format!(
            "SET synchronous_commit = {synchronous_commit}"
        )))
        .await?;
    let size = "SELECT pg_total_relation_size('entry') + pg_total_relation_size('head')";
    let before: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await?;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut connection)
        .await?;
    let server_process = usage::parent_of(backend as u32)?;
    let processor = || {
        let own = usage::processor(std::process::id())?;
        Ok::<_, anyhow::Error>(usage::processor_of_family(server_process)? + own)
    };

    let processor_before = processor()?;
    let (mut entries, mut waits) = (0, Vec::with_capacity(file.batches));
    let began = Instant::now();
    for runs in file.runs()? {
        let columns = Columns::of(&runs?);
        let statement = form.statement(columns.repeats());
        let sent = Instant::now();
        let row = sqlx::query(statement)
            .bind(columns.devices)
            .bind(columns.sequences)
            .bind(columns.previous)
            .bind(columns.digests)
            .bind(columns.tags)
            .fetch_one(&mut connection)
            .await?;
        waits.push(sent.elapsed().as_secs_f64());
        entries += usize::try_from(row.try_get::<i64, _>(0)?)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = processor()? - processor_before;
    let after: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await?;
    connection.close().await?;
    anyhow::ensure!(
        entries == file.right(),
        "PostgreSQL registered {entries} of {} entries",
        file.right()
    );
    Ok(Measured {
        system: format!(
            "PostgreSQL, {}, synchronous_commit {synchronous_commit}",
            form.name()
        ),
        entries,
        refused: file.wrong,
        seconds,
        processor_seconds,
        charged_seconds: None,
        bytes_per_entry: Some((after - before) as f64 / entries as f64),
        latency: Latency::of(waits).context("no batch").ok(),
        discarded: None,
    })
}
