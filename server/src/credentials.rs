// SPDX-License-Identifier: Apache-2.0

//! Named credentials of people who may do more than strangers: a study's staff, auditors.
//!
//! A credential is shown once, when it is made: `mhealth-ROLE-` and 256 random bits in base64url. The prefix lets people and
//! scanners for leaked secrets know it for what it is. The database has its SHA-256 only, and finds it by that: how long this
//! takes says nothing about other credentials, because nobody can choose a hash.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use rand::rngs::OsRng;
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::rows::{signed, unsigned};
use crate::scopes::Scopes;
use crate::{Database, SecretText, StoreError, WriteTransaction};

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The name.
    pub name: String,
    /// What it is good for: nothing, if this program does not understand what is stored.
    pub scopes: Scopes,
    /// When it was made, in seconds since 1970.
    pub since: u64,
}

/// What an operator does to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Makes one for a new name, good for this.
    Add(&'a str, &'a Scopes),
    /// Makes it good for this, and for nothing else. The credential itself stays.
    Grant(&'a str, &'a Scopes),
    /// Makes a new one for a name, good for the same; the one before is good no more.
    Rotate(&'a str),
    /// Takes it back.
    Remove(&'a str),
}

/// Why credentials were not changed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Names are in logs and on command lines.
    #[error("a name has 1 to 64 letters, digits, dots, hyphens or underscores")]
    InvalidName,
    /// There is one of this name.
    #[error("there is a credential named {0} already; `rotate` replaces it")]
    NameInUse(String),
    /// There is none of this name.
    #[error("there is no credential named {0}")]
    UnknownName(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CredentialError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl<'a> Change<'a> {
    /// Whose credential changes.
    pub fn name(&self) -> &'a str {
        match *self {
            Change::Add(name, _)
            | Change::Grant(name, _)
            | Change::Rotate(name)
            | Change::Remove(name) => name,
        }
    }

    /// What happened, for logs and people.
    pub fn done(&self) -> &'static str {
        match self {
            Change::Add(..) => "added",
            Change::Grant(..) => "changed",
            Change::Rotate(_) => "replaced",
            Change::Remove(_) => "removed",
        }
    }
}

/// Changes the credentials of a role, such as `admin`, within the caller's transaction. Returns the new credential, which
/// nobody can read again; none if none was made.
pub async fn change(
    transaction: &mut WriteTransaction,
    role: &str,
    change: Change<'_>,
    now: u64,
) -> Result<Option<SecretText>, CredentialError> {
    let name = change.name().to_owned();
    if !is_name(&name) {
        return Err(CredentialError::InvalidName);
    }
    let made = matches!(change, Change::Add(..) | Change::Rotate(_)).then(|| random(role));
    let hash = made.as_ref().map(|made| hashed(made.expose()));
    let statement = match (change, hash) {
        (Change::Add(_, scopes), Some(hash)) => sqlx::query(
            "INSERT INTO credentials (name, hash, scopes, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.clone())
        .bind(hash)
        .bind(scopes.to_string())
        .bind(signed(now)),
        (Change::Rotate(_), Some(hash)) => {
            sqlx::query("UPDATE credentials SET hash = $2, created_at = $3 WHERE name = $1")
                .bind(name.clone())
                .bind(hash)
                .bind(signed(now))
        }
        (Change::Grant(_, scopes), _) => {
            sqlx::query("UPDATE credentials SET scopes = $2 WHERE name = $1")
                .bind(name.clone())
                .bind(scopes.to_string())
        }
        _ => sqlx::query("DELETE FROM credentials WHERE name = $1").bind(name.clone()),
    };
    let written = statement.execute(&mut **transaction).await?;
    match (written.rows_affected(), change) {
        (0, Change::Add(..)) => Err(CredentialError::NameInUse(name)),
        (0, _) => Err(CredentialError::UnknownName(name)),
        _ => Ok(made),
    }
}

/// A secret of this role that nobody has yet.
pub fn random(role: &str) -> SecretText {
    let mut random = Zeroizing::new([0; 32]);
    OsRng
        .try_fill_bytes(&mut *random)
        .expect("the operating system has random numbers; qed");
    let credential = format!("mhealth-{role}-{}", URL_SAFE_NO_PAD.encode(*random));
    SecretText::from(credential)
}

/// All holders, by name.
pub async fn list(database: &Database) -> Result<Vec<Holder>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT name, scopes, created_at FROM credentials ORDER BY name")
            .fetch_all(database.pool())
            .await?;
    rows.into_iter().map(holder).collect()
}

