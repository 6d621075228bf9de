// SPDX-License-Identifier: Apache-2.0

//! Files of a database: nobody but their owner can read them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mhealth_server::{Database, SecretText, ServerOptions};

/// Names and modes of the files in a folder.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        (file.file_name().into_string().unwrap(), mode)
    });
    let mut modes: Vec<_> = files.collect();
    modes.sort();
    modes
}

async fn opened(folder: &Path) -> Database {
    let url = format!("sqlite:{}", folder.join("a.db").display());
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    database.migrate(&[]).await.unwrap();
    database
}

#[tokio::test]
async fn a_database_and_its_log_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path()).await;
    let expected = ["a.db", "a.db-shm", "a.db-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(modes(folder.path()), expected);
    drop(database);
}

#[tokio::test]
async fn a_database_that_others_could_read_is_taken_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path()).await;
    // As after a crash: the log is still there.
    for (name, _) in modes(folder.path()) {
        let file = folder.path().join(name);
        std::fs::set_permissions(file, Permissions::from_mode(0o664)).unwrap();
    }
    let again = opened(folder.path()).await;
    assert!(modes(folder.path()).iter().all(|(_, mode)| *mode == 0o600));
    for database in [database, again] {
        database.close().await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_to_be_made_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rw", folder.path().join("a.db").display());
    assert!(Database::open(&url.parse().unwrap()).await.is_err());
    assert_eq!(modes(folder.path()), []);
    let url = format!("sqlite:{}", folder.path().join("none/a.db").display());
    let error = Database::open(&url.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("(database_not_made)"), "{error}");
}

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

#[test]
fn the_address_of_a_database_is_read_from_a_file_that_its_owner_alone_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("database");
    std::fs::write(&file, "postgres://a:hunter2@127.0.0.1/d\n").unwrap();
    let option = format!("--database-url-file={}", file.display());
    let options: Options = mhealth_server::read_options_from(["test", &option]).unwrap();
    let url = || options.server.database_url();
    let error = url().unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(url().unwrap().to_string(), "postgres://127.0.0.1/d");
    std::fs::write(&file, "hunter2").unwrap();
    let error = url().unwrap_err().to_string();
    assert!(error.contains("(invalid_option)"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let both = ["test", &option, "--database=sqlite:a.db"];
    assert!(mhealth_server::read_options_from::<Options>(both).is_err());
    assert!(SecretText::from_file(&folder.path().join("none")).is_err());
}
