// SPDX-License-Identifier: Apache-2.0

//! What a client is told when others keep PostgreSQL busy.

use mhealth_api::Code;
use mhealth_server::{ApiError, Database};
use mhealth_testing::postgres::Postgres;

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_told_as_passing() {
    let postgres = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url = postgres.new_database().unwrap().parse().unwrap();
    let database = Database::open(&url).await.unwrap();
    let statement = |sql| sqlx::query(sql);
    statement("CREATE TABLE notes (note TEXT)")
        .execute(database.pool())
        .await
        .unwrap();
    let mut holder = database.begin().await.unwrap();
    statement("LOCK TABLE notes")
        .execute(&mut *holder)
        .await
        .unwrap();

    let mut waiting = database.begin().await.unwrap();
    statement("SET LOCAL lock_timeout = '20ms'")
        .execute(&mut *waiting)
        .await
        .unwrap();
    let error = statement("INSERT INTO notes VALUES ('1')")
        .execute(&mut *waiting)
        .await
        .unwrap_err();

    assert_eq!(
        ApiError::from(error),
        ApiError::from(Code::StorageUnavailable)
    );
}