/// What is kept of all credentials: their hashes.
pub async fn hashes(database: &Database) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM credentials")
        .fetch_all(database.pool())
        .await?;
    Ok(rows.into_iter().map(|(hash,)| hash).collect())
}

/// Whose credential this is; none when nobody's.
pub async fn find(database: &Database, credential: &str) -> Result<Option<Holder>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT name, scopes, created_at FROM credentials WHERE hash = $1")
            .bind(hashed(credential))
            .fetch_optional(database.pool())
            .await?;
    row.map(holder).transpose()
}

type Row = (String, String, i64);

fn holder((name, scopes, since): Row) -> Result<Holder, StoreError> {
    Ok(Holder {
        name,
        scopes: scopes.parse().unwrap_or_else(|_| Scopes::nothing()),
        since: unsigned(since)?,
    })
}

/// What is kept of a credential, and what it is found by.
pub fn hashed(credential: &str) -> Vec<u8> {
    Sha256::digest(credential.as_bytes()).to_vec()
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(is_letter)
}

/// What the command line does to credentials. Works on the database, whether or not a server runs. `S` has the options that say
/// what one is good for.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CredentialCommand<S: clap::Args> {
    /// Makes a credential and prints it, this once: only its hash is kept.
    Add {
        /// Whose it is: 1 to 64 letters, digits, dots, hyphens or underscores.
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        scopes: S,
    },
    /// Changes what a credential is good for: what is given here, and nothing else. The credential itself stays.
    Grant {
        /// Whose it is.
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        scopes: S,
    },
    /// Replaces a credential and prints the new one, this once. It is good for the same, and the old one is good no more.
    Rotate {
        /// Whose it is.
        name: String,
    },
    /// Takes a credential back.
    Remove {
        /// Whose it is.
        name: String,
    },
    /// Lists who has a credential, what for, and since when, in seconds since 1970.
    List,
}

impl<S: clap::Args> CredentialCommand<S>
where
    for<'a> Scopes: From<&'a S>,
{
    /// Does it and prints what came of it. `change` writes, within a transaction and with whatever goes with it.
    pub async fn run(
        &self,
        database: &Database,
        change: impl AsyncFnOnce(Change<'_>) -> Result<Option<SecretText>, CredentialError>,
    ) -> anyhow::Result<()> {
        use std::io::Write;
        let scopes = match self {
            CredentialCommand::Add { scopes, .. } | CredentialCommand::Grant { scopes, .. } => {
                Scopes::from(scopes)
            }
            _ => Scopes::nothing(),
        };
        let what = match self {
            CredentialCommand::Add { name, .. } => Some(Change::Add(name, &scopes)),
            CredentialCommand::Grant { name, .. } => Some(Change::Grant(name, &scopes)),
            CredentialCommand::Rotate { name } => Some(Change::Rotate(name)),
            CredentialCommand::Remove { name } => Some(Change::Remove(name)),
            CredentialCommand::List => None,
        };
        let text = match what {
            Some(what) => match change(what).await? {
                Some(credential) => Zeroizing::new(format!("{}\n", credential.expose())),
                None => Zeroizing::new(format!("{} {}\n", what.done(), what.name())),
            },
            None => {
                let holders = list(database).await?;
                let lines = holders.iter().map(|holder| {
                    let (name, scopes) = (&holder.name, &holder.scopes);
                    format!("{name} {scopes} since={}\n", holder.since)
                });
                Zeroizing::new(lines.collect())
            }
        };
        std::io::stdout().write_all(text.as_bytes())?;
        database.close().await;
        Ok(())
    }
}
