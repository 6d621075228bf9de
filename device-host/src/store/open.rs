// SPDX-License-Identifier: Apache-2.0

//! Opening and making state files, and saying clearly why one cannot be opened.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use hashchain::{DeviceId, StudyId};
use mhealth_device::{book::Book, chain::Learned, fleet::audit, host::Clock, Error, PublicKey};
use mhealth_evidence::Anchor;
use rand::{CryptoRng, RngCore};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{beliefs::checkpoints, schema, Store, Terms};
use crate::durable::sync_name;

/// How long to wait for another program that holds the file, in milliseconds.
const PATIENCE: u32 = 5_000;

impl Store {
    /// Opens a state file that must be there, and checks all of it: SQLite's own structure, every device's
    /// enrolment, every link and envelope.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        match std::fs::metadata(path) {
            Ok(file) if file.is_file() => {}
            Ok(_) => return Err(unreadable(path, "it is not a file")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::Missing(named(path)));
            }
            Err(error) => return Err(unreadable(path, error)),
        }
        let connection = connect(path)?;
        check_kind(&connection, path)?;
        prepare(&connection, path)?;
        Self::with(connection, path.to_owned(), clock)
    }

    /// Makes a new state file, which must not be there yet, readable for its owner only.
    pub fn create<R: CryptoRng + RngCore>(
        path: &Path,
        terms: &Terms,
        clock: Arc<dyn Clock>,
        rng: &mut R,
    ) -> Result<Self, Error> {
        create_private(path).map_err(|e| unreadable(path, e))?;
        let connection = connect(path)?;
        fill(&connection, path, terms, rng)?;
        Self::with(connection, path.to_owned(), clock)
    }

    /// Opens the file if it is there and makes it otherwise. A file that is there must have been made for the
    /// same terms; where the study's auditor has another key by now, new devices escrow their secrets to that. A file that was left behind by a program that was killed while it made it is finished.
    pub fn open_or_create<R: CryptoRng + RngCore>(
        path: &Path,
        terms: &Terms,
        clock: Arc<dyn Clock>,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let store = match Self::open(path, clock.clone()) {
            Err(Error::Missing(_)) => Self::create(path, terms, clock, rng)?,
            Err(Error::Unfinished(_)) => {
                let connection = connect(path)?;
                fill(&connection, path, terms, rng)?;
                Self::with(connection, path.to_owned(), clock)?
            }
            opened => opened?,
        };
        store.expect(terms)?;
        store.go_on_to(terms)
    }

    /// A store that vanishes when dropped, for tests and for measuring what the disk costs.
    pub fn in_memory<R: CryptoRng + RngCore>(
        terms: &Terms,
        clock: Arc<dyn Clock>,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let path = PathBuf::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|e| failed(&path, e))?;
        fill(&connection, &path, terms, rng)?;
        Self::with(connection, path, clock)
    }

    /// Checks that the file was made for these terms.
    pub fn expect(&self, terms: &Terms) -> Result<(), Error> {
        self.expect_chain(&terms.chain)?;
        let found = self.terms.study;
        if found != terms.study {
            return Err(Error::OtherStudy {
                expected: terms.study,
                found,
            });
        }
        // Of another epoch it is another key, and what is enrolled keeps its own.
        let same_epoch = self.terms.auditor_epoch == terms.auditor_epoch;
        if same_epoch && self.terms.auditor_key != terms.auditor_key {
            return Err(Error::OtherAuditor);
        }
        Ok(())
    }

    /// Makes new devices escrow their secrets to the auditor's key of a later epoch.
    fn go_on_to(mut self, terms: &Terms) -> Result<Self, Error> {
        if terms.auditor_epoch > self.terms.auditor_epoch {
            let update = "UPDATE terms SET auditor_key = ?1, auditor_epoch = ?2";
            self.connection
                .execute(update, (terms.auditor_key, terms.auditor_epoch))
                .map_err(|e| self.failed(e))?;
            self.terms = *terms;
        }
        Ok(self)
    }

    /// Checks that the file was made for this chain.
    pub fn expect_chain(&self, genesis: &[u8; 32]) -> Result<(), Error> {
        Book::expect_chain(self, genesis)
    }

    /// Checks that the file holds this device.
    pub fn expect_device(&self, key: &PublicKey) -> Result<(), Error> {
        let found = "SELECT EXISTS (SELECT 1 FROM device WHERE key = ?1)";
        match self.connection.query_row(found, [key.0], |row| row.get(0)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::OtherDevice(*key)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// SQLite's structure and indices.
    fn check_structure(&self) -> Result<(), Error> {
        let structure: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|e| self.failed(e))?;
        match structure == "ok" {
            true => Ok(()),
            false => Err(self.damaged("SQLite finds its structure damaged")),
        }
    }

    fn with(connection: Connection, path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (terms, salt) = connection
            .query_row(
                "SELECT chain, study, auditor_key, auditor_epoch, salt FROM terms",
                [],
                |row| {
                    let terms = Terms {
                        chain: row.get(0)?,
                        study: StudyId(row.get(1)?),
                        auditor_key: row.get(2)?,
                        auditor_epoch: row.get(3)?,
                    };
                    Ok((terms, row.get(4)?))
                },
            )
            .map_err(|e| match e {
                rusqlite::Error::QueryReturnedNoRows => Error::Corrupt {
                    path: named(&path),
                    what: "it does not say its chain".into(),
                },
                other => failed(&path, other),
            })?;
        let known = known(&connection, &path, terms.chain)?;
        let checkpoints = checkpoints(&connection).map_err(|error| failed(&path, error))?;
        let store = Self {
            connection,
            path,
            terms,
            salt,
            clock,
            known,
            checkpoints,
        };
        store.check_structure()?;
        audit(&store)?;
        store.erase_spent_keys()?;
        Ok(store)
    }
}

