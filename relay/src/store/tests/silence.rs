// SPDX-License-Identifier: Apache-2.0

//! What a route reads from a database that falls silent.

use mhealth_api::Code;
use mhealth_server::ApiError;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::silence::Silenced;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_where_a_run_stands_does_not_wait_for_a_database_that_falls_silent() {
    let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url = server.new_database().unwrap();
    let scratch = Scratch::at(url, tempfile::tempdir().unwrap()).await;
    // Less than a lock is waited for.
    let store = scratch.other().await.with_patience(Duration::from_secs(5));
    let mut holder = scratch.store.database().begin().await.unwrap();
    sqlx::query("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let reader = store.clone();
    let reading = tokio::spawn(async move { reader.status(&Hash([1; 32])).await });
    let silenced = Silenced::in_statement(&server, "test_0", "FROM runs WHERE run =").unwrap();
    holder.rollback().await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), reading).await;
    let told = told.expect("whoever asks is told something").unwrap();
    let told = ApiError::from(told.unwrap_err());
    let code = told.problem().known_code();
    assert_eq!(code, Some(Code::StorageUnavailable), "{told:?}");
    assert_eq!(store.status(&Hash([1; 32])).await.unwrap(), None);
    drop(silenced);
}
