// SPDX-License-Identifier: Apache-2.0

//! Who may administer. A credential is shown once, when it is made; the database has its SHA-256.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use mhealth_api::Code;
use mhealth_server::{ApiError, Bearer, Database, SecretText};
use rand::TryRngCore;
use sha2::{Digest, Sha256};

use crate::log::{self, Note};

/// What every credential begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "mhealth-admin-";

/// An administrator, as named by a valid credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The name that stands in the log.
    pub name: String,
}

/// Names an administrator and returns the credential, which nobody can read again. Whoever had the name before loses the
/// old credential.
pub async fn add(database: &Database, name: &str, now: u64) -> anyhow::Result<SecretText> {
    anyhow::ensure!(
        is_name(name),
        "a name has 1 to 64 letters, digits, dots, hyphens or underscores"
    );
    let mut bytes = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
    let credential = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let mut transaction = database.begin().await?;
    sqlx::query(
        "INSERT INTO admins (name, credential, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET credential = excluded.credential, created_at = excluded.created_at",
    )
    .bind(name)
    .bind(digest(&credential))
    .bind(now as i64)
    .execute(&mut *transaction)
    .await?;
    let subject = format!("admin {name}");
    let note = Note {
        at: now,
        actor: "operator",
        action: "admin added",
        subject: &subject,
        why: "",
    };
    log::append(database, &mut transaction, note).await?;
    transaction.commit().await?;
    Ok(SecretText::from(credential))
}

/// Takes the role away; false when nobody has this name.
pub async fn remove(database: &Database, name: &str, now: u64) -> anyhow::Result<bool> {
    let mut transaction = database.begin().await?;
    let removed = sqlx::query("DELETE FROM admins WHERE name = $1")
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    if removed.rows_affected() == 0 {
        return Ok(false);
    }
    let subject = format!("admin {name}");
    let note = Note {
        at: now,
        actor: "operator",
        action: "admin removed",
        subject: &subject,
        why: "",
    };
    log::append(database, &mut transaction, note).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The names.
pub async fn list(database: &Database) -> anyhow::Result<Vec<String>> {
    let names: Vec<(String,)> = sqlx::query_as("SELECT name FROM admins ORDER BY name")
        .fetch_all(database.pool())
        .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Whose credential this is; `invalid_credentials` when nobody's.
///
/// The comparison is the database's, of hashes of 256 random bits: how long it takes says nothing about the credential.
pub async fn authenticate(database: &Database, bearer: &Bearer) -> Result<Admin, ApiError> {
    let found: Option<(String,)> = sqlx::query_as("SELECT name FROM admins WHERE credential = $1")
        .bind(digest(&bearer.0))
        .fetch_optional(database.pool())
        .await?;
    match found {
        Some((name,)) => Ok(Admin { name }),
        None => Err(Code::InvalidCredentials.into()),
    }
}

fn digest(credential: &str) -> Vec<u8> {
    Sha256::digest(credential.as_bytes()).to_vec()
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(is_letter)
}
