// SPDX-License-Identifier: Apache-2.0

//! A PostgreSQL that falls silent keeps neither staff nor phones waiting for ever.

use std::time::Duration;

use mhealth_api::Code;
use mhealth_testing::silence::Silenced;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{code_of, Kind, Phone, Setting};

/// Until then everybody has to be told something: the server waits for half a minute.
const LONG: Duration = Duration::from_secs(90);
/// What a phone that wants a token, one that enrols, and staff wait in.
const STATEMENTS: [&str; 3] = [
    "INSERT INTO proofs",
    "UPDATE codes SET claimed_at",
    "INSERT INTO orders",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_database_that_falls_silent() {
    let setting = Setting::new(Kind::Postgres).await;
    let (phone, enrolled) = setting.enrolled().await;
    let device = enrolled.device;
    let code = setting.code().await;
    let newcomer = setting.request(&Phone::random(), &code.code);
    let path = format!("/v1/admin/devices/{device}/suspend");
    let order = json!({ "why": "reported stolen", "reason": "lost" });

    // Each waits for a lock, and before it has that nothing answers any more.
    let mut holder = setting.database.begin().await.unwrap();
    sqlx::query("LOCK TABLE proofs, codes, orders IN SHARE MODE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let server = setting.postgres.clone().expect("it is PostgreSQL");
    let name = setting.database_url.rsplit('/').next();
    let name = name.expect("a URL has a path").to_owned();
    let silencing = async move {
        let silencing = tokio::task::spawn_blocking(move || {
            STATEMENTS.map(|words| Silenced::in_statement(&server, &name, words).unwrap())
        });
        let silenced = silencing.await.unwrap();
        holder.rollback().await.unwrap();
        silenced
    };
    let asking = async {
        tokio::join!(
            setting.token(&phone, device),
            setting.enrol(&newcomer),
            setting.admin_post(&path, order.clone()),
            silencing,
        )
    };
    let told = timeout(LONG, asking).await;
    let (token, enrolment, suspension, silenced) = told.expect("everybody is told something");
    assert_eq!(token.err(), Some(Code::StorageUnavailable));
    assert_eq!(enrolment.err(), Some(Code::StorageUnavailable));
    assert_eq!(code_of(suspension).await, Code::StorageUnavailable);

    // Whoever asks again is served, whether or not those sessions go on.
    assert!(setting.token(&phone, device).await.is_ok());
    drop(silenced);
    setting.enrol(&newcomer).await.unwrap();
    let suspended = setting.admin_post(&path, order).await;
    let status = suspended.status();
    assert_eq!(status, 200, "{}", suspended.text().await.unwrap());
}
