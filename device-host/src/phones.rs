// SPDX-License-Identifier: Apache-2.0

//! Phones of the core in one SQLite file, each under a prefix of its own.
//!
//! A phone reads its state before it writes the next, so one at a time has it: of two that seal, both would make the same entry with the
//! same key, and one of the two would be gone. One program at a time has the file, by a lock on a file beside it, and in that program one
//! at a time has each part.

use std::{
    collections::BTreeSet,
    fs::{canonicalize, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mhealth_device::{
    host::{PhoneStore, StoreFault, Stored, Write},
    Error,
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::store::{connect_private, failed, unreadable};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS phone (
    key    BLOB PRIMARY KEY NOT NULL,
    value  BLOB NOT NULL
) STRICT, WITHOUT ROWID";

/// A file of phones, readable for its owner only, synced at every list of writes. It is this program's until the last of its clones and
/// parts is dropped, or the program ends, however that comes about.
#[derive(Clone)]
pub struct PhoneFile(Arc<Opened>);

struct Opened {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Prefixes of the parts that somebody has.
    given_out: Mutex<BTreeSet<[u8; 8]>>,
    /// Dropped last, when nobody can write any more.
    _lock: Lock,
}

/// One phone's part of a [`PhoneFile`], until it is dropped.
pub struct PhonePart {
    file: PhoneFile,
    prefix: [u8; 8],
}

impl PhoneFile {
    /// Opens the file, or makes it. Another program may have it, or this one: `state_in_use`.
    pub fn open_or_create(path: &Path) -> Result<Self, Error> {
        let connection = connect_private(path)?;
        let lock = Lock::take(path)?;
        let made = connection.execute(TABLE, []);
        made.map_err(|error| failed(path, error))?;
        Ok(Self(Arc::new(Opened {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            given_out: Mutex::default(),
            _lock: lock,
        })))
    }

    /// The part of the phone of this number. Somebody may have it: `state_in_use`.
    pub fn phone(&self, number: u64) -> Result<PhonePart, Error> {
        let prefix = number.to_be_bytes();
        match self.given_out().insert(prefix) {
            true => Ok(PhonePart {
                file: self.clone(),
                prefix,
            }),
            false => Err(in_use(&self.0.path)),
        }
    }

    fn given_out(&self) -> MutexGuard<'_, BTreeSet<[u8; 8]>> {
        let given_out = self.0.given_out.lock();
        given_out.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PhonePart {
    fn drop(&mut self) {
        self.file.given_out().remove(&self.prefix);
    }
}

/// That a file of phones is this program's. It lies on a file of its own, which stays and has nothing in it: SQLite locks the file of
/// phones itself for a moment only, and in its own way.
struct Lock(File);

impl Lock {
    fn take(path: &Path) -> Result<Self, Error> {
        // Whoever comes by a link has the same file.
        let file = canonicalize(path).map_err(|error| unreadable(path, error))?;
        let mut beside = file.into_os_string();
        beside.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.open(PathBuf::from(beside));
        let lock = opened.map_err(|error| unreadable(path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self(lock)),
            Err(TryLockError::WouldBlock) => Err(in_use(path)),
            Err(TryLockError::Error(error)) => Err(unreadable(path, error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is being started may have the file open for a moment more. If this fails, that ends it.
        let _ = self.0.unlock();
    }
}

fn in_use(path: &Path) -> Error {
    Error::InUse(path.display().to_string())
}

impl PhonePart {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.file.0.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix[..], key].concat()
    }

    fn write(&self, connection: &Connection, writes: &[Write]) -> rusqlite::Result<()> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        for write in writes {
            match write {
                Write::Put { key, value } => transaction
                    .prepare_cached(
                        "INSERT INTO phone (key, value) VALUES (?1, ?2) \
                         ON CONFLICT (key) DO UPDATE SET value = ?2",
                    )?
                    .execute((self.key(key), value))?,
                Write::Delete { key } => transaction
                    .prepare_cached("DELETE FROM phone WHERE key = ?1")?
                    .execute([self.key(key)])?,
            };
        }
        transaction.commit()?;
        // What was overwritten would stay in the log. It is durable all the same, and the next list of writes tries again.
        let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            tracing::warn!(%error, "what was overwritten is erased later");
        }
        Ok(())
    }

    fn failed(&self, error: rusqlite::Error) -> StoreFault {
        match failed(&self.file.0.path, error) {
            Error::DiskFull(_) => StoreFault::Full,
            Error::InUse(_) => StoreFault::InUse,
            Error::Corrupt { what, .. } => StoreFault::Damaged(what),
            other => StoreFault::unusable(other),
        }
    }
}

impl PhoneStore for PhonePart {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.connection()
            .prepare_cached("SELECT value FROM phone WHERE key = ?1")
            .and_then(|mut get| get.query_row([self.key(key)], |row| row.get(0)).optional())
            .map_err(|error| self.failed(error))
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let own = self.prefix.len();
        self.connection()
            .prepare_cached(
                "SELECT key, value FROM phone WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
            )
            .and_then(|mut scan| {
                let range = (self.key(from), self.key(until), most);
                scan.query_map(range, |row| {
                    let key: Vec<u8> = row.get(0)?;
                    Ok((key[own..].to_vec(), row.get(1)?))
                })?
                .collect()
            })
            .map_err(|error| self.failed(error))
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        self.write(&self.connection(), writes)
            .map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_was_written_though_what_it_overwrote_is_erased_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = PhoneFile::open_or_create(&folder.path().join("phones.db")).expect("a file");
        let part = file.phone(7).expect("nobody has it");
        let put = |value: &[u8]| Write::Put {
            key: b"k".to_vec(),
            value: value.to_vec(),
        };
        part.apply(&[put(b"before")]).expect("written");
        {
            let connection = part.connection();
            // SQLite folds no log into a file that this connection reads.
            let mut reading = connection.prepare("SELECT value FROM phone");
            let reading = reading.as_mut().expect("prepared");
            let mut rows = reading.query([]).expect("asked");
            rows.next().expect("read");
            let written = part.write(&connection, &[put(b"after")]);
            written.expect("it is durable");
        }
        assert_eq!(part.get(b"k"), Ok(Some(b"after".to_vec())));
    }
}
