// SPDX-License-Identifier: Apache-2.0

//! A copy is put in place to the end, and alone, or no server starts on it.

use std::path::{Path, PathBuf};

use mhealth_server::backup::{backup, restore, CopyKind};
use mhealth_server::{identity, Database, DatabaseUrl, StoreError};
use mhealth_testing::databases::Kind;
use mhealth_testing::on_both_databases;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::servers::sqlite_in;
use tempfile::TempDir;

on_both_databases! {
    a_copy_of_which_nothing_was_taken_back_is_not_started_on
}

/// Where databases and copies are.
struct Shelf {
    folder: TempDir,
    postgres: Option<Postgres>,
}

impl Shelf {
    fn of(kind: Kind) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            postgres: (kind == Kind::Postgres).then(|| Postgres::start().unwrap()),
        }
    }

    fn new_database(&self, name: &str) -> DatabaseUrl {
        let url = match &self.postgres {
            Some(postgres) => postgres.new_database().unwrap(),
            None => sqlite_in(self.folder.path(), name),
        };
        url.parse().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Opens a database, as every server does when it starts.
async fn start(url: &DatabaseUrl) -> Result<Database, StoreError> {
    let database = Database::open(url).await.unwrap();
    database.migrate(&[]).await.unwrap();
    identity::claim(&database, &[("chain", "0x01".to_owned())]).await?;
    Ok(database)
}

/// Puts a copy in place of which nothing has to be taken back.
async fn put_back(url: &DatabaseUrl, copy: &Path) -> anyhow::Result<Option<u64>> {
    restore(url, copy, CopyKind::Backup, async |_, _, _| Ok(())).await
}

async fn a_copy_of_which_nothing_was_taken_back_is_not_started_on(kind: Kind) {
    let shelf = Shelf::of(kind);
    let (url, copy) = (shelf.new_database("one.db"), shelf.file("copy"));
    start(&url).await.unwrap().close().await;
    backup(&url, &copy).await.unwrap();
    // Between the copy and what is taken back of it, the power goes, or the connection.
    let half = shelf.new_database("half.db");
    let interrupted = restore(&half, &copy, CopyKind::Backup, async |_, _, _| {
        Err(StoreError::Corrupt("something"))
    });
    interrupted.await.unwrap_err();
    match half.file() {
        Some(file) => assert!(!file.exists()),
        None => {
            let error = start(&half).await.unwrap_err().to_string();
            assert!(error.contains("(restore_interrupted)"), "{error}");
            let error = put_back(&half, &copy).await.unwrap_err().to_string();
            assert!(error.contains("(database_exists)"), "{error}");
        }
    }
    let whole = shelf.new_database("whole.db");
    put_back(&whole, &copy).await.unwrap();
    start(&whole).await.unwrap().close().await;
}

#[tokio::test]
async fn a_copy_that_is_damaged_keeps_no_other_from_its_place() {
    let shelf = Shelf::of(Kind::Postgres);
    let (url, copy) = (shelf.new_database("one"), shelf.file("copy"));
    start(&url).await.unwrap().close().await;
    backup(&url, &copy).await.unwrap();
    let (cut, bytes) = (shelf.file("cut"), std::fs::read(&copy).unwrap());
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let place = shelf.new_database("place");
    put_back(&place, &cut).await.unwrap_err();
    put_back(&place, &copy).await.unwrap();
    start(&place).await.unwrap().close().await;
}

#[tokio::test]
async fn what_a_lost_database_left_does_not_get_into_a_copy() {
    let shelf = Shelf::of(Kind::Sqlite);
    let (url, copy) = (shelf.new_database("one.db"), shelf.file("copy"));
    let database = start(&url).await.unwrap();
    backup(&url, &copy).await.unwrap();
    // Committed since, and in the log alone when the power goes.
    let since = [("study", "7".to_owned())];
    identity::claim(&database, &since).await.unwrap();
    let log = std::fs::read(shelf.file("one.db-wal")).unwrap();
    assert!(!log.is_empty());
    database.close().await;

    let place = shelf.new_database("place.db");
    for end in ["-wal", "-shm", "-journal"] {
        let left = shelf.file(&format!("place.db{end}"));
        std::fs::write(&left, &log).unwrap();
        let error = put_back(&place, &copy).await.unwrap_err().to_string();
        assert!(error.contains("(database_left_over)"), "{error}");
        assert!(error.contains(&left.display().to_string()), "{error}");
        assert!(!shelf.file("place.db").exists());
        assert_eq!(std::fs::read(&left).unwrap(), log);
        std::fs::remove_file(&left).unwrap();
    }
    put_back(&place, &copy).await.unwrap();
    let restored = start(&place).await.unwrap();
    assert_eq!(identity::claimed(&restored, "study").await.unwrap(), None);
    restored.close().await;

    // Nor is a copy made beside a log: it would be taken for the copy's.
    let second = shelf.file("second");
    std::fs::write(shelf.file("second-wal"), &log).unwrap();
    let error = backup(&place, &second).await.unwrap_err().to_string();
    assert!(error.contains("(file_exists)"), "{error}");
    assert!(!second.exists());
}
