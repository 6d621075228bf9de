// SPDX-License-Identifier: Apache-2.0

//! The binary: killed, restarted, twice on one database.

use std::collections::BTreeSet;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{Code, EnrolRequest, Enrolled};
use mhealth_auth::codes::IssuedCode;
use mhealth_auth::log::LogLine;
use mhealth_auth::routes::devices::EnrolledDevice;
use mhealth_auth::server::prepare;
use mhealth_chain_client::ChainClient;
use mhealth_server::{CancellationToken, Database};
use mhealth_testing::node::Launch as NodeLaunch;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::process::Program;
use mhealth_testing::servers;
use serde_json::json;

use crate::support::{
    answer, code_of, on_both_databases, options, problem, ticking, Kind, Phone, Running, Setting,
    STUDY,
};

on_both_databases! {
    what_was_claimed_before_a_kill_is_done_after_it
    an_enrolment_that_waits_when_the_server_stops_is_told_so_and_done_after_the_next_start
    a_lost_chain_is_told_and_what_was_ordered_is_done_when_it_is_back
    devices_keep_their_numbers_when_the_node_loses_finalised_blocks
    a_node_that_is_merely_behind_is_waited_for
    two_servers_share_a_database_and_an_account
    a_database_of_another_study_is_refused
}

pub(crate) fn launch(setting: &Setting, node: &str) -> servers::Launch {
    servers::auth(&servers::AuthOptions {
        study: STUDY,
        chain: node.to_owned(),
        account: "//Charlie",
        database: setting.database_url.clone(),
        issuer: None,
        relays: Vec::new(),
    })
}

pub(crate) async fn issue(setting: &Setting, url: &str, participant: &str) -> IssuedCode {
    let request = setting
        .http
        .post(format!("{url}/v1/admin/codes"))
        .bearer_auth(&setting.admin);
    answer(
        request
            .json(&json!({ "participant": participant }))
            .send()
            .await
            .unwrap(),
    )
    .await
    .unwrap()
}

pub(crate) async fn enrol(
    setting: &Setting,
    url: &str,
    request: &EnrolRequest,
) -> Result<Enrolled, Code> {
    let answer = setting
        .http
        .post(format!("{url}/v1/enrol"))
        .json(request)
        .send()
        .await;
    crate::support::answer(answer.unwrap()).await
}

/// The same, again for as long as the server says that this is away.
pub(crate) async fn enrol_after(
    setting: &Setting,
    url: &str,
    request: &EnrolRequest,
    away: Code,
) -> Enrolled {
    loop {
        match enrol(setting, url, request).await {
            Ok(enrolled) => return enrolled,
            Err(code) => assert_eq!(code, away),
        }
    }
}

async fn what_was_claimed_before_a_kill_is_done_after_it(mut setting: Setting) {
    // A node of its own, whose blocks take two seconds, so that the kill comes before the block is final.
    let node = NodeLaunch::consensus().start().unwrap();
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url());
    setting.admin = launch.add_admin("nurse").unwrap();
    let mut auth = launch.start().unwrap();
    let code = issue(&setting, &auth.url(), "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    let database = Database::open(&setting.database_url.parse().unwrap())
        .await
        .unwrap();
    let asked = setting
        .http
        .post(format!("{}/v1/enrol", auth.url()))
        .json(&request)
        .send();
    tokio::select! {
        answer = asked => panic!("finality takes longer than that: {answer:?}"),
        () = claimed(&database) => {}
    }
    auth.kill().unwrap();
    auth.start_again().unwrap();
    // Nobody asks again, and it is done all the same.
    let device = loop {
        if let Some(device) = chain.device_by_key(request.device_key.0).await.unwrap() {
            break device;
        }
        tokio::task::yield_now().await;
    };
    let enrolled = enrol(&setting, &auth.url(), &request).await.unwrap();
    assert_eq!(enrolled.device, device);
    auth.kill().unwrap();
    auth.start_again().unwrap();
    assert_eq!(enrol(&setting, &auth.url(), &request).await, Ok(enrolled));
    auth.stop().unwrap();
}

async fn an_enrolment_that_waits_when_the_server_stops_is_told_so_and_done_after_the_next_start(
    mut setting: Setting,
) {
    let node = NodeLaunch::consensus().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url());
    setting.admin = launch.add_admin("nurse").unwrap();
    let mut auth = launch.start().unwrap();
    let url = auth.url();
    let code = issue(&setting, &url, "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    let database = Database::open(&setting.database_url.parse().unwrap())
        .await
        .unwrap();
    let stopped = async {
        claimed(&database).await;
        tokio::task::spawn_blocking(move || auth.stop().map(|()| auth))
            .await
            .unwrap()
            .unwrap()
    };
    let (answer, mut auth) = futures::join!(enrol(&setting, &url, &request), stopped);
    assert_eq!(answer, Err(Code::ShuttingDown));
    auth.start_again().unwrap();
    enrol(&setting, &auth.url(), &request).await.unwrap();
}

