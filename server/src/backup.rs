// SPDX-License-Identifier: Apache-2.0

//! Copies of a database, made while servers use it, and put back in place of one that was lost.
//!
//! A copy knows that it is one: servers refuse to start on it before `restore` has put it in place and changed what must not be
//! believed any more. SQLite writes its copy itself (`VACUUM INTO`). PostgreSQL's is made by `pg_dump` and put back by
//! `pg_restore`, which know every type and constraint, and which operators know.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context};
use fluent_uri::pct_enc::{EStr, Encoder};
use fluent_uri::Uri;
use mhealth_chain_client::{new_private, sync_folder};

use crate::database::files_of;
use crate::{
    identity, Clock, Database, DatabaseUrl, SetupFault, StoreError, SystemClock, WriteTransaction,
};

/// In the identity of a copy: when it was made, in seconds since 1970.
const COPIED_AT: &str = "copied_at";
/// In the identity of a database that was put in place of another: when the copy was made, and when it was put there.
const RESTORED: &str = "restored";

/// What libpq and sqlx both understand in an address.
const SHARED_PARAMETERS: [&str; 8] = [
    "host",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
];

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
    if file.exists() {
        return Err(SetupFault::FileExists(file.to_owned()).into());
    }
    let part = beside(file, ".part");
    // What an earlier attempt left.
    let _ = std::fs::remove_file(&part);
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
        let _ = std::fs::remove_file(&part);
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
            let part = beside(&target, ".part");
            for file in files_of(&part) {
                let _ = std::fs::remove_file(file);
            }
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
                files_of(&part).iter().for_each(|file| {
                    let _ = std::fs::remove_file(file);
                });
            }
            let made = copied?;
            put_in_place(&part, &target)?;
            Ok(made)
        }
        None => {
            let database = Database::open(url).await?;
            let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()";
            let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(database.pool()).await?;
            if tables > 0 {
                return Err(SetupFault::DatabaseExists(url.to_string()).into());
            }
            let options = ["--exit-on-error", "--single-transaction"];
            run_tool("pg_restore", url, &options, copy.into(), Stdio::null())?;
            let made = mark_restored(&database, mend).await?;
            database.close().await;
            Ok(made)
        }
    }
}

/// Fails when a database is a copy that was not put in place by [`restore`].
pub(crate) async fn refuse_copies(database: &Database) -> Result<(), StoreError> {
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

/// Runs a tool of PostgreSQL on a database. The password goes by the environment, where others do not see it.
fn run_tool(
    name: &str,
    url: &DatabaseUrl,
    options: &[&str],
    input: Stdio,
    output: Stdio,
) -> anyhow::Result<()> {
    let (address, password) = without_password(url.text())?;
    let mut tool = Command::new(name);
    tool.args(["--no-owner", "--no-privileges", "--no-password"])
        .args(options)
        .arg(format!("--dbname={address}"))
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped());
    if let Some(password) = password {
        tool.env("PGPASSWORD", password);
    }
    let done = tool.output().with_context(|| {
        format!("{name} cannot be run: install the client programs of PostgreSQL, of the server's version or newer (tool_missing)")
    })?;
    if !done.status.success() {
        bail!(
            "{name}: {} (tool_failed)",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(())
}

/// A database's address as libpq takes it, and its password.
fn without_password(url: &str) -> anyhow::Result<(String, Option<String>)> {
    let uri = Uri::parse(url).context("the address of the database is not a URL")?;
    let authority = uri
        .authority()
        .context("the address of the database names no host")?;
    let (user, mut password) = match authority.userinfo() {
        Some(user) => match user.split_once(':') {
            Some((user, password)) => (format!("{user}@"), Some(decoded(password)?)),
            None => (format!("{user}@"), None),
        },
        None => (String::new(), None),
    };
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    let mut address = format!("postgresql://{user}{place}{}", uri.path());
    let mut sign = '?';
    for parameter in uri.query().into_iter().flat_map(|query| query.split('&')) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if name == "password" {
            password = Some(decoded(value)?);
        } else if SHARED_PARAMETERS.contains(&name.as_str()) {
            address.push(sign);
            address.push_str(parameter.as_str());
            sign = '&';
        }
    }
    Ok((address, password))
}

fn decoded<E: Encoder>(text: &EStr<E>) -> anyhow::Result<String> {
    let text = text.decode().to_string();
    let text =
        text.map_err(|_| anyhow::anyhow!("the password in the database's address is not text"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_an_address() {
        for (url, address, password) in [
            (
                "postgres://me:a%2Fb%20c@[::1]:5433/d",
                "postgresql://me@[::1]:5433/d",
                Some("a/b c"),
            ),
            (
                "postgres://me@h/d?sslmode=verify-full&password=x&statement-cache-capacity=1&port=1",
                "postgresql://me@h/d?sslmode=verify-full&port=1",
                Some("x"),
            ),
            ("postgresql://h", "postgresql://h", None),
        ] {
            let (found, secret) = without_password(url).unwrap();
            assert_eq!((found.as_str(), secret.as_deref()), (address, password));
        }
    }
}
