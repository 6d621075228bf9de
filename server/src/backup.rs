// SPDX-License-Identifier: Apache-2.0

//! Copies of a database, made while servers use it, and put back in place of one that was lost.
//!
//! A copy knows that it is one: servers refuse to start on it before `restore` has put it in place and changed what must not be
//! believed any more. SQLite writes its copy itself (`VACUUM INTO`). PostgreSQL's is made by `pg_dump` and put back by
//! `pg_restore`, which know every type and constraint, and which operators know.
//!
//! A copy is in place with what must not be believed taken back, or it is not in place. An SQLite database gets its name when all is
//! done. A PostgreSQL database has a mark from before the copy is put into it, which goes with what must not be believed, and servers
//! refuse to start on a database that has it.

mod postgres;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{bail, Context};
use mhealth_chain_client::{new_private, sync_folder};

use self::postgres::run_tool;
use crate::database::{files_of, LONG_PATIENCE};
use crate::{
    identity, Clock, Database, DatabaseUrl, SetupFault, StoreError, SystemClock, WriteTransaction,
};

/// In the identity of a copy: when it was made, in seconds since 1970.
const COPIED_AT: &str = "copied_at";
/// In the identity of a database that was put in place of another: when the copy was made, and when it was put there.
const RESTORED: &str = "restored";

/// What the command line does with copies.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CopyCommand {
    /// Copies the database to a new file, while the server runs. Nobody but its owner can read the file.
    Backup {
        /// Where to.
        file: PathBuf,
    },
    /// Puts a copy into the database, which must be new: an SQLite file that is not there, or a PostgreSQL database without
    /// tables. No server may run on it meanwhile.
    Restore {
        /// The copy.
        file: PathBuf,
        /// The copy is a database's own file, which somebody copied by hand. What was committed last may be missing: it was in
        /// the log beside it (`FILE-wal`), which is taken, too, if it is there.
        #[arg(long)]
        raw: bool,
    },
}

/// What a file is that is put into a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// What [`backup`] made.
    Backup,
    /// A database's own file.
    Raw,
}

impl From<bool> for CopyKind {
    fn from(is_raw: bool) -> Self {
        match is_raw {
            true => Self::Raw,
            false => Self::Backup,
        }
    }
}

/// Copies a database to a new file.
pub async fn backup(url: &DatabaseUrl, file: &Path) -> anyhow::Result<()> {
    url.check_protected()?;
    // What lies beside a file of SQLite, under its name, SQLite takes for that file's.
    let there = match url.file() {
        Some(_) => files_of(file).into_iter().find(|file| file.exists()),
        None => Some(file.to_owned()).filter(|file| file.exists()),
    };
    if let Some(there) = there {
        return Err(SetupFault::FileExists(there).into());
    }
    let part = beside(file, ".part");
    // What an earlier attempt left.
    remove_all(&part);
    let copied = match url.file() {
        Some(database) => copy_sqlite(&database, &part).await,
        None => run_tool(
            "pg_dump",
            url,
            &["--format=custom"],
            Stdio::null(),
            private(&part)?.into(),
        ),
    };
    if copied.is_err() {
        remove_all(&part);
    }
    copied?;
    put_in_place(&part, file)
}

/// Puts a copy into a new database, and changes what must not be believed of a copy: `mend` does so within a transaction.
/// Returns when the copy was made, in seconds since 1970, if that is known.
pub async fn restore(
    url: &DatabaseUrl,
    file: &Path,
    kind: CopyKind,
    mend: impl AsyncFnOnce(&Database, &mut WriteTransaction, u64) -> Result<(), StoreError>,
) -> anyhow::Result<Option<u64>> {
    url.check_protected()?;
    let copy = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    match url.file() {
        Some(target) => {
            if target.exists() {
                return Err(SetupFault::DatabaseExists(url.to_string()).into());
            }
            // Nothing in a log says whose it is: SQLite would lay that of the lost database over the pages of the copy.
            if let Some(left) = files_of(&target).into_iter().find(|file| file.exists()) {
                return Err(SetupFault::LeftOver(left).into());
            }
            let part = beside(&target, ".part");
            remove_all(&part);
            let copied = async {
                let (mut from, mut to) = (copy, private(&part)?);
                std::io::copy(&mut from, &mut to)?;
                drop(to);
                let log = beside(file, "-wal");
                if kind == CopyKind::Raw && log.exists() {
                    let (mut from, mut to) = (File::open(log)?, private(&beside(&part, "-wal"))?);
                    std::io::copy(&mut from, &mut to)?;
                }
                let database = open_sqlite(&part, "rw").await?;
                check_sqlite(&database, file, kind).await?;
                let made = mark_restored(&database, mend).await?;
                settle_sqlite(&database).await?;
                anyhow::Ok(made)
            };
            let copied = copied.await;
            if copied.is_err() {
                remove_all(&part);
            }
            let made = copied?;
            put_in_place(&part, &target)?;
            Ok(made)
        }
        None => {
            let database = Database::open(url).await?.with_patience(LONG_PATIENCE);
            if postgres::has_tables(&database).await? {
                return Err(SetupFault::DatabaseExists(url.to_string()).into());
            }
            // What was interrupted before the copy was there can be begun again.
            postgres::begin_restoring(&database).await?;
            let options = ["--exit-on-error", "--single-transaction"];
            run_tool("pg_restore", url, &options, copy.into(), Stdio::null())?;
            let made = mark_restored(&database, mend).await?;
            database.close().await;
            Ok(made)
        }
    }
}

