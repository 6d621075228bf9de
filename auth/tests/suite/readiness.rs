// SPDX-License-Identifier: Apache-2.0

//! `/readyz` says what is missing, before staff and phones notice.

use std::time::{Duration, Instant};

use hashchain::DeviceId;
use mhealth_api::{BlockRef, Code, DeviceStatus, Hash};
use mhealth_auth::log::Note;
use mhealth_auth::orders::{Action, Order, Settled};
use mhealth_auth::store::{Lease, Store};
use mhealth_chain_client::ChainClient;
use mhealth_server::Database;
use mhealth_testing::node_front::{Aged, NodeFront};
use serde_json::json;

use crate::processes::{enrol_after, issue, launch};
use crate::support::{code_of, on_both_databases, problem, ticking, Phone, Setting};

const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the metrics.
const PAUSE: Duration = Duration::from_millis(50);

on_both_databases! {
    a_server_that_does_nothing_of_what_is_ordered_is_not_ready
    an_order_that_is_given_anew_waits_from_then_on
    a_clock_that_does_not_fit_the_chains_is_told_both_ways
}

/// Waits until `/readyz` names these parts and none of those; gives what it says.
async fn until(setting: &Setting, url: &str, amiss: &[&str], well: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = setting.http.get(format!("{url}/readyz")).send().await;
        let answer = asked.unwrap();
        let said = match answer.status().as_u16() {
            200 => String::new(),
            _ => problem(answer).await.detail,
        };
        let names = |part: &&str| said.contains(&format!("{part}: "));
        if amiss.iter().all(names) && !well.iter().any(names) {
            return said;
        }
        assert!(Instant::now() < deadline, "{said:?}");
    }
}

/// Waits until `/metrics` has this line.
pub(crate) async fn until_told(setting: &Setting, url: &str, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = setting.http.get(format!("{url}/metrics")).send().await;
        let told = asked.unwrap().text().await.unwrap();
        if told.lines().any(|each| each == line) {
            return;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn a_server_that_does_nothing_of_what_is_ordered_is_not_ready(mut setting: Setting) {
    let node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url())
        .arg("--patience=1")
        .arg("--ready-queue-age=1")
        .arg(format!("--ready-free-disk={}", u64::MAX));
    setting.admin = launch.add_admin("nurse").unwrap();
    let auth = launch.start().unwrap();
    let url = auth.url();
    let said = until(&setting, &url, &[], &["leadership", "queue"]).await;
    // A PostgreSQL tells nobody how much it has left.
    let is_file = setting.postgres.is_none();
    assert_eq!(said.contains("disk: "), is_file, "{said:?}");
    let code = issue(&setting, &url, "P-1").await;
    let request = setting.request(&Phone::random(), &code.code);
    // It waits for a second, and the chain may take longer.
    let enrolled = enrol_after(&setting, &url, &request, Code::ChainUnavailable).await;
    let device = enrolled.device;

    // Nobody gets the lease, as when the process that has it hangs.
    let database = Database::open(&setting.database_url.parse().unwrap()).await;
    let database = database.unwrap();
    let run = async |statement: &'static str| {
        let done = sqlx::query(statement).execute(database.pool()).await;
        done.unwrap();
    };
    run("DELETE FROM lease").await;
    until(&setting, &url, &["leadership"], &["queue"]).await;
    // The process that had it knows.
    until_told(&setting, &url, "mhealth_auth_lease 0").await;
    let path = format!("{url}/v1/admin/devices/{device}/suspend");
    let order = setting.http.post(path).bearer_auth(&setting.admin);
    let order = order.json(&json!({ "why": "reported stolen", "reason": "lost" }));
    let told = order.send().await.unwrap();
    assert_eq!(code_of(told).await, Code::ChainUnavailable);
    let said = until(&setting, &url, &["leadership", "queue"], &[]).await;
    assert!(said.contains("An order has waited for "), "{said}");
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    let found = chain.device(device).await.unwrap().unwrap();
    assert_eq!(found.status, DeviceStatus::Active);

    run("INSERT INTO lease (id, holder, fence, duration, expires_at) VALUES (1, '', 99, 0, 0)")
        .await;
    until(&setting, &url, &[], &["leadership", "queue"]).await;
    let found = chain.device(device).await.unwrap().unwrap();
    assert_eq!(found.status, DeviceStatus::Suspended);
}

async fn an_order_that_is_given_anew_waits_from_then_on(setting: Setting) {
    let url = setting.another_database();
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    let store = Store::open(database).await.unwrap();
    let order = |device: u32| Order {
        id: 0,
        action: Action::Resume,
        code: None,
        device: Some(DeviceId(device)),
        actor: "nurse".into(),
        why: "found".into(),
    };
    let note = |at: u64| Note {
        at,
        actor: "nurse",
        action: "resume ordered",
        subject: "a device",
        why: "found",
    };
    let given = store.order(&order(1), note(1_000), None).await.unwrap();
    let first = given.unwrap();
    let given = store.order(&order(2), note(2_000), None).await.unwrap();
    given.unwrap();
    assert_eq!(store.oldest_pending_order().await.unwrap(), Some(1_000));

    let lease = Lease::take(store.database(), "a process", PATIENCE).await;
    let lease = lease.unwrap().unwrap();
    let block = BlockRef {
        number: 7,
        hash: Hash([7; 32]),
    };
    let done = Order {
        id: first,
        ..order(1)
    };
    let settled = Settled::done(block);
    let settled = store.settle(lease, &done, &settled, note(3_000)).await;
    assert!(settled.unwrap());
    assert_eq!(store.oldest_pending_order().await.unwrap(), Some(2_000));
    // Months later the node has lost the block.
    let anew = store.order_anew(lease, first, block, 9_000_000).await;
    anew.unwrap();
    assert_eq!(store.oldest_pending_order().await.unwrap(), Some(2_000));
    let other = Order {
        id: first + 1,
        ..order(2)
    };
    let settled = Settled::done(block);
    let settled = store.settle(lease, &other, &settled, note(9_000_001)).await;
    assert!(settled.unwrap());
    assert_eq!(store.oldest_pending_order().await.unwrap(), Some(9_000_000));
}

async fn a_clock_that_does_not_fit_the_chains_is_told_both_ways(mut setting: Setting) {
    let node = ticking().start().unwrap();
    let aged = Aged::default();
    let front = NodeFront::before(&node.url(), aged.clone()).await.unwrap();
    setting.database_url = setting.another_database();
    let auth = launch(&setting, &front.url()).start().unwrap();
    let url = auth.url();
    until(&setting, &url, &[], &["clock", "chain", "leadership"]).await;
    for (age, reason) in [(3_600, "seconds old"), (-3_600, "clock is 3"), (0, "")] {
        aged.by(age);
        let (amiss, well): (&[&str], &[&str]) = match age {
            0 => (&[], &["clock"]),
            _ => (&["clock"], &[]),
        };
        let said = until(&setting, &url, amiss, well).await;
        assert!(said.contains(reason), "{said:?}");
    }
}
