// SPDX-License-Identifier: Apache-2.0

//! Where a database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mhealth_chain_client::is_on_this_machine;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use zeroize::Zeroizing;

use crate::SetupFault;

/// `sqlite:PATH` or `postgres://…`. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    kind: Kind,
    url: Zeroizing<String>,
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split(':').next().unwrap_or_default();
        let kind = match scheme {
            "sqlite" => Kind::Sqlite,
            "postgres" | "postgresql" => Kind::Postgres,
            _ => {
                return Err("give sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned())
            }
        };
        let mut url = Zeroizing::new(text.to_owned());
        if kind == Kind::Sqlite && !text.contains('?') {
            url.push_str("?mode=rwc");
        }
        match AnyConnectOptions::from_str(&url) {
            Ok(_) => Ok(Self { kind, url }),
            Err(_) => Err("this is not the address of a database".to_owned()),
        }
    }
}

impl DatabaseUrl {
    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.kind == Kind::Postgres
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The file of an SQLite database; none for one in memory, and for PostgreSQL.
    pub fn file(&self) -> Option<PathBuf> {
        let is_kept = !self.url.contains(":memory:") && !self.url.contains("mode=memory");
        let options = SqliteConnectOptions::from_str(&self.url).ok();
        options
            .filter(|_| self.kind == Kind::Sqlite && is_kept)
            .map(|options| options.get_filename().to_owned())
    }

    /// As libpq and sqlx read it.
    pub(crate) fn text(&self) -> &str {
        &self.url
    }

    /// Fails when the database is on another machine and its certificate would not be checked.
    pub(crate) fn check_protected(&self) -> Result<(), SetupFault> {
        let Some(options) = PgConnectOptions::from_str(&self.url)
            .ok()
            .filter(|_| self.is_postgres())
        else {
            return Ok(());
        };
        let host = options.get_host();
        let is_here = options.get_socket().is_some()
            || host.starts_with('/')
            || is_on_this_machine(&format!("postgres://{}", bracketed(host)));
        match is_here || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
            true => Ok(()),
            false => Err(SetupFault::DatabaseWithoutTls {
                host: host.to_owned(),
            }),
        }
    }
}

/// An address of IPv6 as it stands in a URL.
fn bracketed(host: &str) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

/// Whether a database's address holds a password.
pub(crate) fn has_password(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else {
        return false;
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let is_password = |part: &str| part.starts_with("password=");
    user.contains(':') || query.split('&').any(is_password)
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Sqlite => f.write_str(&self.url),
            Kind::Postgres => {
                let place = self.url.rsplit('@').next().unwrap_or_default();
                let place = place.split('?').next().unwrap_or_default();
                write!(
                    f,
                    "postgres://{}",
                    place
                        .trim_start_matches("postgres://")
                        .trim_start_matches("postgresql://")
                )
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for url in [
            "postgres://mhealth:hunter2@db.example/mhealth?password=hunter2",
            "postgresql://a:hunter2@h/d",
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert!(!format!("{url} {url:?}").contains("hunter2"), "{url}");
        }
        let url: DatabaseUrl = "postgres://mhealth:hunter2@db.example/mhealth"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "postgres://db.example/mhealth");
        for bad in ["mysql://a/b", "hunter2", "", "postgres:// /"] {
            let error = bad.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn a_database_on_another_machine_is_asked_for_its_certificate() {
        for (url, is_taken) in [
            ("sqlite:relay.db", true),
            ("postgres://a@127.0.0.1/d", true),
            ("postgres://a@localhost/d?sslmode=disable", true),
            ("postgres://a@[::1]:5433/d", true),
            ("postgres://%2Fvar%2Frun%2Fpostgresql/d", true),
            ("postgres:///d?host=/var/run/postgresql", true),
            ("postgres://a@db.example/d?sslmode=verify-full", true),
            ("postgres://a@db.example/d", false),
            ("postgres://a@db.example/d?sslmode=require", false),
            ("postgres://a@db.example/d?sslmode=verify-ca", false),
            ("postgres://a@10.0.0.7/d?sslmode=prefer", false),
            ("postgres://a@localhost.example/d", false),
            ("postgres://a@127.0.0.1/d?host=db.example", false),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            let checked = url.check_protected();
            assert_eq!(checked.is_ok(), is_taken, "{url}");
            if let Err(fault) = checked {
                assert_eq!(fault.code(), "database_without_tls");
                assert!(fault.to_string().contains("sslmode=verify-full"), "{fault}");
            }
        }
    }

    #[test]
    fn a_password_in_an_address_is_noticed() {
        for with in [
            "postgres://a:b@h/d",
            "postgresql://a:@h/d",
            "postgres://h/d?x=y&password=b",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "sqlite:a.db",
            "sqlite:a@b:c",
            "postgres://h:5432/d",
            "postgres://a@[::1]:5432/d?sslmode=verify-full",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }
}
