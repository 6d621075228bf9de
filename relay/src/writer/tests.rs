// SPDX-License-Identifier: Apache-2.0

//! A writer whose database falls silent.

use mhealth_server::{Database, ManualClock};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::silence::Silenced;
use prometheus::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::store::tests::{candidate, quotas};
use crate::testing::TestDevice;

/// Less than a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until then everybody has to be told something.
const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

type Upload = JoinHandle<Result<Decision, ApiError>>;

/// A writer with little patience, on a server of its own.
struct Site {
    server: Postgres,
    database: Database,
    writer: Writer,
}

impl Site {
    async fn start() -> Self {
        let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
        let url = server.new_database().unwrap();
        let database = Database::open(&url.parse().unwrap()).await.unwrap();
        let store = Store::open(database.clone(), ManualClock::at(1_000_000)).await;
        let (writer, writing) = Writer::new(
            store.unwrap().with_patience(PATIENCE),
            quotas(2),
            1_000_000,
            Arc::default(),
            Metrics::register(&Registry::new()).unwrap(),
        );
        tokio::spawn(writing);
        Self {
            server,
            database,
            writer,
        }
    }

    fn upload(&self, candidate: &Candidate) -> Upload {
        let (writer, candidate) = (self.writer.clone(), candidate.clone());
        tokio::spawn(async move { writer.accept(candidate, BodyShare::of_nobody()).await })
    }
}

/// What whoever uploads is told in the end.
async fn told(upload: Upload) -> Result<Decision, ApiError> {
    let told = tokio::time::timeout(LONG, upload).await;
    told.expect("whoever uploads is told something").unwrap()
}

/// Waits until it holds.
async fn until(condition: impl Fn() -> bool) {
    let patience = tokio::time::timeout(LONG, async {
        while !condition() {
            tokio::time::sleep(PAUSE).await;
        }
    });
    patience.await.expect("it did not happen");
}

fn is_unavailable(refused: &ApiError) -> bool {
    refused.problem().known_code() == Some(Code::StorageUnavailable)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_database_that_falls_silent_and_its_connection_is_not_used_again() {
    let site = Site::start().await;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = candidate(device.checked(1), genesis);
    // The writer waits for a lock in the middle of its transaction, and before it has that nothing answers any more.
    let mut holder = site.database.begin().await.unwrap();
    sqlx::query("UPDATE relay SET turn = turn WHERE id = 1")
        .execute(&mut *holder)
        .await
        .unwrap();
    let upload = site.upload(&run);
    until(|| !site.writer.storing_for().is_zero()).await;
    let silenced = Silenced::where_it_waits(&site.server, "test_0").unwrap();
    holder.rollback().await.unwrap();
    let refused = told(upload).await.unwrap_err();
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(site.writer.storing_for().is_zero());
    // When it goes on, nobody is there any more.
    let alive = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = {}",
        silenced.process()
    );
    drop(silenced);
    until(|| site.server.query("test_0", &alive).unwrap() == "0").await;
    let decision = told(site.upload(&run)).await.unwrap();
    let is_new = matches!(decision, Ok(Acceptance::Accepted(_)));
    assert!(is_new, "{decision:?}");
}

fn configure(server: &Postgres, change: &str) {
    let change = format!("ALTER SYSTEM {change}");
    for statement in [change.as_str(), "SELECT pg_reload_conf()"] {
        server.query("postgres", statement).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_not_answered_is_not_acknowledged_and_known_later() {
    let site = Site::start().await;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    // Commits are done, and not answered before this standby has them, which there is not.
    configure(&site.server, "SET synchronous_standby_names = 'nobody'");
    let uploads = async {
        loop {
            let run = candidate(device.checked(1), genesis);
            match told(site.upload(&run)).await {
                Ok(decision) => assert!(decision.is_ok(), "{decision:?}"),
                Err(refused) => return (run, refused),
            }
        }
    };
    let (doubtful, refused) = tokio::time::timeout(LONG, uploads).await.unwrap();
    assert!(is_unavailable(&refused), "{refused:?}");
    configure(&site.server, "RESET synchronous_standby_names");
    let again = async {
        loop {
            if let Ok(decision) = told(site.upload(&doubtful)).await {
                return decision;
            }
        }
    };
    let decision = tokio::time::timeout(LONG, again).await.unwrap();
    let is_known = matches!(decision, Ok(Acceptance::Known(_)));
    assert!(is_known, "{decision:?}");
}