/// Makes an empty file that only its owner can read, and makes its name durable.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.sync_all()?;
    sync_name(path)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failed(path, e))?;
    let patience = std::time::Duration::from_millis(PATIENCE.into());
    connection
        .busy_timeout(patience)
        .map_err(|e| failed(path, e))?;
    Ok(connection)
}

/// A file of another kind than a state file, made if need be, with the same settings.
pub(crate) fn connect_private(path: &Path) -> Result<Connection, Error> {
    match create_private(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(unreadable(path, error))
        }
        _ => {}
    }
    let connection = connect(path)?;
    prepare(&connection, path)?;
    Ok(connection)
}

fn check_kind(connection: &Connection, path: &Path) -> Result<(), Error> {
    let application = number(connection, path, "application_id")?;
    if application != schema::APPLICATION_ID {
        let tables = connection
            .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(|e| failed(path, e))?;
        return Err(match (application, tables) {
            (0, 0) => Error::Unfinished(named(path)),
            _ => Error::NotOurs(named(path)),
        });
    }
    let found = number(connection, path, "user_version")?;
    if found > schema::VERSION {
        return Err(Error::Newer {
            path: named(path),
            found,
            known: schema::VERSION,
        });
    }
    if found < schema::VERSION {
        return Err(Error::Corrupt {
            path: named(path),
            what: format!("its version is {found}, which no release of this program had"),
        });
    }
    Ok(())
}

/// Settings that do not stay in the file, and the one that does.
fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let set = |name, value: &dyn rusqlite::ToSql| {
        connection
            .pragma_update(None, name, value)
            .map_err(|e| failed(path, e))
    };
    set("journal_mode", &"WAL")?;
    set("synchronous", &"FULL")?;
    set("secure_delete", &"ON")?;
    set("foreign_keys", &"ON")?;
    // Temporary tables would otherwise be able to leave secrets in other files.
    set("temp_store", &"MEMORY")
}

/// What the devices of the file have learned of the chain.
fn known(connection: &Connection, path: &Path, genesis: [u8; 32]) -> Result<Learned, Error> {
    let corrupt = || Error::Corrupt {
        path: named(path),
        what: "what it knows of the chain's authorities cannot be read".into(),
    };
    let anchor: Option<Vec<u8>> = connection
        .query_row("SELECT known FROM anchor", [], |row| row.get(0))
        .optional()
        .map_err(|e| failed(path, e))?;
    let anchor = anchor
        .map(|known| mhealth_evidence::decode_exactly::<Anchor>(&known).map_err(|_| corrupt()))
        .transpose()?;
    if anchor.as_ref().is_some_and(|it| it.genesis() != genesis) {
        return Err(corrupt());
    }
    let seen = connection
        .prepare("SELECT chain_id, seen FROM device WHERE chain_id IS NOT NULL AND seen > 0")
        .and_then(|mut seen| {
            seen.query_map([], |row| Ok((DeviceId(row.get(0)?), row.get(1)?)))?
                .collect()
        })
        .map_err(|e| failed(path, e))?;
    Ok(Learned::new(genesis, anchor, seen))
}

fn fill<R: CryptoRng + RngCore>(
    connection: &Connection,
    path: &Path,
    terms: &Terms,
    rng: &mut R,
) -> Result<(), Error> {
    prepare(connection, path)?;
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let fill = || -> rusqlite::Result<()> {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(schema::TABLES)?;
        transaction.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", schema::VERSION)?;
        transaction.execute(
            "INSERT INTO terms (only_one, chain, study, auditor_key, auditor_epoch, salt) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
            (terms.chain, terms.study.0, terms.auditor_key, terms.auditor_epoch, salt),
        )?;
        transaction.commit()
    };
    fill().map_err(|e| failed(path, e))
}

fn number(connection: &Connection, path: &Path, pragma: &str) -> Result<i64, Error> {
    connection
        .pragma_query_value(None, pragma, |row| row.get(0))
        .map_err(|e| failed(path, e))
}

/// What the system said, as an error of ours.
pub(crate) fn unreadable(path: &Path, reason: impl ToString) -> Error {
    Error::Unreadable {
        path: named(path),
        reason: reason.to_string(),
    }
}

/// The file, in messages.
fn named(path: &Path) -> String {
    path.display().to_string()
}

/// What SQLite said, as an error of ours.
pub(crate) fn failed(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ffi::ErrorCode;
    let path = named(path);
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt {
            path,
            what: "SQLite cannot read it".into(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::InUse(path),
        Some(ErrorCode::DiskFull) => Error::DiskFull(path),
        Some(ErrorCode::ConstraintViolation) => Error::Corrupt {
            path,
            what: "what was to be written contradicts it".into(),
        },
        Some(_) => Error::Unreadable {
            path,
            reason: error.to_string(),
        },
        // Not SQLite but a value of another type or length than was written.
        None => Error::Corrupt {
            path,
            what: "a value has the wrong shape".into(),
        },
    }
}
