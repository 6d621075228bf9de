// SPDX-License-Identifier: Apache-2.0

//! `/readyz` says what is missing, before phones notice.

use std::time::Instant;

use hashchain::StudyId;
use mhealth_server::Database;
use mhealth_testing::node;
use mhealth_testing::node_front::{Aged, NodeFront};
use mhealth_testing::servers::{relay, sqlite_in, RelayOptions};
use serde_json::Value;

use crate::world::{answer, Answer, Kind, World, PATIENCE};

/// Waits until the answer of `/readyz` is as it should be.
async fn ready_as(world: &World, is_good: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = world.get("/readyz").await;
        if is_good(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

fn names(answer: &Answer, part: &str) -> bool {
    answer.status == 503 && answer.problem().detail.contains(&format!("{part}: "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_does_not_fit_the_chains_is_told_both_ways() {
    let world = World::start(Kind::Sqlite).await;
    world.phone(1).await;
    let aged = Aged::default();
    let front = NodeFront::before(&world.node.url(), aged.clone()).await;
    let front = front.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = relay(&RelayOptions {
        study: StudyId(0),
        chain: front.url(),
        account: "//Eve",
        database: sqlite_in(folder.path(), "eve.db"),
        issuer: world.issuer.url(),
    });
    let other = other.start().unwrap();
    other.wait_until_ready().unwrap();
    for (age, reason) in [(3_600, "seconds old"), (-3_600, "clock is 3"), (0, "")] {
        aged.by(age);
        let said = answer(world.http.get(format!("{}/readyz", other.url()))).await;
        assert_eq!(said.status == 200, reason.is_empty(), "{said:?}");
        if age != 0 {
            assert!(
                names(&said, "clock") && said.code() == "not_ready",
                "{said:?}"
            );
            assert!(said.problem().detail.contains(reason), "{said:?}");
        }
    }
    let metrics = answer(world.http.get(format!("{}/metrics", other.url()))).await;
    assert!(
        metrics.body.contains("mhealth_ready{part=\"clock\"} 1"),
        "{metrics:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_brings_nothing_to_the_chain_is_not_ready() {
    let node = node::Launch::instant();
    let change = |launch: mhealth_testing::servers::Launch| {
        launch
            .arg("--ready-queue-age=1")
            .arg(format!("--ready-free-disk={}", u64::MAX))
    };
    let mut world = World::start_with(Kind::Sqlite, node, StudyId(0), change).await;
    let mut phone = world.phone(1).await;
    let said = ready_as(&world, |said| !names(said, "leadership")).await;
    assert!(names(&said, "disk"), "{said:?}");
    world.relay.kill().unwrap();
    let database = Database::open(&world.database.parse().unwrap())
        .await
        .unwrap();
    // Nobody gets the lease, as when the process that has it hangs.
    let stuck =
        "CREATE TRIGGER stuck BEFORE UPDATE ON lease BEGIN SELECT RAISE(ABORT, 'stuck'); END";
    for statement in ["UPDATE lease SET expires_at = 0", stuck] {
        sqlx::query(statement)
            .execute(database.pool())
            .await
            .unwrap();
    }
    world.relay.start_again().unwrap();
    ready_as(&world, |said| {
        names(said, "leadership") && !names(said, "chain")
    })
    .await;
    world.upload_new(&mut phone, 1).await;
    let said = ready_as(&world, |said| {
        names(said, "leadership") && names(said, "queue")
    })
    .await;
    assert_eq!(said.code(), "not_ready");
    let unstuck = "DROP TRIGGER stuck";
    sqlx::query(unstuck).execute(database.pool()).await.unwrap();
    ready_as(&world, |said| {
        !names(said, "leadership") && !names(said, "queue")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_knows_no_keys_is_not_ready() {
    mhealth_server::install_crypto();
    let node = node::Launch::instant().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let deaf = relay(&RelayOptions {
        study: StudyId(0),
        chain: node.url(),
        account: "//Dave",
        database: sqlite_in(folder.path(), "relay.db"),
        issuer: "http://127.0.0.1:1".to_owned(),
    });
    let deaf = deaf.start().unwrap();
    let said = answer(reqwest::Client::new().get(format!("{}/readyz", deaf.url()))).await;
    assert!(names(&said, "keys"), "{said:?}");
    assert!(
        said.problem().detail.contains("http://127.0.0.1:1"),
        "{said:?}"
    );
}

/// What `doctor` finds of each part: good, doubtful, bad.
fn found(launch: &mhealth_testing::servers::Launch) -> Vec<(String, String)> {
    let said = launch.run(&["doctor", "--json"]);
    // Its error has what went to standard error alone.
    let said = said.unwrap_or_else(|error| panic!("{error:#}"));
    let said: Value = serde_json::from_str(&said).unwrap();
    let findings = said["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| (text(&finding["part"]), text(&finding["condition"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_finds_what_is_amiss_before_it_is_needed() {
    let mut world = World::start(Kind::Sqlite).await;
    let option = |launch: mhealth_testing::servers::Launch| {
        let issuer = format!("issuer={},study=0", world.issuer.url());
        launch
            .env("MHEALTH_NODE_URL", world.node.url())
            .env("MHEALTH_TRUSTED_ISSUERS", issuer)
    };
    let launch = option(world.launch.clone());
    world.relay.wait_until_ready().unwrap();
    let findings = found(&launch);
    let of = |part: &str| {
        let found = findings.iter().find(|(name, _)| name == part);
        found.map(|(_, condition)| condition.as_str())
    };
    for part in ["account", "database", "files", "node", "role", "issuer"] {
        assert_eq!(of(part), Some("good"), "{part}: {findings:?}");
    }
    // A development chain, for which no clock is compared.
    assert_eq!(of("clock"), Some("doubtful"));

    // An authentication server of the same study has a role, and not this one.
    let server = launch.clone().env("MHEALTH_ACCOUNT", "//Charlie");
    let error = server.run(&["doctor"]).unwrap_err().to_string();
    assert!(
        error.contains("1 parts are not as they should be"),
        "{error}"
    );

    world.node.kill().unwrap();
    let database = world.database.trim_start_matches("sqlite:");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(database, everybody).unwrap();
    let secret = launch.env("MHEALTH_ACCOUNT", "hunter2 hunter2");
    let error = secret.run(&["doctor"]).unwrap_err().to_string();
    assert!(
        error.contains("3 parts are not as they should be"),
        "{error}"
    );
}
