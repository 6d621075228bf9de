// SPDX-License-Identifier: Apache-2.0

//! One SQL layer for SQLite and PostgreSQL.

mod parameters;
mod patience;
mod url;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use mhealth_chain_client::{check_private, open_private};
use sqlx::any::{install_default_drivers, AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrationType, Migrator};
use sqlx::{ConnectOptions, Connection, Executor, SqlStr};

pub use self::parameters::Parameters;
pub(crate) use self::patience::LONG_PATIENCE;
use self::patience::{silence, PATIENCE};
pub use self::patience::{DatabasePool, WithinTransaction, WriteTransaction};
pub(crate) use self::url::has_password;
pub use self::url::DatabaseUrl;
use self::url::Kind;
use crate::{reserve, ApiError, SetupFault};

const CONNECTIONS: u32 = 16;
/// Connections beside these, for staff and probes.
const RESERVED: u32 = 6;
/// How long a request waits for a free connection, or for a database that is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Durable before it is acknowledged: with `synchronous = FULL`, SQLite syncs the write-ahead log at every commit. Writers
/// wait for each other up to `busy_timeout`. With `secure_delete`, a page that is written keeps no copy of what was deleted or moved
/// elsewhere; `FAST` writes no page for that alone.
const SQLITE_SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000; \
                               PRAGMA foreign_keys = ON; PRAGMA secure_delete = FAST;";
/// A commit that is answered is on disk, whatever the server's own configuration says; and a statement that hangs on a
/// lock ends.
const POSTGRES_SETTINGS: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';";

/// A step of a schema, in the words of either database. Steps that have been released never change.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

/// Identity, lease, credentials.
const SHARED: &[Migration] = &[Migration {
    version: 1,
    name: "first of every server",
    sqlite: include_str!("../migrations/sqlite/0001-first.sql"),
    postgres: include_str!("../migrations/postgres/0001-first.sql"),
}];
/// Migrations of a program are counted from here, so that both lists can grow.
const OWN_VERSIONS: i64 = 1_000;

/// A database of either kind. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    pool: DatabasePool,
    /// For [`with_reserve`](crate::with_reserve).
    reserve: DatabasePool,
}

impl Database {
    /// Opens it; an SQLite file is created when it is not there. Some connections beside the usual ones are kept back for
    /// [staff and probes](crate::with_reserve).
    pub async fn open(url: &DatabaseUrl) -> anyhow::Result<Self> {
        let database = Self::open_with(url, CONNECTIONS).await?;
        // What is in memory is another database for every pool.
        if !url.is_postgres() && url.file().is_none() {
            return Ok(database);
        }
        // One of them is open from now on, also where somebody else takes all that a PostgreSQL server has.
        let reserve = Self::connect(url, RESERVED, 1).await?;
        Ok(Self {
            reserve,
            ..database
        })
    }

    /// Opens it with at most so many connections, of which none are kept back.
    pub async fn open_with(url: &DatabaseUrl, connections: u32) -> anyhow::Result<Self> {
        if let Some(file) = url.file() {
            make_private(&file, url.text().contains("mode=rwc"))?;
        }
        Self::open_as_it_is(url, connections).await
    }

    /// The same, and leaves the modes of its files as they are.
    pub(crate) async fn open_as_it_is(url: &DatabaseUrl, connections: u32) -> anyhow::Result<Self> {
        let pool = Self::connect(url, connections, 0).await?;
        Ok(Self {
            kind: url.kind(),
            reserve: pool.clone(),
            pool,
        })
    }

