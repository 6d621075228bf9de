// SPDX-License-Identifier: Apache-2.0

//! PostgreSQL's part in copies: its tools, and the mark of a database into which a copy is being put.

use std::process::{Command, Stdio};

use anyhow::{bail, Context};
use fluent_uri::pct_enc::{EStr, Encoder};
use fluent_uri::Uri;

use crate::{Database, DatabaseUrl, StoreError, WriteTransaction};

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

/// Whether a database has tables, beside the mark.
pub(super) async fn has_tables(database: &Database) -> Result<bool, StoreError> {
    let tables = "SELECT COUNT(*) FROM information_schema.tables \
                  WHERE table_schema = current_schema() AND table_name <> 'mhealth_restoring'";
    let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(database.pool()).await?;
    Ok(tables > 0)
}

/// Marks a database into which a copy is to be put. The mark is a table that no copy has, so it stays whatever becomes of
/// `pg_restore`, and of this program.
pub(super) async fn begin_restoring(database: &Database) -> Result<(), StoreError> {
    sqlx::query("CREATE TABLE IF NOT EXISTS mhealth_restoring (id BIGINT)")
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Takes the mark away, within the transaction that takes back what must not be believed.
pub(super) async fn end_restoring(transaction: &mut WriteTransaction) -> Result<(), StoreError> {
    sqlx::query("DROP TABLE mhealth_restoring")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Whether a copy was being put into a database, and nobody took back what must not be believed. Whoever made the mark, and whether
/// or not this user may read it.
pub(super) async fn is_restoring(database: &Database) -> Result<bool, StoreError> {
    let marks = "SELECT COUNT(*) FROM pg_catalog.pg_tables \
                 WHERE tablename = 'mhealth_restoring' AND schemaname = ANY (current_schemas(false))";
    let (marks,): (i64,) = sqlx::query_as(marks).fetch_one(database.pool()).await?;
    Ok(marks > 0)
}

/// Runs a tool of PostgreSQL on a database. The password goes by the environment, where others do not see it.
pub(super) fn run_tool(
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