/// Fails when a database is a copy that was not put in place by [`restore`], or not to the end.
pub(crate) async fn refuse_copies(database: &Database) -> Result<(), StoreError> {
    if database.is_postgres() && postgres::is_restoring(database).await? {
        return Err(StoreError::HalfRestored);
    }
    match identity::claimed(database, COPIED_AT).await? {
        Some(at) => Err(StoreError::Copy(at)),
        None => Ok(()),
    }
}

/// When a database was put in place by [`restore`], in seconds since 1970; none if it never was.
pub async fn restored_at(database: &Database) -> Result<Option<u64>, StoreError> {
    let text = identity::claimed(database, RESTORED).await?;
    let at = text.map(|text| text.split(' ').next().unwrap_or_default().parse());
    at.transpose()
        .map_err(|_| StoreError::Corrupt("a time at which it was restored"))
}

async fn copy_sqlite(database: &Path, part: &Path) -> anyhow::Result<()> {
    if !database.exists() {
        return Err(SetupFault::NoDatabase(database.to_owned()).into());
    }
    // SQLite takes an empty file, and keeps its mode.
    drop(private(part)?);
    let from = open_sqlite(database, "rw").await?;
    sqlx::query("VACUUM INTO $1")
        .bind(part.display().to_string())
        .execute(from.pool())
        .await
        .context("the database cannot be copied")?;
    from.close().await;
    let copy = open_sqlite(part, "rw").await?;
    let at = SystemClock.now().to_string();
    note(&copy, COPIED_AT, &at).await?;
    settle_sqlite(&copy).await
}

/// One connection to a file, which is not created.
async fn open_sqlite(file: &Path, mode: &str) -> anyhow::Result<Database> {
    // What has a meaning in a URL has none in a file's name.
    let name = file.display().to_string();
    let name = name
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    let url = format!("sqlite:{name}?mode={mode}");
    let url: DatabaseUrl = url.parse().map_err(anyhow::Error::msg)?;
    Database::open_with(&url, 1).await
}

/// Leaves one file of what may be several, and closes it.
async fn settle_sqlite(database: &Database) -> anyhow::Result<()> {
    let whole: (String,) = sqlx::query_as("PRAGMA journal_mode = DELETE")
        .fetch_one(database.pool())
        .await?;
    database.close().await;
    match whole.0.as_str() {
        "delete" => Ok(()),
        other => bail!("the copy stays in mode {other}"),
    }
}

async fn check_sqlite(database: &Database, file: &Path, kind: CopyKind) -> anyhow::Result<()> {
    let fault = || SetupFault::NotACopy(file.to_owned());
    let checked: Result<(String,), _> = sqlx::query_as("PRAGMA integrity_check(1)")
        .fetch_one(database.pool())
        .await;
    let is_whole = checked.is_ok_and(|(said,)| said == "ok");
    let is_copy = async || match identity::claimed(database, COPIED_AT).await {
        Ok(copied_at) => copied_at.is_some() || kind == CopyKind::Raw,
        Err(_) => false,
    };
    match is_whole && is_copy().await {
        true => Ok(()),
        false => Err(fault().into()),
    }
}

async fn mark_restored(
    database: &Database,
    mend: impl AsyncFnOnce(&Database, &mut WriteTransaction, u64) -> Result<(), StoreError>,
) -> anyhow::Result<Option<u64>> {
    let made = identity::claimed(database, COPIED_AT).await?;
    let now = SystemClock.now();
    let text = format!("{} of {}", now, made.as_deref().unwrap_or("unknown"));
    let mut transaction = database.begin().await?;
    sqlx::query("DELETE FROM identity WHERE what IN ($1, $2)")
        .bind(COPIED_AT)
        .bind(RESTORED)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO identity (what, value) VALUES ($1, $2)")
        .bind(RESTORED)
        .bind(text)
        .execute(&mut *transaction)
        .await?;
    // Whoever held the lease when the copy was made does not hold it here.
    sqlx::query("UPDATE lease SET expires_at = 0")
        .execute(&mut *transaction)
        .await?;
    mend(database, &mut transaction, now).await?;
    if database.is_postgres() {
        postgres::end_restoring(&mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(made.and_then(|made| made.parse().ok()))
}

async fn note(database: &Database, what: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO identity (what, value) VALUES ($1, $2)")
        .bind(what.to_owned())
        .bind(value.to_owned())
        .execute(database.pool())
        .await?;
    Ok(())
}

/// A new file that nobody but its owner can read.
fn private(path: &Path) -> anyhow::Result<File> {
    new_private(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes a file that is no database yet, and what SQLite put beside it.
fn remove_all(part: &Path) {
    for file in files_of(part) {
        let _ = std::fs::remove_file(file);
    }
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Durable under its name, or not there at all.
fn put_in_place(part: &Path, file: &Path) -> anyhow::Result<()> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, file)
        .with_context(|| format!("cannot put {} in place", file.display()))?;
    Ok(sync_folder(file)?)
}
