// SPDX-License-Identifier: Apache-2.0

//! Phones hold every connection of the database, and a stolen phone is suspended all the same.

use std::time::{Duration, Instant};

use mhealth_api::{TokenRequest, DPOP};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Kind, Setting};

/// More than there are connections.
const PHONES: usize = 40;
/// A query that waits for a connection gives up after ten seconds, and so does one that waits for a lock.
const AT_ONCE: Duration = Duration::from_secs(7);

/// SQLite has one writer, whoever it is, and nobody can hold its connections from outside; the same is tried there in
/// `server/tests/reserve.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_is_suspended_while_others_hold_all_connections() {
    let setting = Setting::new(Kind::Postgres).await;
    let (phone, enrolled) = setting.enrolled().await;
    let device = enrolled.device;
    // Whoever asks for a token waits with its connection in hand.
    let mut lock = setting.database.begin().await.unwrap();
    sqlx::query("LOCK TABLE proofs IN EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let phones: Vec<_> = (0..PHONES)
        .map(|_| {
            let proof = phone.proof(&setting.proof_claims());
            let request = setting.http.post(setting.url("/v1/token"));
            let request = request.header(DPOP, proof).json(&TokenRequest { device });
            tokio::spawn(request.send())
        })
        .collect();
    let waiting = async || {
        let (waiting,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                .fetch_one(setting.database.pool())
                .await
                .unwrap();
        waiting
    };
    let deadline = Instant::now() + AT_ONCE;
    while waiting().await < 16 {
        assert!(Instant::now() < deadline, "nobody waits");
    }
    let path = format!("/v1/admin/devices/{device}/suspend");
    let body = json!({ "why": "reported stolen", "reason": "lost" });
    let suspended = timeout(AT_ONCE, setting.admin_post(&path, body)).await;
    let suspended = suspended.expect("staff do not wait");
    let status = suspended.status();
    assert_eq!(status, 200, "{}", suspended.text().await.unwrap());
    let ready = timeout(AT_ONCE, setting.get("/readyz")).await;
    assert_eq!(ready.expect("probes do not wait").status(), 200);
    lock.rollback().await.unwrap();
    for phone in phones {
        phone.await.unwrap().unwrap();
    }
}