/// Waits until a code is redeemed whose device is not on the chain.
async fn claimed(database: &Database) {
    let claims = "SELECT COUNT(*) FROM enrolments WHERE device IS NULL";
    while sqlx::query_as::<_, (i64,)>(claims)
        .fetch_one(database.pool())
        .await
        .unwrap()
        .0
        == 0
    {
        tokio::task::yield_now().await;
    }
}

async fn a_lost_chain_is_told_and_what_was_ordered_is_done_when_it_is_back(mut setting: Setting) {
    let mut node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url()).arg("--patience=2");
    setting.admin = launch.add_admin("nurse").unwrap();
    let auth = launch.start().unwrap();
    let code = issue(&setting, &auth.url(), "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    node.kill().unwrap();
    assert_eq!(
        enrol(&setting, &auth.url(), &request).await,
        Err(Code::ChainUnavailable)
    );
    let ready = setting
        .http
        .get(format!("{}/readyz", auth.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(code_of(ready).await, Code::ChainUnavailable);
    let alive = setting
        .http
        .get(format!("{}/healthz", auth.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(alive.status(), 200);
    node.start_again().unwrap();
    enrol_after(&setting, &auth.url(), &request, Code::ChainUnavailable).await;
}

async fn devices_keep_their_numbers_when_the_node_loses_finalised_blocks(mut setting: Setting) {
    let node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let first = launch(&setting, &node.url());
    setting.admin = first.add_admin("nurse").unwrap();
    let mut auth = first.start().unwrap();
    let mut requests = Vec::new();
    for index in 0..8 {
        let code = issue(&setting, &auth.url(), &format!("P-{index}")).await;
        requests.push(setting.request(&Phone::random(), &code.code));
    }
    let url = auth.url();
    let ask = async |url: &str| {
        let asked = requests.iter().map(|request| enrol(&setting, url, request));
        futures::future::join_all(asked)
            .await
            .into_iter()
            .map(|answer| {
                let enrolled = answer.unwrap();
                (enrolled.device, enrolled.genesis)
            })
            .collect::<Vec<_>>()
    };
    let told = ask(&url).await;
    auth.stop().unwrap();
    drop(node);
    // The same chain, from its beginning.
    let emptied = ticking().start().unwrap();
    let chain = ChainClient::connect(&emptied.url()).await.unwrap();
    let auth = launch(&setting, &emptied.url()).start().unwrap();
    for (request, (device, _)) in requests.iter().zip(&told) {
        while chain.device_by_key(request.device_key.0).await.unwrap() != Some(*device) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(ask(&auth.url()).await, told);
}

async fn a_node_that_is_merely_behind_is_waited_for(mut setting: Setting) {
    let node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let first = launch(&setting, &node.url());
    setting.admin = first.add_admin("nurse").unwrap();
    let mut auth = first.clone().start().unwrap();
    let code = issue(&setting, &auth.url(), "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    let told = enrol(&setting, &auth.url(), &request).await.unwrap();
    auth.stop().unwrap();
    // The same chain, at its beginning, as of a node that has just been set up.
    let behind = NodeLaunch::consensus().arg("--sealing=manual");
    let behind = behind.start().unwrap();
    let mut auth = launch(&setting, &behind.url()).start().unwrap();
    auth.wait_for_log("the node is behind").unwrap();
    let ready = setting.http.get(format!("{}/readyz", auth.url()));
    let ready = problem(ready.send().await.unwrap()).await;
    assert_eq!(ready.known_code(), Some(Code::NotReady));
    assert!(ready.detail.contains("node: "), "{}", ready.detail);
    let devices = setting.http.get(format!("{}/v1/admin/devices", auth.url()));
    let devices = devices.bearer_auth(&setting.admin).send().await.unwrap();
    let devices: Vec<EnrolledDevice> = answer(devices).await.unwrap();
    let devices: Vec<_> = devices.iter().map(|device| device.device).collect();
    assert_eq!(devices, [told.device]);
    auth.stop().unwrap();
    // With a node that has caught up it goes on as if nothing had been.
    let auth = first.start().unwrap();
    auth.wait_until_ready().unwrap();
    assert_eq!(enrol(&setting, &auth.url(), &request).await, Ok(told));
    let lines = setting.http.get(format!("{}/v1/admin/log", auth.url()));
    let lines = lines.bearer_auth(&setting.admin).send().await.unwrap();
    let lines: Vec<LogLine> = answer(lines).await.unwrap();
    assert!(
        lines.iter().all(|line| line.action != "ordered anew"),
        "{lines:?}"
    );
}

async fn two_servers_share_a_database_and_an_account(mut setting: Setting) {
    let clock = setting.clock.clone();
    let mut other = Running::start(&setting.database_url, &setting.node_url, clock, &[])
        .await
        .unwrap();
    let urls = [setting.auth.url.clone(), other.url.clone()];
    let enrolments = (0..24).map(|index| {
        let (setting, urls) = (&setting, &urls);
        async move {
            let code = issue(setting, &urls[index % 2], &format!("P-{index}")).await;
            let request = setting.request(&Phone::random(), &code.code);
            // The same request at both at once.
            let both = urls.each_ref().map(|url| enrol(setting, url, &request));
            let answers = futures::future::join_all(both).await;
            assert_eq!(answers[0], answers[1]);
            answers[0].as_ref().unwrap().device
        }
    });
    let devices: BTreeSet<DeviceId> = futures::future::join_all(enrolments)
        .await
        .into_iter()
        .collect();
    assert_eq!(devices.len(), 24);
    let mut holders = Vec::new();
    for url in &urls {
        let metrics = setting
            .http
            .get(format!("{url}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if metrics.contains("\nmhealth_auth_lease 1\n") {
            holders.push(url.clone());
        }
    }
    assert_eq!(holders.len(), 1);
    // Who has the lease stops; the other takes over.
    if holders[0] == setting.auth.url {
        std::mem::swap(&mut setting.auth, &mut other);
    }
    other.stop().await;
    let (phone, enrolled) = setting.enrolled().await;
    assert!(!devices.contains(&enrolled.device));
    setting.token(&phone, enrolled.device).await.unwrap();
}

async fn a_database_of_another_study_is_refused(setting: Setting) {
    let (server, auth) = options(&setting.database_url, &setting.node_url, &[]);
    for (study, expected) in [
        (Some(StudyId(1)), "belongs to study 0"),
        (None, "MHEALTH_STUDY"),
        (Some(STUDY), ""),
    ] {
        let auth = mhealth_auth::server::AuthOptions {
            study,
            ..auth.clone()
        };
        let stop = CancellationToken::new();
        let error = match prepare(&server, &auth, setting.clock.clone(), &stop).await {
            Ok(_) => String::new(),
            Err(error) => format!("{error:#}"),
        };
        assert!(
            error.contains(expected) && error.is_empty() == expected.is_empty(),
            "{error}"
        );
    }
}

#[test]
fn help_and_wrong_options_need_neither_database_nor_chain() {
    let mut command = Program::Auth.command().unwrap();
    let help = String::from_utf8(command.arg("--help").output().unwrap().stdout).unwrap();
    assert!(
        help.contains("--token-lifetime") && help.contains("MHEALTH_ACCOUNT"),
        "{help}"
    );
    for wrong in [
        "--token-lifetime=9",
        "--study=x",
        "--colour=red",
        "--listen=nowhere",
    ] {
        let output = Program::Auth
            .command()
            .unwrap()
            .arg(wrong)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_told_and_nothing_is_lost_with_it() {
    let mut postgres = Postgres::start().unwrap();
    let mut setting = Setting::new(Kind::Sqlite).await;
    setting.database_url = postgres.new_database().unwrap();
    let launch = launch(&setting, &setting.node_url);
    setting.admin = launch.add_admin("nurse").unwrap();
    let auth = launch.start().unwrap();
    let code = issue(&setting, &auth.url(), "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    postgres.kill().unwrap();
    assert_eq!(
        enrol(&setting, &auth.url(), &request).await,
        Err(Code::StorageUnavailable)
    );
    let ready = setting
        .http
        .get(format!("{}/readyz", auth.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(code_of(ready).await, Code::StorageUnavailable);
    postgres.start_again().unwrap();
    let url = auth.url();
    let again = async || enrol_after(&setting, &url, &request, Code::StorageUnavailable).await;
    let enrolled = again().await;
    postgres.stop().unwrap();
    postgres.start_again().unwrap();
    assert_eq!(again().await, enrolled);
    // It runs and takes no sessions.
    let sql = |statement: &str| postgres.query("postgres", statement).unwrap();
    sql("ALTER DATABASE test_0 ALLOW_CONNECTIONS false");
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test_0'");
    assert_eq!(
        enrol(&setting, &auth.url(), &request).await,
        Err(Code::StorageUnavailable)
    );
    sql("ALTER DATABASE test_0 ALLOW_CONNECTIONS true");
    assert_eq!(again().await, enrolled);
}
