// SPDX-License-Identifier: Apache-2.0

//! A PostgreSQL that falls silent, and whoever leaves while it is asked.

use std::time::{Duration, Instant};

use futures::poll;
use mhealth_api::Code;
use mhealth_server::{ApiError, Database, DatabaseUrl};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::silence::Silenced;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Less than a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until then everybody has to be told something.
const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);
const NAME: &str = "test_0";

type Work = JoinHandle<Result<(), sqlx::Error>>;

/// A database with one connection, on which nobody waits for long, and another process's.
async fn site() -> (Postgres, Database, Database) {
    let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url: DatabaseUrl = server.new_database().unwrap().parse().unwrap();
    let database = Database::open_with(&url, 1).await.unwrap();
    database.migrate(&[]).await.unwrap();
    let other = Database::open_with(&url, 1).await.unwrap();
    (server, database.with_patience(PATIENCE), other)
}

async fn write(database: &Database, what: String) -> Result<(), sqlx::Error> {
    let statement = "INSERT INTO identity (what, value) VALUES ($1, 'x')";
    let written = sqlx::query(statement).bind(what).execute(database.pool());
    written.await.map(drop)
}

async fn write_within(database: &Database, what: String) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let statement = "INSERT INTO identity (what, value) VALUES ($1, 'x')";
    let written = sqlx::query(statement).bind(what);
    written.execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn read(database: &Database) -> Result<(), sqlx::Error> {
    let read = sqlx::query("SELECT what FROM identity");
    read.fetch_all(database.pool()).await.map(drop)
}

/// What somebody is told whose work waits for a lock, before it has which nothing answers any more.
async fn silenced(server: &Postgres, other: &Database, work: impl FnOnce() -> Work) -> Silenced {
    let mut holder = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE identity IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let working = work();
    let silenced = Silenced::in_statement(server, NAME, "identity").unwrap();
    holder.rollback().await.unwrap();
    let told = timeout(LONG, working).await;
    let told = told.expect("whoever works is told something").unwrap();
    let told = ApiError::from(told.unwrap_err());
    let code = told.problem().known_code();
    assert_eq!(code, Some(Code::StorageUnavailable), "{told:?}");
    silenced
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_database_that_falls_silent_and_its_connection_is_not_used_again() {
    let (server, database, other) = site().await;
    let works: [fn(Database) -> Work; 3] = [
        |database| tokio::spawn(async move { read(&database).await }),
        |database| tokio::spawn(async move { write(&database, "one".into()).await }),
        |database| tokio::spawn(async move { write_within(&database, "two".into()).await }),
    ];
    for work in works {
        let silenced = silenced(&server, &other, || work(database.clone())).await;
        // There is one place, and it is free again while that connection is as it was.
        timeout(PATIENCE, read(&database)).await.unwrap().unwrap();
        // When it goes on, nobody is there any more.
        let alive = format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = {}",
            silenced.process()
        );
        drop(silenced);
        let deadline = Instant::now() + LONG;
        while server.query(NAME, &alive).unwrap() != "0" {
            assert!(Instant::now() < deadline, "it is still used");
            tokio::time::sleep(PAUSE).await;
        }
    }
    // What nobody committed is not there.
    let written = "SELECT COUNT(*) FROM identity WHERE what = 'two'";
    assert_eq!(server.query(NAME, written).unwrap(), "0");
    write_within(&database, "two".into()).await.unwrap();
    assert_eq!(server.query(NAME, written).unwrap(), "1");
}

#[tokio::test]
async fn nothing_is_written_into_a_transaction_that_somebody_began_and_left() {
    let (server, database, _) = site().await;
    let rounds = 200;
    for round in 0..rounds {
        // Somebody leaves while a transaction begins, each time a little later.
        let leaves = Instant::now() + Duration::from_micros(round * 10);
        let mut begun = Box::pin(database.begin());
        while Instant::now() < leaves && poll!(begun.as_mut()).is_pending() {
            tokio::task::yield_now().await;
        }
        drop(begun);
        write(&database, format!("round {round}")).await.unwrap();
    }
    let written = server.query(
        NAME,
        "SELECT COUNT(*) FROM identity WHERE what LIKE 'round %'",
    );
    assert_eq!(written.unwrap(), rounds.to_string());
}
