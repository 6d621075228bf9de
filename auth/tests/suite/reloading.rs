// SPDX-License-Identifier: Apache-2.0

//! What is taken up on SIGHUP, without a restart.

use std::time::{Duration, Instant};

use mhealth_auth::login::Person;
use mhealth_auth::store::{Session, Store};
use mhealth_server::{Clock, Database, SystemClock};
use serde_json::json;

use crate::commands::{enrolled, token};
use crate::processes::launch;
use crate::support::{Kind, Setting};

const PATIENCE: Duration = Duration::from_secs(60);

/// Options of a server by whose grants a team may do this.
fn options(duties: &str, relays: &str, more: &str) -> String {
    format!(
        "oidc-issuer = 'https://login.example'\noidc-client-id = 'mhealth'\n\
         oidc-grant = ['value=team,may={duties},study=0']\nrelay = [{relays}]\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_relays_and_second_approvals_are_read_anew() {
    let mut setting = Setting::new(Kind::Sqlite).await;
    setting.database_url = setting.another_database();
    let config = setting.directory.path().join("auth.toml");
    let one = "'http://127.0.0.1:1'";
    std::fs::write(&config, options("log+retire", one, "")).unwrap();
    let launch = launch(&setting, &setting.node_url);
    let launch = launch.arg(format!("--config={}", config.display()));
    setting.admin = launch.add_admin("nurse").unwrap();
    let auth = launch.start().unwrap();
    let url = auth.url();
    // Somebody of the team has logged in.
    let database = Database::open(&setting.database_url.parse().unwrap()).await;
    let store = Store::open(database.unwrap()).await.unwrap();
    let now = SystemClock.now();
    let person = Person {
        name: "oidc:eva".into(),
        values: vec!["team".into()],
    };
    let expires_at = now + 3_600;
    let session = Session { person, expires_at };
    let session = store.begin_session(&session, now).await.unwrap();
    let eva = session.expose();
    let read_log = async || {
        let log = setting.http.get(format!("{url}/v1/admin/log"));
        let log = log.bearer_auth(eva).send().await.unwrap();
        log.status().as_u16()
    };
    assert_eq!(read_log().await, 200);
    let (phone, device) = enrolled(&setting, &url, "P-1").await;
    let given = token(&setting, &url, &phone, device).await.unwrap();
    assert_eq!(given.relays, ["http://127.0.0.1:1"]);

    // What no server is started with changes nothing, such as a login by which nobody may do anything.
    let nobody = options("log", one, "").replacen("oidc-grant", "# oidc-grant", 1);
    std::fs::write(&config, nobody).unwrap();
    auth.hang_up().unwrap();
    auth.wait_for_log("lets nobody do anything").unwrap();
    assert_eq!(read_log().await, 200);

    let two = "'http://127.0.0.1:1', 'http://127.0.0.1:2'";
    let anew = options("retire", two, "second-approval = ['retire']");
    std::fs::write(&config, anew).unwrap();
    auth.hang_up().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while read_log().await != 403 {
        assert!(Instant::now() < deadline, "{}", auth.log());
    }
    let given = token(&setting, &url, &phone, device).await.unwrap();
    assert_eq!(given.relays, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let retire = format!("{url}/v1/admin/devices/{device}/retire");
    let retire = setting.http.post(retire);
    let retire = retire.bearer_auth(eva).json(&json!({ "why": "replaced" }));
    // Another one has to agree.
    assert_eq!(retire.send().await.unwrap().status(), 202);

    // What cannot be read changes nothing.
    std::fs::write(&config, "colour = 'red'\n").unwrap();
    auth.hang_up().unwrap();
    auth.wait_for_log("the options cannot be read anew")
        .unwrap();
    assert_eq!(read_log().await, 403);
}
