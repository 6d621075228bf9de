// SPDX-License-Identifier: Apache-2.0

//! PostgreSQL doing the same check: an entry stands when it names the link that stands as its device's head; then its own
//! link is computed, the head moves, and the entry is kept. One trusted server, no finality; no signatures either, unless a server
//! in front of it checks them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use mhealth_testing::postgres::Postgres;
use pallet_client_hashchain::Run;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::measured::{Latency, Measured};
use crate::workload::{EntryFile, Heads, Keys};
use crate::{signatures, usage};

/// What the server is told beyond its defaults: memory for the tables, and no checkpoint in the middle of a measurement.
const SETTINGS: &[&str] = &[
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "wal_compression=off",
];

/// Batches that are read, and checked, ahead of each connection.
const BATCHES_AHEAD: usize = 2;

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

/// How signatures are checked before the database sees a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Not at all.
    Nothing,
    /// Each by itself.
    Each,
    /// All of a batch at once, as the chain does.
    Together,
}

/// How a file is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// How the check is written.
    pub(crate) form: Form,
    /// Whether a commit waits for the disk.
    pub(crate) synchronous: bool,
    /// Connections, each of which brings what one relay serves. Devices of one are never those of another.
    pub(crate) connections: usize,
    /// What the server in front of the database checks, with the chain's own library and on all processors, while the database has
    /// the batches before.
    pub(crate) check: Check,
}

impl Way {
    /// One connection, no signatures, no waiting for the disk.
    pub(crate) const SET_BASED: Self = Way {
        form: Form::SetBased,
        synchronous: false,
        connections: 1,
        check: Check::Nothing,
    };

    pub(crate) fn name(self) -> String {
        let commit = if self.synchronous { "on" } else { "off" };
        let form = self.form.name();
        let connections = match self.connections {
            1 => "",
            _ => ", two connections",
        };
        let check = match self.check {
            Check::Nothing => "",
            Check::Each => " behind a server that checks each signature",
            Check::Together => " behind a server that checks signatures together",
        };
        format!("PostgreSQL{check}, {form}{connections}, synchronous_commit {commit}")
    }
}

/// A new database whose heads are as they were before the file.
struct Database {
    url: String,
    synchronous: bool,
    connection: PgConnection,
    /// Its server's process.
    process: u32,
    _server: Postgres,
}

impl Database {
    async fn begin(heads: &Heads, synchronous: bool) -> Result<Self> {
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
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await?;
        Ok(Database {
            url,
            synchronous,
            connection,
            process: usage::parent_of(backend as u32)?,
            _server: server,
        })
    }

    async fn connect(&self) -> Result<PgConnection> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let commit = if self.synchronous { "on" } else { "off" };
        connection
            .execute(AssertSqlSafe(format!("SET synchronous_commit = {commit}")))
            .await?;
        Ok(connection)
    }

    async fn bytes(&mut self) -> Result<i64> {
        let size = "SELECT pg_total_relation_size('entry') + pg_total_relation_size('head')";
        Ok(sqlx::query_scalar(size)
            .fetch_one(&mut self.connection)
            .await?)
    }
}

/// Registers a file in a new database. The server that checks signatures knows the keys.
pub(crate) async fn measure(
    file: &EntryFile,
    heads: &Heads,
    keys: &Arc<Keys>,
    way: Way,
) -> Result<Measured> {
    let mut database = Database::begin(heads, way.synchronous).await?;
    let before = database.bytes().await?;
    let process = database.process;
    let processor = || {
        let own = usage::processor(std::process::id())?;
        Ok::<_, anyhow::Error>(usage::processor_of_family(process)? + own)
    };
    let (mut senders, mut writers) = (Vec::new(), JoinSet::new());
    for _ in 0..way.connections {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        senders.push(sender);
        writers.spawn(write(database.connect().await?, way.form, batches));
    }
    let processor_before = processor()?;
    let began = Instant::now();
    let (file_read, keys) = (file.clone(), keys.clone());
    let reader = tokio::task::spawn_blocking(move || bring(&file_read, &keys, way.check, &senders));
    let (mut entries, mut waits) = (0, Vec::with_capacity(file.batches));
    while let Some(written) = writers.join_next().await {
        let written = written??;
        entries += written.entries;
        waits.extend(written.waits);
    }
    reader.await??;
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = processor()? - processor_before;
    let after = database.bytes().await?;
    anyhow::ensure!(
        entries == file.right(),
        "PostgreSQL registered {entries} of {} entries",
        file.right()
    );
    Ok(Measured {
        system: way.name(),
        entries,
        refused: file.wrong,
        seconds,
        processor_seconds,
        bytes_per_entry: Some((after - before) as f64 / entries as f64),
        latency: Latency::of(waits).context("no batch").ok(),
        ..Measured::default()
    })
}

/// Reads the file and hands its batches on, checked: those of one relay to one connection after the other's.
fn bring(file: &EntryFile, keys: &Keys, check: Check, to: &[mpsc::Sender<Columns>]) -> Result<()> {
    for (runs, place) in file.runs()?.zip(0..) {
        let mut runs = runs?;
        match check {
            Check::Nothing => {}
            Check::Each => signatures::keep_valid(&mut runs, keys, false)?,
            Check::Together => signatures::keep_valid(&mut runs, keys, true)?,
        }
        let writer = &to[place % to.len()];
        if writer.blocking_send(Columns::of(&runs)).is_err() {
            // Its writer says why.
            break;
        }
    }
    Ok(())
}

/// What a connection wrote.
struct Written {
    entries: usize,
    waits: Vec<f64>,
}

async fn write(
    mut connection: PgConnection,
    form: Form,
    mut batches: mpsc::Receiver<Columns>,
) -> Result<Written> {
    let (mut entries, mut waits) = (0, Vec::new());
    while let Some(columns) = batches.recv().await {
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
    connection.close().await?;
    Ok(Written { entries, waits })
}
