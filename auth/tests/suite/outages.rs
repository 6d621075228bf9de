// SPDX-License-Identifier: Apache-2.0

//! What staff order while the node is away stays, as they are told, and is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mhealth_api::{Code, DeviceStatus};
use mhealth_auth::approvals::Approval;
use mhealth_auth::store::{By, Store};
use mhealth_chain_client::ChainClient;
use mhealth_server::Database;
use mhealth_testing::node::Node;
use mhealth_testing::node_front::{Lies, NodeFront};
use serde_json::{json, Value};

use crate::processes::{enrol_after, issue, launch};
use crate::readiness::until_told;
use crate::support::{code_of, on_both_databases, ticking, Phone, Setting};

const PATIENCE: Duration = Duration::from_secs(60);

on_both_databases! {
    what_staff_order_while_the_node_is_away_is_done_when_it_is_back
    a_server_that_is_restarted_while_the_node_is_away_does_what_needs_no_node
    a_server_whose_node_comes_late_and_is_of_another_chain_ends
}

/// What the node is to have when it is back is written by then.
async fn some_blocks_later(node: &Node) {
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    let written = chain.finalised().await.unwrap().number + 10;
    while chain.finalised().await.unwrap().number < written {
        tokio::task::yield_now().await;
    }
}

async fn what_staff_order_while_the_node_is_away_is_done_when_it_is_back(mut setting: Setting) {
    let mut node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url());
    let launch = launch.arg("--patience=2").arg("--second-approval=retire");
    setting.admin = launch.add_admin("nurse").unwrap();
    let chief = launch.add_admin("chief").unwrap();
    let auth = launch.start().unwrap();
    let url = auth.url();
    let mut devices = Vec::new();
    for participant in ["P-1", "P-2"] {
        let code = issue(&setting, &url, participant).await;
        let request = setting.request(&Phone::random(), &code.code);
        let enrolled = enrol_after(&setting, &url, &request, Code::ChainUnavailable).await;
        devices.push(enrolled.device);
    }
    let (stolen, replaced) = (devices[0], devices[1]);
    some_blocks_later(&node).await;
    node.kill().unwrap();

    let post = async |credential: &str, path: &str, body: Value| {
        let request = setting.http.post(format!("{url}/v1/admin/{path}"));
        let request = request.bearer_auth(credential).json(&body);
        request.send().await.unwrap()
    };
    let path = format!("devices/{stolen}/suspend");
    let body = json!({ "why": "reported stolen", "reason": "lost" });
    let told = post(&setting.admin, &path, body).await;
    assert_eq!(code_of(told).await, Code::ChainUnavailable);
    let path = format!("devices/{replaced}/retire");
    let asked = post(&setting.admin, &path, json!({ "why": "replaced" })).await;
    assert_eq!(asked.status(), 202);
    let asked: Approval = asked.json().await.unwrap();
    let path = format!("approvals/{}", asked.id);
    let told = post(&chief, &path, json!({ "why": "seen" })).await;
    assert_eq!(code_of(told).await, Code::ChainUnavailable);

    // The interface says of both that they will be done.
    let database = Database::open(&setting.database_url.parse().unwrap()).await;
    let store = Store::open(database.unwrap()).await.unwrap();
    let orders = store.pending_orders(By::Staff, 10).await.unwrap();
    let ordered: Vec<_> = orders
        .iter()
        .map(|order| (order.device, order.action.name()))
        .collect();
    assert_eq!(
        ordered,
        [(Some(stolen), "suspend"), (Some(replaced), "retire")]
    );
    node.start_again().unwrap();
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    loop {
        let found = chain.device(stolen).await.unwrap().unwrap();
        let other = chain.device(replaced).await.unwrap().unwrap();
        if found.status == DeviceStatus::Suspended && other.retires_at.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_server_that_is_restarted_while_the_node_is_away_does_what_needs_no_node(
    mut setting: Setting,
) {
    let mut node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url()).arg("--patience=2");
    setting.admin = launch.add_admin("nurse").unwrap();
    let mut auth = launch.start().unwrap();
    let url = auth.url();
    let code = issue(&setting, &url, "P-1").await;
    let phone = Phone::random();
    let request = setting.request(&phone, &code.code);
    let enrolled = enrol_after(&setting, &url, &request, Code::ChainUnavailable).await;
    let device = enrolled.device;
    some_blocks_later(&node).await;
    node.kill().unwrap();
    auth.start_again().unwrap();

    let get = async |path: &str| {
        let request = setting.http.get(format!("{url}{path}"));
        request.bearer_auth(&setting.admin).send().await.unwrap()
    };
    // Relays go on with the keys of tokens, and staff see and order.
    for path in ["/.well-known/jwks.json", "/healthz", "/v1/admin/log"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    assert_eq!(code_of(get("/readyz").await).await, Code::ChainUnavailable);
    let study = get("/v1/studies/0").await;
    assert_eq!(code_of(study).await, Code::ChainUnavailable);
    let path = format!("{url}/v1/admin/devices/{device}/suspend");
    let body = json!({ "why": "reported stolen", "reason": "lost" });
    let order = setting.http.post(path).bearer_auth(&setting.admin);
    let told = order.json(&body).send().await.unwrap();
    assert_eq!(code_of(told).await, Code::ChainUnavailable);
    // An alarm goes by that.
    until_told(&setting, &url, "mhealth_auth_orders_pending 1").await;

    node.start_again().unwrap();
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    while chain.device(device).await.unwrap().unwrap().status != DeviceStatus::Suspended {
        tokio::task::yield_now().await;
    }
    auth.wait_until_ready().unwrap();
}

/// A node whose chain has another first block, once it is told to.
#[derive(Clone, Default)]
struct Elsewhere(Arc<AtomicBool>);

impl Lies for Elsewhere {
    fn answer(&self, method: &str, asked: &Value, answer: &mut Value) {
        let is_first = method == "chain_getBlockHash" && asked[0] == 0;
        if is_first && self.0.load(Ordering::SeqCst) {
            *answer = json!(format!("0x{}", "77".repeat(32)));
        }
    }
}

async fn a_server_whose_node_comes_late_and_is_of_another_chain_ends(mut setting: Setting) {
    let mut node = ticking().start().unwrap();
    let elsewhere = Elsewhere::default();
    let url = node.url();
    let front = NodeFront::before(&url, elsewhere.clone()).await.unwrap();
    setting.database_url = setting.another_database();
    let mut auth = launch(&setting, &front.url()).start().unwrap();
    node.kill().unwrap();
    auth.start_again().unwrap();
    elsewhere.0.store(true, Ordering::SeqCst);
    node.start_again().unwrap();
    auth.wait_for_log("another chain").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while auth.is_running() {
        assert!(Instant::now() < deadline, "{}", auth.log());
        tokio::task::yield_now().await;
    }
}
