// SPDX-License-Identifier: Apache-2.0

//! The device's durable state: one SQLite file, written ahead, synced at every commit.
//!
//! What a seal writes — the entry with its envelope, the next ratchet key, the new head — is one transaction, and
//! nothing is sent before it is durable. So a device that is killed at any point comes back with all of an entry
//! or nothing of it, and a retry sends the bytes that were stored.
//!
//! **The spent key.** `K_(i-1)` is overwritten by `K_i` in that transaction. SQLite would still hold the old page
//! in its write-ahead log, so the log is folded into the file and truncated after every seal, before the caller
//! gets the entry; `secure_delete` zeroes what is freed. What the storage hardware keeps of overwritten blocks is
//! beyond a file format: a phone app puts the file where the platform encrypts it.
//!
//! A phone's file holds one device, that of a simulated cohort one a participant; all of one chain and one study.

mod beliefs;
mod book;
mod deliveries;
mod enrolments;
mod entries;
mod open;
mod records;
mod schema;

pub(crate) use open::{connect_private, failed, unreadable};

use std::{path::PathBuf, sync::Arc};

use mhealth_device::{chain::Learned, host::Clock, Error, Participant};
use mhealth_evidence::Checkpoint;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use time::OffsetDateTime;

pub use enrolments::ServerAddresses;
pub use mhealth_device::{
    book::{
        Book, DeviceRecord, EnrolmentCode, FreezeReason, LocalId, Predecessor, QueuedRun, Terms,
        Totals,
    },
    Change, Sealed,
};

/// An open state file.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    terms: Terms,
    /// Makes pseudonyms of this file, see [`Store::pseudonym`].
    salt: [u8; 32],
    clock: Arc<dyn Clock>,
    /// What was proved of the chain, shared with those who check proofs.
    known: Learned,
    /// Blocks that are trusted, over which proofs may lead without signatures.
    checkpoints: Arc<[Checkpoint]>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("terms", &self.terms)
            .finish()
    }
}

impl Store {
    /// What new devices of this file are enrolled under.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A pseudonym for somebody whom the source of the data knows by `id`: the same for the same file, another in
    /// every other file, and not to be traced back without this file.
    pub fn pseudonym(&self, id: &str) -> Participant {
        use hashchain::Sha256;
        let parts: [&[u8]; 3] = [b"mhealth-device/pseudonym", &self.salt, id.as_bytes()];
        let digest = hashchain::Native::sha256_of_parts(&parts);
        Participant(format!("P-{}", hex::encode(&digest[..8])))
    }

    /// The pseudonym that was noted for names of this likeness, see [`note_likeness`](Self::note_likeness).
    pub fn noted_likeness(&self, likeness: &str) -> Result<Option<Participant>, Error> {
        self.connection
            .prepare_cached("SELECT participant FROM likeness WHERE likeness = ?1")
            .and_then(|mut find| {
                find.query_row([self.pseudonym(likeness).0], |row| row.get(0))
                    .optional()
            })
            .map(|participant| participant.map(Participant))
            .map_err(|e| self.failed(e))
    }

    /// Notes who is known by a name of this likeness, so that another spelling of it is noticed. The first one counts.
    pub fn note_likeness(&self, likeness: &str, participant: &Participant) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO likeness (likeness, participant) VALUES (?1, ?2)",
            )
            .and_then(|mut note| note.execute((self.pseudonym(likeness).0, &participant.0)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The time, by the device's clock.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Several seals in one transaction, all or none of them durable: what a simulator does to seal a hundred
    /// thousand nights in minutes. A phone seals one entry at a time.
    pub fn group(&self) -> Result<Group<'_>, Error> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        Ok(Group {
            store: self,
            transaction: transaction.map_err(|e| self.failed(e))?,
        })
    }

    /// Several writes in one transaction, for what is synced to disk more often than it need be otherwise. Nothing that
    /// spends a key belongs here, see [`group`](Self::group).
    fn together<T, E: From<Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if !self.connection.is_autocommit() {
            return work();
        }
        let begun = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        let transaction = begun.map_err(|e| self.failed(e))?;
        let done = work()?;
        transaction.commit().map_err(|e| self.failed(e))?;
        Ok(done)
    }

    /// Folds the write-ahead log into the file and truncates it, so that no spent key is left in it. When another
    /// program is reading at the moment this does nothing; the next seal, or the next start, does it then.
    pub fn erase_spent_keys(&self) -> Result<(), Error> {
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        match self
            .connection
            .query_row(truncate, [], |row| row.get::<_, i64>(0))
        {
            Ok(0) => Ok(()),
            Ok(_) => {
                tracing::debug!(
                    "another program reads the state file; spent keys are erased later"
                );
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// What SQLite said, as an error of ours.
    fn failed(&self, error: rusqlite::Error) -> Error {
        open::failed(&self.path, error)
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::Corrupt {
            path: self.path.display().to_string(),
            what: what.into(),
        }
    }
}

/// Seals that become durable together, see [`Store::group`]. Dropped without [`commit`](Self::commit), none does.
pub struct Group<'s> {
    store: &'s Store,
    transaction: Transaction<'s>,
}

impl Group<'_> {
    /// Makes the seals of this group durable and erases the keys that they spent. When these cannot be erased at the moment, the
    /// next seal does it, or the next start.
    pub fn commit(self) -> Result<(), Error> {
        let store = self.store;
        self.transaction.commit().map_err(|e| store.failed(e))?;
        // What is durable must not be taken for a failure: whoever is told of one seals again.
        if let Err(error) = store.erase_spent_keys() {
            tracing::warn!(%error, "spent keys are erased later");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hashchain::{OpeningKey, StudyId};
    use mhealth_device::{Recipient, Record};
    use rand::{rngs::StdRng, SeedableRng};

    use super::*;
    use crate::SystemClock;

    #[test]
    fn a_seal_is_done_when_it_is_durable_though_its_spent_key_is_erased_later() {
        let terms = Terms {
            chain: [1; 32],
            study: StudyId(0),
            auditor_key: OpeningKey::from_bytes(&[7; 32]).sealing_key().0,
            auditor_epoch: 0,
        };
        let mut rng = StdRng::seed_from_u64(1);
        let store = Store::in_memory(&terms, Arc::new(SystemClock), &mut rng).expect("a store");
        let participant = Participant("P-1".into());
        let id = store
            .add_device(&participant, None, &mut rng)
            .expect("made");
        // SQLite folds no log into a file that this connection reads.
        let mut reading = store.connection.prepare("SELECT id FROM device");
        let reading = reading.as_mut().expect("prepared");
        let mut rows = reading.query([]).expect("asked");
        rows.next().expect("read");
        store.erase_spent_keys().expect_err("not now");
        let group = store.group().expect("begun");
        let record = Record {
            source: "monday",
            media_type: "text/plain",
            payload: b"431",
        };
        let sealed = group.seal(id, &record, Recipient::Anybody, &mut rng);
        assert!(matches!(sealed, Ok(Sealed::New(_))));
        group.commit().expect("it is durable");
        drop(rows);
        assert_eq!(store.device(id).expect("read").length, 1);
    }
}
