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
use crate::{Database, SecretText, StoreError, WriteTransaction};

/// What a credential is good for. It is stored with each, so that some can be bound to studies and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// Everything that the role may do, in all studies of the server.
    All,
}

impl Scopes {
    fn name(self) -> &'static str {
        match self {
            Scopes::All => "all",
        }
    }

    /// A credential whose scopes this program does not know is good for nothing.
    fn named(name: &str) -> Result<Self, StoreError> {
        match name {
            "all" => Ok(Scopes::All),
            _ => Err(StoreError::Corrupt("scopes of a credential")),
        }
    }
}

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The name.
    pub name: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// When it was made, in seconds since 1970.
    pub since: u64,
}

/// What an operator does to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Makes one for a new name.
    Add(&'a str),
    /// Makes a new one for a name; the one before is good no more.
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
            Change::Add(name) | Change::Rotate(name) | Change::Remove(name) => name,
        }
    }

    /// What happened, for logs and people.
    pub fn done(&self) -> &'static str {
        match self {
            Change::Add(_) => "added",
            Change::Rotate(_) => "replaced",
            Change::Remove(_) => "removed",
        }
    }
}

/// Changes the credentials of a role, such as `admin`, within the caller's transaction. Returns the new credential, which
/// nobody can read again; none if it was taken back.
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
    let statement = match change {
        Change::Add(_) => {
            "INSERT INTO credentials (name, hash, scopes, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING"
        }
        Change::Rotate(_) => "UPDATE credentials SET hash = $2, scopes = $3, created_at = $4 WHERE name = $1",
        Change::Remove(_) => {
            let removed = sqlx::query("DELETE FROM credentials WHERE name = $1")
                .bind(name.clone())
                .execute(&mut **transaction)
                .await?;
            return match removed.rows_affected() {
                0 => Err(CredentialError::UnknownName(name)),
                _ => Ok(None),
            };
        }
    };
    let mut random = Zeroizing::new([0; 32]);
    OsRng
        .try_fill_bytes(&mut *random)
        .expect("the operating system has random numbers; qed");
    let credential = format!("mhealth-{role}-{}", URL_SAFE_NO_PAD.encode(*random));
    let credential = SecretText::from(credential);
    let written = sqlx::query(statement)
        .bind(name.clone())
        .bind(hashed(credential.expose()))
        .bind(Scopes::All.name())
        .bind(signed(now))
        .execute(&mut **transaction)
        .await?;
    match (written.rows_affected(), change) {
        (0, Change::Add(_)) => Err(CredentialError::NameInUse(name)),
        (0, _) => Err(CredentialError::UnknownName(name)),
        _ => Ok(Some(credential)),
    }
}

/// All holders, by name.
pub async fn list(database: &Database) -> Result<Vec<Holder>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT name, scopes, created_at FROM credentials ORDER BY name")
            .fetch_all(database.pool())
            .await?;
    rows.into_iter().map(holder).collect()
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
        scopes: Scopes::named(&scopes)?,
        since: unsigned(since)?,
    })
}

fn hashed(credential: &str) -> Vec<u8> {
    Sha256::digest(credential.as_bytes()).to_vec()
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(is_letter)
}

/// What the command line does to credentials. Works on the database, whether or not a server runs.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CredentialCommand {
    /// Makes a credential and prints it, this once: only its hash is kept.
    Add {
        /// Whose it is: 1 to 64 letters, digits, dots, hyphens or underscores.
        name: String,
    },
    /// Replaces a credential and prints the new one, this once. The old one is good no more.
    Rotate {
        /// Whose it is.
        name: String,
    },
    /// Takes a credential back.
    Remove {
        /// Whose it is.
        name: String,
    },
    /// Lists who has a credential, and since when, in seconds since 1970.
    List,
}

impl CredentialCommand {
    /// What it changes; none if it lists.
    pub fn change(&self) -> Option<Change<'_>> {
        match self {
            CredentialCommand::Add { name } => Some(Change::Add(name)),
            CredentialCommand::Rotate { name } => Some(Change::Rotate(name)),
            CredentialCommand::Remove { name } => Some(Change::Remove(name)),
            CredentialCommand::List => None,
        }
    }

    /// Does it and prints what came of it. `change` writes, within a transaction and with whatever goes with it.
    pub async fn run(
        &self,
        database: &Database,
        change: impl AsyncFnOnce(Change<'_>) -> Result<Option<SecretText>, CredentialError>,
    ) -> anyhow::Result<()> {
        use std::io::Write;
        let text = match self.change() {
            Some(what) => match change(what).await? {
                Some(credential) => Zeroizing::new(format!("{}\n", credential.expose())),
                None => Zeroizing::new(format!("{} {}\n", what.done(), what.name())),
            },
            None => {
                let holders = list(database).await?;
                let lines = holders
                    .iter()
                    .map(|holder| format!("{} since={}\n", holder.name, holder.since));
                Zeroizing::new(lines.collect())
            }
        };
        std::io::stdout().write_all(text.as_bytes())?;
        database.close().await;
        Ok(())
    }
}