    async fn connect(url: &DatabaseUrl, most: u32, least: u32) -> anyhow::Result<DatabasePool> {
        install_default_drivers();
        let settings = match url.kind() {
            Kind::Sqlite => SQLITE_SETTINGS,
            Kind::Postgres => POSTGRES_SETTINGS,
        };
        url.check_protected()?;
        let options = AnyConnectOptions::from_str(url.text())?.disable_statement_logging();
        let pool = AnyPoolOptions::new()
            .max_connections(most)
            .min_connections(least)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Whether a connection still is one is asked when it is given back. To ask again before each use is for a server that may
            // have been restarted; a file has not, and to ask is to wait until another thread has had its turn of the processor.
            .test_before_acquire(url.is_postgres())
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    let set = tokio::time::timeout(PATIENCE, connection.execute(settings));
                    set.await.unwrap_or_else(|_| Err(silence())).map(drop)
                })
            })
            // A commit or a rollback that failed, as on a full disk, leaves a connection that believes to be within a
            // transaction. Every further transaction on it would fail.
            .before_acquire(|connection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            })
            .connect_with(options)
            .await
            .with_context(|| format!("cannot open the database {url}"))?;
        let patience = url.is_postgres().then_some(PATIENCE);
        Ok(DatabasePool::new(pool, patience))
    }

    /// The same, and an answer of PostgreSQL is waited for so long instead of half a minute.
    pub fn with_patience(self, longest: Duration) -> Self {
        Self {
            kind: self.kind,
            pool: self.pool.patient(longest),
            reserve: self.reserve.patient(longest),
        }
    }

    /// The same PostgreSQL database with so many connections beside the others, for whoever must not wait for those. SQLite, which
    /// has one writer, stays as it is.
    pub fn beside(&self, connections: u32) -> Self {
        if !self.is_postgres() {
            return self.clone();
        }
        let pool = self.pool.beside(connections);
        Self {
            kind: self.kind,
            reserve: pool.clone(),
            pool,
        }
    }

    /// Brings the schema up to date, with the tables that every server has and those of these migrations. Fails when the
    /// database was written by a newer version of the program or its migrations differ from this program's. Several
    /// processes may do so at the same time. However long it takes, it is waited for.
    pub async fn migrate(&self, migrations: &[Migration]) -> anyhow::Result<()> {
        let own = migrations.iter().map(|step| Migration {
            version: OWN_VERSIONS + step.version,
            ..*step
        });
        let steps = SHARED.iter().copied().chain(own).map(|step| {
            let sql = match self.kind {
                Kind::Sqlite => step.sqlite,
                Kind::Postgres => step.postgres,
            };
            sqlx::migrate::Migration::new(
                step.version,
                step.name.into(),
                MigrationType::Simple,
                SqlStr::from_static(sql),
                false,
            )
        });
        let migrator = Migrator::with_migrations(steps.collect());
        migrator
            .run(self.pool.unbounded())
            .await
            .context("the database's schema does not fit this program")
    }

    /// For reading, and for single statements that write. Within [`with_reserve`](crate::with_reserve) these are the
    /// connections that are kept back.
    pub fn pool(&self) -> &DatabasePool {
        match reserve::is_open() {
            true => &self.reserve,
            false => &self.pool,
        }
    }

    /// Begins a transaction that may write. On SQLite it takes the write lock at once, because a transaction that reads
    /// first and wants to write then fails when another has written in between.
    pub async fn begin(&self) -> Result<WriteTransaction, sqlx::Error> {
        self.pool().begin().await
    }

    /// Whether it is PostgreSQL, where several processes can share one database.
    pub fn is_postgres(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// The time by the database's own clock, as an expression of its SQL: milliseconds since 1970, and later with every
    /// statement, also within a transaction.
    pub fn now_millis(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
            Kind::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Whether it answers.
    pub async fn check(&self) -> Result<(), ApiError> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.unbounded().close().await;
        self.reserve.unbounded().close().await;
    }
}

/// Sees to it that nobody but its owner can read an SQLite database and what belongs to it: SQLite makes its other files with
/// the mode of the first.
fn make_private(file: &Path, may_be_made: bool) -> Result<(), SetupFault> {
    let not_made = |why| SetupFault::NotMade {
        path: file.to_owned(),
        why,
    };
    if !file.exists() {
        return match may_be_made {
            true => open_private(file).map(drop).map_err(not_made),
            false => Ok(()),
        };
    }
    for path in files_of(file) {
        if !path.exists() || check_private(&path).is_ok() {
            continue;
        }
        tracing::warn!(file = %path.display(), "others could read this file; from now on its owner alone can");
        open_private(&path)
            .map(drop)
            .map_err(|why| SetupFault::NotPrivate { path, why })?;
    }
    Ok(())
}

/// The files of an SQLite database.
pub(crate) fn files_of(file: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|end| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Migration] = &[
        Migration {
            version: 1,
            name: "notes",
            sqlite: "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
            postgres: "CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT NOT NULL)",
        },
        Migration {
            version: 2,
            name: "more notes",
            sqlite: "CREATE TABLE more (id INTEGER PRIMARY KEY)",
            postgres: "CREATE TABLE more (id BIGINT PRIMARY KEY)",
        },
    ];

    #[tokio::test]
    async fn a_connection_whose_transaction_could_not_end_is_not_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("one.db").display());
        let database = Database::open_with(&url.parse().unwrap(), 1).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        // What SQLite does by itself when the disk is full.
        sqlx::query("ROLLBACK")
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert!(transaction.commit().await.is_err());
        let transaction = database.begin().await.unwrap();
        transaction.commit().await.unwrap();
    }

    #[tokio::test]
    async fn an_sqlite_file_is_created_and_syncs_every_commit() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("new.db").display());
        let database = Database::open(&url.parse().unwrap()).await.unwrap();
        let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode")
            .fetch_one(database.pool())
            .await
            .unwrap();
        let (full,): (i64,) = sqlx::query_as("PRAGMA synchronous")
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!((mode.as_str(), full), ("wal", 2));
        assert_eq!(database.check().await, Ok(()));
        database.close().await;
        assert!(database.check().await.is_err());
    }

    #[tokio::test]
    async fn a_database_of_a_newer_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("new.db").display());
        let database = Database::open(&url.parse().unwrap()).await.unwrap();
        database.migrate(&STEPS[..1]).await.unwrap();
        database.migrate(STEPS).await.unwrap();
        database.migrate(STEPS).await.unwrap();
        let error = database.migrate(&STEPS[..1]).await.unwrap_err();
        assert!(format!("{error:#}").contains("migration"), "{error:#}");
        let changed = [
            Migration {
                sqlite: "CREATE TABLE other (id INTEGER)",
                ..STEPS[0]
            },
            STEPS[1],
        ];
        assert!(database.migrate(&changed).await.is_err());
    }

    #[tokio::test]
    async fn writers_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("new.db").display());
        let database = Database::open(&url.parse().unwrap()).await.unwrap();
        database.migrate(STEPS).await.unwrap();
        let writers = (0..8i64).map(|id| {
            let database = database.clone();
            tokio::spawn(async move {
                let mut transaction = database.begin().await?;
                let (_,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM note")
                    .fetch_one(&mut *transaction)
                    .await?;
                sqlx::query("INSERT INTO note (id, text) VALUES ($1, 'x')")
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap().unwrap();
        }
    }
}
