// SPDX-License-Identifier: Apache-2.0

//! A leader whose database falls silent.

use mhealth_testing::postgres::Postgres;
use mhealth_testing::silence::Silenced;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_database_falls_silent_begins_anew() {
    let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url = server.new_database().unwrap();
    let scratch = Scratch::at(url, tempfile::tempdir().unwrap()).await;
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.swallow(true);
    // Less than a lock is waited for.
    let store = scratch.other().await.with_patience(Duration::from_secs(5));
    let process = Process::start(store, &chain, scratch.clock.clone());
    until(|| async { !chain.handed().is_empty() }).await;
    // It prolongs its lease, and before that is done nothing answers any more.
    let mut holder = scratch.store.database().begin().await.unwrap();
    sqlx::query("UPDATE lease SET holder = holder WHERE id = 1")
        .execute(&mut *holder)
        .await
        .unwrap();
    let silenced = Silenced::where_it_waits(&server, "test_0").unwrap();
    holder.rollback().await.unwrap();
    until(|| async { process.gauge("mhealth_relay_leading") == 0 }).await;
    drop(silenced);
    chain.swallow(false);
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!((chain.submissions(run), chain.distinct()), (1, 1));
    process.stop().await;
}
