// SPDX-License-Identifier: Apache-2.0

//! Uploads hold every connection of the database, and what staff and probes ask for passes, on both databases.

use std::sync::Arc;
use std::time::Duration;

use crate::support::options;
use axum::extract::State;
use mhealth_server::{ApiError, CancellationToken, Database, Json, Server};
use mhealth_testing::databases::Kind;
use mhealth_testing::postgres::Postgres;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Uploads that are under way at a time: more than there are connections.
const UPLOADS: usize = 40;
/// A query that waits for a connection gives up after ten seconds.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What the routes work with.
#[derive(Clone)]
struct Shared {
    database: Database,
    /// A permit for each upload that has a connection.
    holding: Arc<Semaphore>,
    /// A permit for each that may end.
    ending: Arc<Semaphore>,
}

/// Takes a connection and keeps it until the test says so.
#[utoipa::path(post, path = "/v1/uploads", responses((status = 200, body = u32)))]
async fn upload(State(shared): State<Shared>) -> Result<Json<u32>, ApiError> {
    let mut connection = shared.database.pool().unbounded().acquire().await?;
    sqlx::query("SELECT 1").execute(&mut *connection).await?;
    shared.holding.add_permits(1);
    let ended = shared.ending.acquire().await;
    ended.expect("nobody closes it; qed").forget();
    Ok(Json(1))
}

/// Writes down that a device is suspended.
#[utoipa::path(post, path = "/v1/admin/suspend", responses((status = 200, body = u32)))]
async fn suspend(State(shared): State<Shared>) -> Result<Json<u32>, ApiError> {
    let mut transaction = shared.database.begin().await?;
    sqlx::query("INSERT INTO identity (what, value) VALUES ('suspended', 'device 12')")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Json(1))
}

async fn uploads_do_not_keep_staff_waiting(kind: Kind) {
    mhealth_server::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let postgres = (kind == Kind::Postgres).then(|| Postgres::start().unwrap());
    let url = match &postgres {
        Some(postgres) => postgres.new_database().unwrap(),
        None => format!("sqlite:{}", folder.path().join("a.db").display()),
    };
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    database.migrate(&[]).await.unwrap();
    let shared = Shared {
        database: database.clone(),
        holding: Arc::new(Semaphore::new(0)),
        ending: Arc::new(Semaphore::new(0)),
    };
    let routes = OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(suspend))
        .with_state(shared.clone());
    let bound = options(&[]).bind().await.unwrap();
    let stop = CancellationToken::new();
    let checked = database.clone();
    let server = Server::new("test", "A server for tests.", bound)
        .routes(routes)
        .staff(&["/v1/admin/"])
        .ready(move || {
            let database = checked.clone();
            async move { database.check().await }
        })
        .database(database);
    let base_url = server.base_url();
    let serving = tokio::spawn(server.serve(stop.clone()));

    let client = reqwest::Client::new();
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|_| tokio::spawn(client.post(format!("{base_url}/v1/uploads")).send()))
        .collect();
    // They take every connection that there is for everybody.
    let pool = shared.database.pool().unbounded();
    let most = pool.options().get_max_connections();
    let held = most as usize;
    assert!(held < UPLOADS);
    let all = shared.holding.acquire_many(most);
    let all = timeout(AT_ONCE, all).await.expect("they hold them all");
    drop(all.unwrap());
    assert!(pool.try_acquire().is_none());

    let suspended = client.post(format!("{base_url}/v1/admin/suspend")).send();
    let suspended = timeout(AT_ONCE, suspended).await;
    let suspended = suspended.expect("staff do not wait").unwrap();
    assert_eq!(
        suspended.status(),
        200,
        "{}",
        suspended.text().await.unwrap()
    );
    let ready = client.get(format!("{base_url}/readyz")).send();
    let ready = timeout(AT_ONCE, ready).await.expect("probes do not wait");
    assert_eq!(ready.unwrap().status(), 200);
    // None of the uploads has ended meanwhile, and none has got a connection that was kept back.
    assert_eq!(shared.holding.available_permits(), held);

    shared.ending.add_permits(UPLOADS);
    for upload in uploads {
        assert_eq!(upload.await.unwrap().unwrap().status(), 200);
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn uploads_do_not_keep_staff_waiting_on_sqlite() {
    uploads_do_not_keep_staff_waiting(Kind::Sqlite).await;
}

#[tokio::test]
async fn uploads_do_not_keep_staff_waiting_on_postgresql() {
    uploads_do_not_keep_staff_waiting(Kind::Postgres).await;
}
